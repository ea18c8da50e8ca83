"""Reviews as word ids: ragged arrays on disk and in memory, padded batches for the model."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.text.vocabulary import PADDING

SHARD = 2**20
"""Reviews that are shuffled or evaluated at a time; this bounds the memory."""


class EncodedReviews(NamedTuple):
    """Reviews as word ids, without padding.

    ids: int32 [words], all reviews one after the other. offsets: int64 [reviews + 1]; review i is
    ids[offsets[i]:offsets[i + 1]]. labels: int64 [reviews], the class of each review.
    """

    ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Number of words of each review, int64 [reviews]."""
        return np.diff(self.offsets)

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """Number of words of some reviews, int64 [rows]."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def parts(self, size: int = SHARD) -> "Iterator[EncodedReviews]":
        """Split the reviews, in order, into parts of at most `size`, without a copy."""
        for start in range(0, len(self.labels), size):
            end = start + size
            yield EncodedReviews(self.ids, self.offsets[start : end + 1], self.labels[start:end])


def save_encoded(folder: Path, reviews: EncodedReviews) -> None:
    """Write each array to a .npy file."""
    folder.mkdir(parents=True)
    for name, values in reviews._asdict().items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def join_encoded(folder: Path, parts: Sequence[Path]) -> None:
    """Concatenate the reviews of several folders into one; memory does not grow with their number."""
    folder.mkdir(parents=True)
    size = sum(len(load_encoded(part).labels) for part in parts)
    words = sum(len(load_encoded(part).ids) for part in parts)
    _write_array(folder / "ids.npy", np.int32, words, (load_encoded(part).ids for part in parts))
    _write_array(folder / "offsets.npy", np.int64, size + 1, _joined_offsets(parts))
    _write_array(folder / "labels.npy", np.int64, size, (load_encoded(part).labels for part in parts))


def _joined_offsets(parts: Sequence[Path]) -> Iterator[np.ndarray]:
    end = 0
    yield np.zeros(1, np.int64)
    for part in parts:
        offsets = load_encoded(part).offsets
        yield offsets[1:] + end
        end += int(offsets[-1])


def _write_array(path: Path, dtype: type[np.generic], size: int, values: Iterable[np.ndarray]) -> None:
    """Write the same bytes as np.save, but piece by piece; a memory map would crash the process on a full disk."""
    with path.open("wb") as file:
        description = np.lib.format.dtype_to_descr(np.dtype(dtype))
        header = {"descr": description, "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in values:
            file.write(piece.astype(dtype, copy=False).data)


def load_encoded(folder: Path) -> EncodedReviews:
    """Memory-map the arrays; they are read when they are used."""
    return EncodedReviews(
        *(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in EncodedReviews._fields)
    )


def concatenate(first: EncodedReviews, second: EncodedReviews) -> EncodedReviews:
    """Join two sets of reviews; if the second is empty, return the first itself, which may be memory-mapped."""
    if not len(second.labels):
        return first
    return EncodedReviews(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        np.concatenate([first.labels, second.labels]),
    )


def pad(reviews: EncodedReviews, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pad some reviews on the right to the length of the longest of them.

    Returns ids, int64 [rows, words], and lengths, int64 [rows].
    """
    starts, lengths = reviews.offsets[rows], reviews.lengths_of(rows)
    position = np.arange(lengths.max())
    real = position < lengths[:, None]
    padded = np.full(real.shape, PADDING, dtype=np.int64)
    padded[real] = reviews.ids[(starts[:, None] + position)[real]]
    return padded, lengths


def batches_by_length(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Split all reviews into batches by increasing length, which needs the least padding."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def shuffled_batches(
    reviews: EncodedReviews, rows: np.ndarray, batch_size: int, seed: int, window: int = 50, shard: int = SHARD
) -> Iterator[np.ndarray]:
    """Split `rows` into ceil(rows / batch_size) batches of similar length, in random order.

    Shards of about `shard` neighbouring rows come in random order, so that memory holds only one shard. Within a shard,
    the rows are shuffled, then sorted by length within windows of `window` batches, and then the batches are shuffled:
    both the batch of a review and the order of the batches change with the seed. Each row is in exactly one batch.
    """
    random = np.random.default_rng(seed)
    size = max(1, shard // batch_size) * batch_size  # whole batches, so that only the last one is smaller
    for number in random.permutation(math.ceil(len(rows) / size)):
        part = random.permutation(np.array(rows[number * size : (number + 1) * size]))
        lengths = reviews.lengths_of(part)
        batches: list[np.ndarray] = []
        for start in range(0, len(part), window * batch_size):
            order = start + np.argsort(lengths[start : start + window * batch_size], kind="stable")
            batches += [part[order[i : i + batch_size]] for i in range(0, len(order), batch_size)]
        yield from (batches[i] for i in random.permutation(len(batches)))
