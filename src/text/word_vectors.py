"""Word vectors made elsewhere, as a start for the embedding."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from src.core.errors import UserError


def average_vectors(
    lines: Iterable[str], name: str, clean: Callable[[str], str], ids: Mapping[str, int], size: int
) -> dict[int, np.ndarray]:
    """Give the words of a vocabulary their vectors, float64 [size], by their ids; words without one are left out.

    lines: a GloVe, fastText or word2vec text file called `name`, a word and its `size` numbers a line, most frequent
    word first. A vocabulary of stems finds its vectors all the same: each word of the file is cleaned as a review is,
    and a stem gets the mean of its forms (crash, crashes, crashed), the i-th word of the file weighing 1 / i, which is
    about how often it occurs.
    Source of the weights: Zipf, Human Behavior and the Principle of Least Effort (1949), chapter 2.

    Raises:
        UserError: names the line that does not hold a word and `size` finite numbers; or no word is found.
    """
    sums: dict[int, np.ndarray] = {}
    weights: dict[int, float] = {}
    for number, line in enumerate(lines, 1):
        if number == 1 and _is_header(line, name, size):
            continue
        parts = line.rstrip(" \r\n").rsplit(" ", size)  # blanks alone: a word may hold other spaces
        place = ids.get(clean(line.partition(" ")[0]))
        # The larger GloVe files hold "words" of several words; no word of a vocabulary is one.
        if place is None or " " in parts[0]:
            continue
        values = _numbers(parts[1:])
        if len(values) != size or not np.isfinite(values).all():
            raise UserError(f"{name}, line {number}: not a word and {size} numbers; is the file text, and complete?")
        sums[place] = sums.get(place, 0) + values / number
        weights[place] = weights.get(place, 0) + 1 / number
    if not sums:
        raise UserError(f"{name}: no word of the vocabulary has a vector; is it a text file, in the reviews' language?")
    return {place: sums[place] / weights[place] for place in sorted(sums)}


def coverage(found: Iterable[int], ids: np.ndarray, words: int) -> dict[str, float]:
    """Share of the vocabulary's `words`, and of all the words written in some reviews, that have a vector."""
    places = list(found)
    return {
        "vocabulary": round(len(places) / max(words, 1), 4),
        "words": round(float(np.isin(ids, places).mean()), 4) if len(ids) else 0.0,
    }


def _is_header(line: str, name: str, size: int) -> bool:
    """Whether the first line is a header ("400000 100"); the size that it tells, or shows, must be the one wanted."""
    parts = line.split()
    header = len(parts) == 2 and all(part.isdecimal() for part in parts)
    there = int(parts[1]) if header else max(len(parts) - 1, 0)
    if there != size:
        raise UserError(f"{name}: vectors of {there} numbers a word; set model.embedding_dim to {there}, not {size}")
    return header


def _numbers(parts: list[str]) -> np.ndarray:
    try:
        return np.array(parts, np.float64)
    except ValueError:
        return np.array([np.nan])
