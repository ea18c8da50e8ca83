"""Encoded reviews: ragged word ids on disk and in memory, padded batches for the model."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.text.vocabulary import PADDING

SHARD = 2**20  # reviews that are put in order or measured at a time: what bounds the memory, however many there are


class EncodedReviews(NamedTuple):
    """Reviews as word ids, without padding.

    ids: int32 [words], all reviews one after the other. offsets: int64 [reviews + 1], review i is
    ids[offsets[i]:offsets[i + 1]]. labels: int64 [reviews], the class of each.
    """

    ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Words of each review, int64 [reviews]."""
        return np.diff(self.offsets)

    def lengths_of(self, rows: np.ndarray) -> np.ndarray:
        """Words of some reviews, int64 [rows]."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def parts(self, size: int = SHARD) -> "Iterator[EncodedReviews]":
        """The reviews, in their order, as parts of at most `size`; nothing is copied."""
        for start in range(0, len(self.labels), size):
            end = start + size
            yield EncodedReviews(self.ids, self.offsets[start : end + 1], self.labels[start:end])


def save_encoded(folder: Path, reviews: EncodedReviews) -> None:
    """Write one .npy file for each array."""
    folder.mkdir(parents=True)
    for name, values in reviews._asdict().items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def join_encoded(folder: Path, parts: Sequence[Path]) -> None:
    """Write the reviews of several folders, one after the other, as those of one; memory does not grow with them."""
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


def _write_array(path: Path, kind: type[np.generic], size: int, values: Iterable[np.ndarray]) -> None:
    """Write what np.save would, but piece by piece; a memory map would end the process where the disk is full."""
    with path.open("wb") as file:
        description = np.lib.format.dtype_to_descr(np.dtype(kind))
        header = {"descr": description, "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(file, header)
        for piece in values:
            file.write(piece.astype(kind, copy=False).data)


def load_encoded(folder: Path) -> EncodedReviews:
    """Map the arrays into memory; nothing is read until it is used."""
    return EncodedReviews(
        *(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in EncodedReviews._fields)
    )


def pad(reviews: EncodedReviews, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give some reviews as one rectangle, as wide as the longest of them.

    Returns ids int64 [rows, words], padded on the right, and lengths int64 [rows].
    """
    starts, lengths = reviews.offsets[rows], reviews.lengths_of(rows)
    place = np.arange(lengths.max())
    real = place < lengths[:, None]
    padded = np.full(real.shape, PADDING, dtype=np.int64)
    padded[real] = reviews.ids[(starts[:, None] + place)[real]]
    return padded, lengths


def batches_by_length(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Cut all reviews into batches of like length, in order of length: the least padding there can be."""
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def shuffled_batches(
    reviews: EncodedReviews, rows: np.ndarray, batch_size: int, seed: int, window: int = 50, shard: int = SHARD
) -> Iterator[np.ndarray]:
    """Cut `rows` into batches in a random order, each of reviews of like length: ceil(rows / batch_size) batches.

    Shards of about `shard` neighbouring rows come in a random order, so that memory holds one of them. Within a shard
    rows are shuffled, sorted by length within windows of `window` batches, and the batches shuffled again, so that
    both the neighbours of a review and its turn change from epoch to epoch. Each row stands in exactly one batch.
    """
    random = np.random.default_rng(seed)
    size = max(1, shard // batch_size) * batch_size  # whole batches: only the last shard ends with a smaller one
    for number in random.permutation(math.ceil(len(rows) / size)):
        part = random.permutation(np.array(rows[number * size : (number + 1) * size]))
        lengths = reviews.lengths_of(part)
        batches: list[np.ndarray] = []
        for start in range(0, len(part), window * batch_size):
            order = start + np.argsort(lengths[start : start + window * batch_size], kind="stable")
            batches += [part[order[i : i + batch_size]] for i in range(0, len(order), batch_size)]
        yield from (batches[i] for i in random.permutation(len(batches)))
