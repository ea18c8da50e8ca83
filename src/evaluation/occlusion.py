"""Which words change the predicted rating: replace each by the unknown word and predict again."""

from collections.abc import Callable, Iterator

import numpy as np

from src.text.encoded import EncodedReviews
from src.text.vocabulary import FIRST_WORD, UNKNOWN

Expected = Callable[[EncodedReviews], np.ndarray]
"""Computes the expected rating of some reviews, float [reviews]."""

REVIEWS_AT_ONCE = 50
"""Reviews of a batch; a review with n different words adds n more to it."""


def word_effects(reviews: EncodedReviews, rows: np.ndarray, expected: Expected) -> Iterator[tuple[int, int, float]]:
    """Yield (row, word id, effect) for each known word of each of `rows`.

    The effect is the expected rating minus the expected rating with every occurrence of the word made unknown.
    Source: occlusion; Li, Monroe and Jurafsky, Understanding Neural Networks through Representation Erasure (2016),
    equation 3, https://arxiv.org/abs/1612.08220.
    """
    for start in range(0, len(rows), REVIEWS_AT_ONCE):
        part = rows[start : start + REVIEWS_AT_ONCE]
        texts = [reviews.ids[reviews.offsets[row] : reviews.offsets[row + 1]] for row in part]
        pairs = [(i, word) for i, text in enumerate(texts) for word in np.unique(text[text >= FIRST_WORD])]
        changed = [np.where(texts[i] == word, UNKNOWN, texts[i]) for i, word in pairs]
        ratings = expected(_encoded([*texts, *changed]))
        for (i, word), without in zip(pairs, ratings[len(texts) :], strict=True):
            yield int(part[i]), int(word), float(ratings[i] - without)


def _encoded(texts: list[np.ndarray]) -> EncodedReviews:
    lengths = [len(text) for text in texts]
    return EncodedReviews(np.concatenate(texts), np.cumsum([0, *lengths]), np.zeros(len(texts), np.int64))
