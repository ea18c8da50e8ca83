"""Decide for every row whether it is used, and in which split; count everything."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from src.core.schema import SPLITS, STARS, read_text, text_digest, text_problem
from src.tables.readers import Row, Table

SPLIT_NAMES = {name: name for name in SPLITS} | {
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
}
DUPLICATE_REASON = "duplicate of an earlier row"


USABLE = np.dtype([("text", "u8", 2), ("row", "i8"), ("rating", "i1"), ("split", "i1")])
"""A row that could be used: the digest of its text, its place in its file, its stars, and its split's in SPLITS."""
DUPLICATE, OTHER_SPLIT, UNUSABLE = -1, -2, -5
"""Standings below 0: of a repeat; of a text that stands in the split SPLITS[ASTRAY - standing]; of a row not usable."""


class UsedReview(NamedTuple):
    """A review that is used.

    `namesakes` counts the earlier reviews with this text and other ratings, `truth` is its true P(stars | text) where
    the table holds it, `slices` what stands in its slice columns.
    """

    number: int
    text: str
    rating: int
    split: str
    true_probabilities: tuple[float, ...] | None
    duplicate_texts: int
    slices: tuple[str | None, ...]


class RejectedRow(NamedTuple):
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

    The key depends on the text and the salt alone:
    equal texts share a split, and a new review never moves an old one.
    """
    place = key / 2**64
    if place < test_share:
        return "test"
    return "valid" if place < test_share + valid_share else "train"


def scan_rows(
    rows: Iterable[Row], valid_share: float, test_share: float, split_salt: str, split_given: bool
) -> tuple[int, np.ndarray]:
    """Look at the rows of a file: give their number, and those that could be used as USABLE, in order."""
    secret = blake2b(split_salt.encode(), digest_size=32).digest()
    digests, places, ratings, splits = bytearray(), array("q"), array("b"), array("b")
    read = 0
    for read, row in enumerate(rows, 1):
        text, rating, split, problem = _examine(row, split_given)
        if problem is None and text and rating is not None and split is not None:
            digest = text_digest(text, secret)
            digests += digest
            places.append(read - 1)
            ratings.append(rating)
            split = split or split_of(int.from_bytes(digest[:8], "big"), valid_share, test_share)
            splits.append(SPLITS.index(split))
    usable = np.empty(len(places), USABLE)
    usable["text"] = np.frombuffer(digests, ">u8").reshape(-1, 2)
    usable["row"], usable["rating"], usable["split"] = places, ratings, splits
    return read, usable


def by_bucket(usable: np.ndarray, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort rows into buckets by their texts, in order within each; give them, and how many each bucket has.

    Equal texts of all files meet in one bucket, so that it can be settled without the others.
    """
    bucket = usable["text"][:, 0] % buckets
    return usable[np.argsort(bucket, kind="stable")], np.bincount(bucket.astype(np.int64), minlength=buckets)


def resolve_duplicates(usable: np.ndarray) -> np.ndarray:
    """Say of each row, given in order, how it stands to those before it: int8 [rows].

    The first row of a text decides its split. A row with the text and the rating of a used one is a repeat; the same
    text with another rating is used too, if it is in the same split. The standing of a row that is used is the number
    of used rows before it with the same text; the others are DUPLICATE or ASTRAY.
    """
    order = np.lexsort((usable["text"][:, 1], usable["text"][:, 0]))  # rows of one text, next to each other, in order
    rows, place = usable[order], np.arange(len(usable))
    first = np.ones(len(rows), bool)
    first[1:] = (rows["text"][1:] != rows["text"][:-1]).any(axis=1)
    start = np.maximum.accumulate(np.where(first, place, 0))
    split = rows["split"][start]
    at_home = rows["split"] == split
    opinion = start * len(STARS) + rows["rating"] - 1
    first_used = np.full(len(rows) * len(STARS), len(rows))
    first_used[opinion[at_home][::-1]] = place[at_home][::-1]  # backwards: the last one written, the first row, stays
    used = first_used[opinion] == place
    used_before = np.cumsum(used) - used
    row_statuses = np.empty(len(rows), np.int8)
    row_statuses[order] = np.where(
        used,
        used_before - used_before[start],
        np.where(first_used[opinion] < place, DUPLICATE, OTHER_SPLIT - split),
    )
    return row_statuses


def count_leakage(used: np.ndarray) -> int:
    """Count the texts that stand in two splits: none, or something is wrong."""
    texts = [np.unique(used["text"][used["split"] == split, 0]) for split in range(len(SPLITS))]
    together = np.concatenate(texts)
    return len(together) - len(np.unique(together))


