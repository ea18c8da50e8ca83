"""Resolve the duplicates of a table of many files through arrays in a scratch folder, so that no task holds them all.

A bucket holds the usable rows of all files whose keys are equal modulo the number of buckets.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from src.core.files import read_array, write_array
from src.tables.splitting import UNUSABLE, count_leakage, cut_valid, resolve_duplicates, sort_by_bucket


def save_usable(scratch: Path, number: int, usable: np.ndarray, buckets: int) -> np.ndarray:
    """Save the usable rows of a file, sorted by bucket; return the number of rows in each bucket, int64 [buckets]."""
    sorted_rows, counts = sort_by_bucket(usable, buckets)
    write_array(scratch / f"usable-{number}.npy", sorted_rows)
    return counts


def save_counts(scratch: Path, counts: Sequence[np.ndarray]) -> None:
    """Save what save_usable returned for each file."""
    write_array(scratch / "counts.npy", np.array(counts))


def resolve_bucket(scratch: Path, valid_share: float, bucket: int) -> int:
    """Save the statuses of the rows of a bucket, over all files in order; return the number of leaking texts.

    valid_share: the share of the train split that becomes the valid split (cut_valid).
    """
    counts = read_array(scratch / "counts.npy")
    starts = np.cumsum(counts, axis=1) - counts
    rows = cut_valid(_concatenate_slices(scratch, "usable", starts[:, bucket], counts[:, bucket]), valid_share)
    row_statuses = resolve_duplicates(rows)
    write_array(scratch / f"statuses-{bucket}.npy", row_statuses)
    return count_leakage(rows[row_statuses >= 0])


def load_row_statuses(scratch: Path, valid_share: float, number: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the status of each row of a file and the index of its split in GROUPS, both int8 [rows]."""
    counts = read_array(scratch / "counts.npy")
    starts = np.cumsum(counts, axis=0) - counts
    usable = cut_valid(read_array(scratch / f"usable-{number}.npy"), valid_share)
    row_statuses, splits = np.full(rows, UNUSABLE, np.int8), np.zeros(rows, np.int8)
    row_statuses[usable["row"]] = _concatenate_slices(scratch, "statuses", starts[number], counts[number])
    splits[usable["row"]] = usable["split"]
    return row_statuses, splits


def _concatenate_slices(folder: Path, name: str, starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate one slice of each file name-0.npy, name-1.npy, ..., given by its start and its number of rows."""
    slices = enumerate(zip(starts, counts, strict=True))
    # Copied, because each memory map keeps a file open.
    return np.concatenate(
        [np.array(read_array(folder / f"{name}-{i}.npy")[start : start + count]) for i, (start, count) in slices]
    )
