"""Which words move the stars: take each out and look again."""

from collections.abc import Callable, Iterator

import numpy as np

from src.text.encoded import EncodedReviews
from src.text.vocabulary import FIRST_WORD, UNKNOWN

Expected = Callable[[EncodedReviews], np.ndarray]
"""Gives the expected stars of some reviews, float [reviews]."""

REVIEWS_AT_ONCE = 50
"""Reviews taken at a time: a review of n different words becomes n reviews."""


def word_effects(reviews: EncodedReviews, rows: np.ndarray, expected: Expected) -> Iterator[tuple[int, int, float]]:
    """Give, for each of `rows` and each known word of it, the row, the word's id and what the word does there.

    That is how many stars more are expected than if the word were unknown wherever it stands in the review.
    Source: occlusion; Li, Monroe and Jurafsky, Understanding Neural Networks through Representation Erasure (2016),
    equation 3, https://arxiv.org/abs/1612.08220.
    """
    for start in range(0, len(rows), REVIEWS_AT_ONCE):
        part = rows[start : start + REVIEWS_AT_ONCE]
        texts = [reviews.ids[reviews.offsets[row] : reviews.offsets[row + 1]] for row in part]
        pairs = [(i, word) for i, text in enumerate(texts) for word in np.unique(text[text >= FIRST_WORD])]
        changed = [np.where(texts[i] == word, UNKNOWN, texts[i]) for i, word in pairs]
        stars = expected(_joined([*texts, *changed]))
        for (i, word), without in zip(pairs, stars[len(texts) :], strict=True):
            yield int(part[i]), int(word), float(stars[i] - without)


def _joined(texts: list[np.ndarray]) -> EncodedReviews:
    lengths = [len(text) for text in texts]
    return EncodedReviews(np.concatenate(texts), np.cumsum([0, *lengths]), np.zeros(len(texts), np.int64))