def classify_rows(
    rows: Iterable[Row], before: int, row_statuses: np.ndarray, splits: np.ndarray, split_given: bool
) -> Iterator[UsedReview | RejectedRow]:
    """Give one verdict for each row of a file, in order.

    before: the rows in the files before it. standings: what settle says, UNUSABLE where a row is not. splits: places in
    SPLITS. Both int8 [rows]. Where the file has changed since it was surveyed, the verdicts say nothing.
    """
    for row, row_status, split in zip(rows, row_statuses.tolist(), splits.tolist(), strict=False):
        number = before + row.number
        if row_status >= 0:
            slices = tuple(read_text(value) or None for value in row.slices)
            text, rating = read_text(row.text) or "", read_rating(row.rating) or 0
            yield UsedReview(number, text, rating, SPLITS[split], row.true_probabilities, row_status, slices)
        elif row_status == DUPLICATE:
            yield RejectedRow(number, row.text, row.rating, DUPLICATE_REASON)
        elif row_status == UNUSABLE:
            yield RejectedRow(number, row.text, row.rating, str(_examine(row, split_given)[-1]))
        else:
            yield RejectedRow(
                number, row.text, row.rating, f"same text in the {SPLITS[OTHER_SPLIT - row_status]} split"
            )


class DataSummary:
    """What `judge` said, in numbers."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()
        self.examples: list[RejectedRow] = []
        self.stars: Counter[int] = Counter()
        self.lengths: Counter[int] = Counter()
        self.splits: Counter[str] = Counter()
        self.label_conflicts = 0
        self.encodings: Counter[str] = Counter()
        self.separators: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()

    def add(self, verdict: UsedReview | RejectedRow) -> None:
        """Count one verdict."""
        if isinstance(verdict, RejectedRow):
            self.reasons[verdict.reason] += 1
            if verdict.reason != DUPLICATE_REASON and len(self.examples) < 3:
                self.examples.append(verdict)
            return
        self.stars[verdict.rating] += 1
        self.lengths[len(verdict.text.split())] += 1
        self.splits[verdict.split] += 1
        self.label_conflicts += {0: 0, 1: 2}.get(verdict.duplicate_texts, 1)

    def add_table(self, table: Table) -> None:
        """Note how a file was read, once it has been."""
        self.encodings.update([table.encoding] if table.encoding else [])
        self.separators.update([table.separator] if table.separator else [])
        self.repaired.update(table.repairs)

    def __add__(self, other: "DataSummary") -> "DataSummary":
        """What was said of the rows of both; `other` comes after."""
        both = DataSummary()
        for name, value in vars(both).items():
            if isinstance(value, Counter):
                value.update(getattr(self, name))
                value.update(getattr(other, name))
        both.examples = (self.examples + other.examples)[:3]
        both.label_conflicts = self.label_conflicts + other.label_conflicts
        return both

    @property
    def rejected_share(self) -> float:
        """Share of the rows read that were rejected, repeats left aside."""
        read = self.stars.total() + self.reasons.total()
        return (self.reasons.total() - self.reasons[DUPLICATE_REASON]) / read if read else 0.0

    def rejection(self) -> str:
        """Say in one line how much was rejected, why, and show the first three."""
        reasons = ", ".join(
            f"{reason}: {count}" for reason, count in self.reasons.items() if reason != DUPLICATE_REASON
        )
        shown = "; ".join(
            f"row {one.number}: rating {one.rating!r:.20}, text {one.text!r:.40}" for one in self.examples
        )
        return f"{self.rejected_share:.0%} of the rows are rejected ({reasons}), such as {shown}"

    def summary(self) -> dict[str, Any]:
        """Give the content of metrics/data.json, all but what src.tables.splitting.overlap says.

        `conflicts` counts the used reviews whose text stands there with another rating too; `imbalance` is the
        largest class over the smallest.
        """
        used = self.stars.total()
        present = [count for count in self.stars.values() if count]
        lengths = np.repeat(list(self.lengths), list(self.lengths.values())) if used else np.zeros(1)
        return {
            "rows": {
                "read": used + self.reasons.total(),
                "used": used,
                "rejected": self.reasons.total() - self.reasons[DUPLICATE_REASON],
                "duplicates": self.reasons[DUPLICATE_REASON],
                "label_conflicts": self.label_conflicts,
            },
            "rejected": {
                reason: count for reason, count in self.reasons.items() if reason != DUPLICATE_REASON and count
            },
            "splits": {split: self.splits[split] for split in SPLITS},
            "stars": {str(star): self.stars[star] for star in STARS},
            "imbalance": round(max(present) / min(present), 2) if used else 0.0,
            "words": {
                "median": int(np.median(lengths)),
                "p95": int(np.quantile(lengths, 0.95, method="lower")),
                "max": int(lengths.max()),
            },
            "encoding": ", ".join(sorted(self.encodings)) or None,
            "separator": ", ".join(sorted(self.separators)) or None,
            "repaired": dict(self.repaired),
        }


def _examine(row: Row, split_given: bool) -> tuple[str | None, int | None, str | None, str | None]:
    """Give a row's text, rating and split ('' where none is given), and why it cannot be used, if it cannot."""
    text, rating = read_text(row.text), read_rating(row.rating)
    split = SPLIT_NAMES.get(str(row.split).strip().lower()) if split_given else ""
    return text, rating, split, row.problem or _reason(text, rating, row.rating, split)


def _reason(text: str | None, rating: int | None, raw_rating: Any, split: str | None) -> str | None:
    if problem := text_problem(text):
        return problem
    if rating is None:
        missing = raw_rating is None or raw_rating != raw_rating or not str(raw_rating).strip()
        return "no rating" if missing else "rating is not 1, 2, 3, 4 or 5"
    return "split is not train, valid or test" if split is None else None
