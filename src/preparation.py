"""Decide for every row whether it is used, and in which split; count everything."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from src.domain import SPLITS, STARS, read_text, text_digest, text_problem
from src.tables import Row

SPLIT_NAMES = {name: name for name in SPLITS} | {
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
}
REPEAT = "repeat of an earlier row"


class Kept(NamedTuple):
    """A review that is used.

    `key` stands for its text, `namesakes` counts the earlier reviews with this text and other ratings,
    `truth` is its true P(stars | text) where the table holds it, `slices` what stands in its slice columns.
    """

    number: int
    text: str
    rating: int
    split: str
    truth: tuple[float, ...] | None
    key: int
    namesakes: int
    slices: tuple[str | None, ...]


class Rejected(NamedTuple):
    """A row that is not used: what stood in it, and why."""

    number: int
    text: Any
    rating: Any
    reason: str


def read_rating(value: Any) -> int | None:
    """Read 1 to 5 stars from "4", 4.0, " 5 " and the like; None for anything else."""
    if isinstance(value, bool) or "_" in str(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number in STARS else None


def split_of(key: int, valid_share: float, test_share: float) -> str:
    """Cut [0, 1) into test, valid and train and see where a 64-bit key falls.

    The key depends on the text and the salt alone: equal texts share a split, and a new review never moves an old one.
    """
    place = key / 2**64
    if place < test_share:
        return "test"
    return "valid" if place < test_share + valid_share else "train"


def judge(
    rows: Iterable[Row], valid_share: float, test_share: float, salt: str, split_given: bool
) -> Iterator[Kept | Rejected]:
    """Give one verdict for each row, in order.

    A repeat (same text, same rating) is rejected; the same text with another rating is kept, in the same split.
    """
    secret = blake2b(salt.encode(), digest_size=32).digest()
    seen: dict[bytes, tuple[int, str]] = {}
    for row in rows:
        text, rating = read_text(row.text), read_rating(row.rating)
        split = SPLIT_NAMES.get(str(row.split).strip().lower()) if split_given else ""
        reason = row.problem or _reason(text, rating, row.rating, split)
        if reason is None and text and rating is not None and split is not None:
            digest = text_digest(text, secret)
            key = int.from_bytes(digest[:8], "big")
            split = split or split_of(key, valid_share, test_share)
            ratings, first_split = seen.get(digest, (0, split))
            if ratings & 1 << rating:
                reason = REPEAT
            elif split != first_split:
                reason = f"same text in the {first_split} split"
            else:
                seen[digest] = (ratings | 1 << rating, split)
                slices = tuple(read_text(value) or None for value in row.slices)
                yield Kept(row.number, text, rating, split, row.truth, key, ratings.bit_count(), slices)
                continue
        yield Rejected(row.number, row.text, row.rating, str(reason))


class Census:
    """What `judge` said, in numbers."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.examples: list[Rejected] = []
        self.stars: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()
        self.keys = {split: array("Q") for split in SPLITS}
        self.conflicts = 0

    def add(self, verdict: Kept | Rejected) -> None:
        """Count one verdict."""
        if isinstance(verdict, Rejected):
            self.reasons[verdict.reason] += 1
            if verdict.reason != REPEAT and len(self.examples) < 3:
                self.examples.append(verdict)
            return
        self.stars[verdict.rating] += 1
        self.lengths[len(verdict.text.split())] += 1
        self.keys[verdict.split].append(verdict.key)
        self.conflicts += {0: 0, 1: 2}.get(verdict.namesakes, 1)

    @property
    def rejected_share(self) -> float:
        """Share of the rows read that were rejected, repeats left aside."""
        read = self.stars.total() + self.reasons.total()
        return (self.reasons.total() - self.reasons[REPEAT]) / read if read else 0.0

    def rejection(self) -> str:
        """Say in one line how much was rejected, why, and show the first three."""
        reasons = ", ".join(f"{reason}: {count}" for reason, count in self.reasons.items() if reason != REPEAT)
        shown = "; ".join(
            f"row {one.number}: rating {one.rating!r:.20}, text {one.text!r:.40}" for one in self.examples
        )
        return f"{self.rejected_share:.0%} of the rows are rejected ({reasons}), such as {shown}"

    def summary(self) -> dict[str, Any]:
        """Give the content of metrics/data.json.

        `conflicts` counts the used reviews whose text stands there with another rating too; `imbalance` is the
        largest class over the smallest; `overlap` counts the texts that stand in two splits, and must be 0.
        """
        used = self.stars.total()
        present = [count for count in self.stars.values() if count]
        lengths = np.repeat(list(self.lengths), list(self.lengths.values())) if used else np.zeros(1)
        return {
            "rows": {
                "read": used + self.reasons.total(),
                "used": used,
                "rejected": self.reasons.total() - self.reasons[REPEAT],
                "repeats": self.reasons[REPEAT],
                "conflicts": self.conflicts,
            },
            "rejected": {reason: count for reason, count in self.reasons.items() if reason != REPEAT and count},
            "splits": {split: len(keys) for split, keys in self.keys.items()},
            "stars": {str(star): self.stars[star] for star in STARS},
            "imbalance": round(max(present) / min(present), 2) if used else 0.0,
            "words": {
                "median": int(np.median(lengths)),
                "p95": int(np.quantile(lengths, 0.95, method="lower")),
                "max": int(lengths.max()),
            },
            "overlap": _overlap([np.unique(keys) for keys in self.keys.values()]),
        }


def _reason(text: str | None, rating: int | None, raw_rating: Any, split: str | None) -> str | None:
    if problem := text_problem(text):
        return problem
    if rating is None:
        missing = raw_rating is None or raw_rating != raw_rating or not str(raw_rating).strip()
        return "no rating" if missing else "rating is not 1, 2, 3, 4 or 5"
    return "split is not train, valid or test" if split is None else None


def _overlap(keys: list[np.ndarray]) -> int:
    together = np.concatenate(keys)
    return len(together) - len(np.unique(together))
