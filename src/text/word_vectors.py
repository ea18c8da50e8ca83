"""Pre-trained word vectors as initial weights of the embedding."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from src.core.errors import UserError


def average_vectors(
    lines: Iterable[str], name: str, clean: Callable[[str], str], ids: Mapping[str, int], size: int
) -> dict[int, np.ndarray]:
    """Find the vectors of a vocabulary's words: float64 [size] by word id; words without a vector are left out.

    lines: a GloVe, fastText or word2vec text file called `name`, with a word and `size` numbers on each line, most
    frequent word first. Each word of the file is cleaned like a review, so that stems find vectors too: a stem gets the
    weighted mean of its forms (crash, crashes, crashed). The i-th word of the file has the weight 1 / i, which is
    roughly proportional to its frequency.
    Source of the weights: Zipf, Human Behavior and the Principle of Least Effort (1949), chapter 2.

    Raises:
        UserError: a line is not a word and `size` finite numbers (the message names it), or no word is found.
    """
    sums: dict[int, np.ndarray] = {}
    weights: dict[int, float] = {}
    for number, line in enumerate(lines, 1):
        if number == 1 and _is_header(line, name, size):
            continue
        parts = line.rstrip(" \r\n").rsplit(" ", size)  # at spaces only: a word may contain other white space
        word_id = ids.get(clean(line.partition(" ")[0]))
        # Large GloVe files contain "words" with spaces in them, which no vocabulary has.
        if word_id is None or " " in parts[0]:
            continue
        values = _numbers(parts[1:])
        if len(values) != size or not np.isfinite(values).all():
            raise UserError(f"{name}, line {number}: not a word and {size} numbers; is this a complete text file?")
        sums[word_id] = sums.get(word_id, 0) + values / number
        weights[word_id] = weights.get(word_id, 0) + 1 / number
    if not sums:
        raise UserError(f"{name}: no word of the vocabulary has a vector; is it a text file in the reviews' language?")
    return {word_id: sums[word_id] / weights[word_id] for word_id in sorted(sums)}


def coverage(found: Iterable[int], ids: np.ndarray, words: int) -> dict[str, float]:
    """Share of the vocabulary, which has `words` words, and of the words in some reviews, `ids`, with a vector."""
    with_vector = list(found)
    return {
        "vocabulary": round(len(with_vector) / max(words, 1), 4),
        "words": round(float(np.isin(ids, with_vector).mean()), 4) if len(ids) else 0.0,
    }


def _is_header(line: str, name: str, size: int) -> bool:
    """Whether the first line is a header ("400000 100"); refuse it, header or not, if its vectors have another size."""
    parts = line.split()
    header = len(parts) == 2 and all(part.isdecimal() for part in parts)
    found = int(parts[1]) if header else max(len(parts) - 1, 0)
    if found != size:
        raise UserError(f"{name}: vectors of {found} dimensions; set model.embedding_dim to {found}, not {size}")
    return header


def _numbers(parts: list[str]) -> np.ndarray:
    try:
        return np.array(parts, np.float64)
    except ValueError:
        return np.array([np.nan])
