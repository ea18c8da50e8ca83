"""Assign reviews to splits by the hash of their texts, and resolve duplicates over all files of a table."""

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from src.core.schema import EXTRA, SPLITS, STARS, letters_and_digits, normalised_text
from src.tables.row_parser import ParsedRow

GROUPS = (*SPLITS, EXTRA)
DUPLICATE_REASON = "duplicate of an earlier row"

USABLE = np.dtype([("text", "u8", 2), ("key", "u8"), ("row", "i8"), ("rating", "i1"), ("split", "i1")])
"""A usable row: the digest of its text, that of its letters and digits (which selects the split), its index in its
file, its rating, and the index of its split in GROUPS."""
DUPLICATE, OTHER_SPLIT, UNUSABLE = -1, -2, -5
"""Row statuses below 0. OTHER_SPLIT - i is the status of a row whose text is already in GROUPS[i]."""


class RejectedRow(NamedTuple):
    """A row that is not used: its original cells, and the reason."""

    number: int
    text: str | None
    rating: str | None
    reason: str


def split_of(key: int, valid_share: float, test_share: float) -> str:
    """Assign a 64-bit key to a split: scaled to [0, 1), the lowest keys are test, the next valid, the rest train."""
    position = key / 2**64
    if position < test_share:
        return "test"
    return "valid" if position < test_share + valid_share else "train"


class UsableRows:
    """Collects the usable rows of a file, and assigns those without a split to one.

    The key depends only on the salt and on the letters and digits of a text: texts that differ by marks, case or emoji
    share a split, and new reviews never move old ones. Extra reviews all have the same rating, so that equal texts are
    duplicates.
    """

    def __init__(self, valid_share: float, test_share: float, split_salt: str) -> None:
        self.rows = 0
        self._shares = valid_share, test_share
        self._secret = blake2b(split_salt.encode(), digest_size=32).digest()
        self._texts, self._keys = bytearray(), array("Q")
        self._indices, self._ratings, self._splits = array("q"), array("b"), array("b")

    def add(self, row: ParsedRow) -> None:
        """Count the next row of the file, and keep it if it is usable."""
        if row.problem is None and row.text and (row.stars or row.split == EXTRA):
            normalised = normalised_text(row.text)
            self._texts += blake2b(normalised.encode(), digest_size=16).digest()
            letters = letters_and_digits(normalised).encode()
            key = int.from_bytes(blake2b(letters, key=self._secret, digest_size=8).digest(), "big")
            self._keys.append(key)
            self._indices.append(self.rows)
            self._ratings.append(row.stars or STARS[0])
            self._splits.append(GROUPS.index(row.split or split_of(key, *self._shares)))
        self.rows += 1

    def array(self) -> np.ndarray:
        """Return the usable rows in order, as USABLE."""
        usable = np.empty(len(self._indices), USABLE)
        usable["text"] = np.frombuffer(self._texts, ">u8").reshape(-1, 2)
        usable["key"], usable["row"] = self._keys, self._indices
        usable["rating"], usable["split"] = self._ratings, self._splits
        return usable


def cut_valid(usable: np.ndarray, share: float) -> np.ndarray:
    """Return the rows with this share of the train split, selected by the key, moved to the valid split."""
    if not share:
        return usable
    moved = (usable["split"] == SPLITS.index("train")) & (usable["key"] < np.uint64(share * 2**64))
    usable = usable.copy()
    usable["split"][moved] = SPLITS.index("valid")
    return usable


def sort_by_bucket(usable: np.ndarray, buckets: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort rows by the bucket of their key, stably; return them and the number of rows in each bucket.

    Nearly equal texts are in the same bucket whichever file they come from, so each bucket can be resolved on its own.
    """
    bucket = usable["key"] % buckets
    return usable[np.argsort(bucket, kind="stable")], np.bincount(bucket.astype(np.int64), minlength=buckets)


def resolve_duplicates(usable: np.ndarray) -> np.ndarray:
    """Return the status of each row relative to the rows before it: int8 [rows].

    The first row with a key determines the split of that key. A row with the text and the rating of a used row is a
    duplicate. A row with the same text and another rating (a label conflict) is used if it is in the same split. The
    status of a used row is the number of used rows before it with the same text; the status of any other row is
    DUPLICATE or OTHER_SPLIT minus the index of the split of its key.
    """
    splits = _splits_of_keys(usable)
    order = np.lexsort((usable["text"][:, 1], usable["text"][:, 0]))  # groups equal texts and keeps their order
    rows, split, position = usable[order], splits[order], np.arange(len(usable))
    starts_text = np.ones(len(rows), bool)
    starts_text[1:] = (rows["text"][1:] != rows["text"][:-1]).any(axis=1)
    start = np.maximum.accumulate(np.where(starts_text, position, 0))
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


def _splits_of_keys(usable: np.ndarray) -> np.ndarray:
    """Return for each row the split of the first row with its key: int8 [rows]."""
    order = np.argsort(usable["key"], kind="stable")
    keys = usable["key"][order]
    starts = np.ones(len(keys), bool)
    starts[1:] = keys[1:] != keys[:-1]
    splits = np.empty(len(usable), np.int8)
    splits[order] = usable["split"][order][starts][np.cumsum(starts) - 1]
    return splits


def count_leakage(used: np.ndarray) -> int:
    """Count the keys that occur in more than one split, or in one and an extra review; anything above 0 is a bug."""
    keys = [np.unique(used["key"][used["split"] == group]) for group in range(len(GROUPS))]
    all_keys = np.concatenate(keys)
    return len(all_keys) - len(np.unique(all_keys))


def describe_status(row_status: int) -> str:
    """Return why a usable row with a status below 0 is not used."""
    if row_status == DUPLICATE:
        return DUPLICATE_REASON
    return f"text is already in the {GROUPS[OTHER_SPLIT - row_status]} split"


def rejected_rows(batch: pa.RecordBatch, numbers: np.ndarray, row_statuses: np.ndarray) -> Iterator[RejectedRow]:
    """Yield the rows of a batch that are not used, with the reason."""
    chosen = row_statuses < 0
    columns = (batch.column(name).filter(pa.array(chosen)).to_pylist() for name in ("text", "rating", "problem"))
    rows = zip(numbers[chosen].tolist(), row_statuses[chosen].tolist(), *columns, strict=True)
    for number, row_status, text, rating, problem in rows:
        yield RejectedRow(number, text, rating, problem or describe_status(row_status))
