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
"""A usable row: the digest of its text, its index in its file, its rating, and the index of its split in SPLITS."""
DUPLICATE, OTHER_SPLIT, UNUSABLE = -1, -2, -5
"""Row statuses below 0. OTHER_SPLIT - i is the status of a row whose text is already in the split SPLITS[i]."""


class UsedReview(NamedTuple):
    """A row that is used.

    duplicate_texts: the number of used rows before it with the same text, all with other ratings. true_probabilities:
    the true P(stars | text), None if the table does not have it. slices: the cells of the slice columns.
    """

    number: int
    text: str
    rating: int
    split: str
    true_probabilities: tuple[float, ...] | None
    duplicate_texts: int
    slices: tuple[str | None, ...]


class RejectedRow(NamedTuple):
    """A row that is not used: its original cells, and the reason."""

    number: int
    text: Any
    rating: Any
    reason: str


def read_rating(value: Any) -> int | None:
    """Return the rating in a cell such as "4", 4.0 or " 5 "; None if it is not 1 to 5 stars."""
    if isinstance(value, bool) or "_" in str(value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if number in STARS else None


def split_of(key: int, valid_share: float, test_share: float) -> str:
    """Assign a 64-bit key to a split: scaled to [0, 1), the lowest keys are test, the next valid, the rest train.

    The key depends only on the text and the salt, so equal texts share a split, and new reviews never move old ones.
    """
    position = key / 2**64
    if position < test_share:
        return "test"
    return "valid" if position < test_share + valid_share else "train"


def scan_rows(
    rows: Iterable[Row], valid_share: float, test_share: float, split_salt: str, has_split: bool
) -> tuple[int, np.ndarray]:
    """Return the number of rows in a file and its usable rows in order, as USABLE; has_split overrides the shares."""
    secret = blake2b(split_salt.encode(), digest_size=32).digest()
    digests, indices, ratings, splits = bytearray(), array("q"), array("b"), array("b")
    read = 0
    for read, row in enumerate(rows, 1):
        text, rating, split, problem = _parse_row(row, has_split)
        if problem is None and text and rating is not None and split is not None:
            digest = text_digest(text, secret)
            digests += digest
            indices.append(read - 1)
            ratings.append(rating)
            split = split or split_of(int.from_bytes(digest[:8], "big"), valid_share, test_share)
            splits.append(SPLITS.index(split))
    usable = np.empty(len(indices), USABLE)
    usable["text"] = np.frombuffer(digests, ">u8").reshape(-1, 2)
    usable["row"], usable["rating"], usable["split"] = indices, ratings, splits
    return read, usable


def sort_by_bucket(usable: np.ndarray, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort rows by the bucket of their text, stably; return them and the number of rows in each bucket.

    Equal texts are in the same bucket whichever file they come from, so each bucket can be resolved on its own.
    """
    bucket = usable["text"][:, 0] % buckets
    return usable[np.argsort(bucket, kind="stable")], np.bincount(bucket.astype(np.int64), minlength=buckets)


def resolve_duplicates(usable: np.ndarray) -> np.ndarray:
    """Return the status of each row relative to the rows before it: int8 [rows].

    The first row with a text determines the split of that text. A row with the text and the rating of a used row is a
    duplicate. A row with the same text and another rating (a label conflict) is used if it is in the same split. The
    status of a used row is the number of used rows before it with the same text; the status of any other row is
    DUPLICATE or OTHER_SPLIT minus the index of the split of its text.
    """
    order = np.lexsort((usable["text"][:, 1], usable["text"][:, 0]))  # groups equal texts and keeps their order
    rows, position = usable[order], np.arange(len(usable))
    starts_text = np.ones(len(rows), bool)
    starts_text[1:] = (rows["text"][1:] != rows["text"][:-1]).any(axis=1)
    start = np.maximum.accumulate(np.where(starts_text, position, 0))
    split = rows["split"][start]
    in_split = rows["split"] == split
    text_and_rating = start * len(STARS) + rows["rating"] - 1
    first_used = np.full(len(rows) * len(STARS), len(rows))
    # In reverse, so that the first row with a text and rating is written last and remains.
    first_used[text_and_rating[in_split][::-1]] = position[in_split][::-1]
    used = first_used[text_and_rating] == position
    used_before = np.cumsum(used) - used
    row_statuses = np.empty(len(rows), np.int8)
    row_statuses[order] = np.where(
        used,
        used_before - used_before[start],
        np.where(first_used[text_and_rating] < position, DUPLICATE, OTHER_SPLIT - split),
    )
    return row_statuses


def count_leakage(used: np.ndarray) -> int:
    """Count the texts that occur in more than one split; anything above 0 is a bug."""
    texts = [np.unique(used["text"][used["split"] == split, 0]) for split in range(len(SPLITS))]
    all_texts = np.concatenate(texts)
    return len(all_texts) - len(np.unique(all_texts))


def classify_rows(
    rows: Iterable[Row], rows_before: int, row_statuses: np.ndarray, splits: np.ndarray, has_split: bool
) -> Iterator[UsedReview | RejectedRow]:
    """Yield each row of a file as a used review or a rejected row, in order.

    rows_before: the number of rows in the files before this one. row_statuses: int8 [rows], UNUSABLE or the result of
    resolve_duplicates. splits: int8 [rows], indices in SPLITS. The result is wrong if the file changed after scan_rows.
    """
    for row, row_status, split in zip(rows, row_statuses.tolist(), splits.tolist(), strict=False):
        number = rows_before + row.number
        if row_status >= 0:
            slices = tuple(read_text(value) or None for value in row.slices)
            text, rating = read_text(row.text) or "", read_rating(row.rating) or 0
            yield UsedReview(number, text, rating, SPLITS[split], row.true_probabilities, row_status, slices)
            continue
        if row_status == DUPLICATE:
            reason = DUPLICATE_REASON
        elif row_status == UNUSABLE:
            reason = str(_parse_row(row, has_split)[-1])
        else:
            reason = f"text is already in the {SPLITS[OTHER_SPLIT - row_status]} split"
        yield RejectedRow(number, row.text, row.rating, reason)


class DataSummary:
    """Counts over the rows that classify_rows yields."""

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

    def add(self, row: UsedReview | RejectedRow) -> None:
        """Count one row."""
        if isinstance(row, RejectedRow):
            self.reasons[row.reason] += 1
            if row.reason != DUPLICATE_REASON and len(self.examples) < 3:
                self.examples.append(row)
            return
        self.stars[row.rating] += 1
        self.lengths[len(row.text.split())] += 1
        self.splits[row.split] += 1
        self.label_conflicts += {0: 0, 1: 2}.get(row.duplicate_texts, 1)  # the second rating adds the first review too

    def add_table(self, table: Table) -> None:
        """Count how a file was read; call it after the last row, when its repairs are complete."""
        self.encodings.update([table.encoding] if table.encoding else [])
        self.separators.update([table.separator] if table.separator else [])
        self.repaired.update(table.repairs)

    def __add__(self, other: "DataSummary") -> "DataSummary":
        """Return the counts over the rows of both, where those of `other` come later."""
        both = DataSummary()
        for name, value in vars(both).items():
            if isinstance(value, Counter):
                value.update(getattr(self, name))
                value.update(getattr(other, name))
        both.examples = (self.examples + other.examples)[:3]
        both.label_conflicts = self.label_conflicts + other.label_conflicts
        return both

    @property
    def rejected(self) -> dict[str, int]:
        """The number of rejected rows by reason, without the duplicates."""
        return {reason: count for reason, count in self.reasons.items() if reason != DUPLICATE_REASON and count}

    @property
    def rejected_share(self) -> float:
        """The share of all rows that were rejected, without the duplicates."""
        read = self.stars.total() + self.reasons.total()
        return sum(self.rejected.values()) / read if read else 0.0

    def describe_rejected(self) -> str:
        """Describe in one line how many rows were rejected and why, with the first three as examples."""
        reasons = ", ".join(f"{reason}: {count}" for reason, count in self.rejected.items())
        examples = "; ".join(
            f"row {row.number}: rating {row.rating!r:.20}, text {row.text!r:.40}" for row in self.examples
        )
        return f"{self.rejected_share:.0%} of the rows are rejected ({reasons}), for example {examples}"

    def summary(self) -> dict[str, Any]:
        """Return the content of metrics/data.json, except for the result of count_leakage.

        `label_conflicts` counts the used reviews whose text also appears with another rating. `imbalance` is the size
        of the largest class divided by that of the smallest.
        """
        used = self.stars.total()
        present = [count for count in self.stars.values() if count]
        lengths = np.repeat(list(self.lengths), list(self.lengths.values())) if used else np.zeros(1)
        return {
            "rows": {
                "read": used + self.reasons.total(),
                "used": used,
                "rejected": sum(self.rejected.values()),
                "duplicates": self.reasons[DUPLICATE_REASON],
                "label_conflicts": self.label_conflicts,
            },
            "rejected": self.rejected,
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


def _parse_row(row: Row, has_split: bool) -> tuple[str | None, int | None, str | None, str | None]:
    """Return a row's text, rating and split ('' if the table has no split column), and why it is unusable, or None."""
    text, rating = read_text(row.text), read_rating(row.rating)
    split = SPLIT_NAMES.get(str(row.split).strip().lower()) if has_split else ""
    return text, rating, split, row.problem or _reason(text, rating, row.rating, split)


def _reason(text: str | None, rating: int | None, raw_rating: Any, split: str | None) -> str | None:
    if problem := text_problem(text):
        return problem
    if rating is None:
        missing = raw_rating is None or raw_rating != raw_rating or not str(raw_rating).strip()
        return "no rating" if missing else "rating is not 1, 2, 3, 4 or 5"
    return "split is not train, valid or test" if split is None else None
