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
        variants = [(i, word, changed) for i, text in enumerate(texts) for word, changed in occlusions(text)]
        ratings = expected(encoded_reviews([*texts, *(changed for _, _, changed in variants)]))
        for (i, word, _), without in zip(variants, ratings[len(texts) :], strict=True):
            yield int(part[i]), word, float(ratings[i] - without)


def effects_in_parts(text: np.ndarray, expected: Expected, words: int) -> Iterator[list[tuple[int, float]] | None]:
    """Yield (word id, effect) of all known words of a text, given as ids, in a list; before it, None for each part.

    words: how many words a part predicts, so that who waits for the list can do something else in between.
    """
    variants, without = occlusions(text), list[float]()
    at_once = max(1, words // max(1, len(text)))
    for start in range(0, len(variants), at_once):
        yield None
        changed = [changed for _, changed in variants[start : start + at_once]]
        without += expected(encoded_reviews(changed)).tolist()
    (rating,) = expected(encoded_reviews([text]))
    yield [(word, float(rating - other)) for (word, _), other in zip(variants, without, strict=True)]


def occlusions(text: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return each known word of a text, as ids, with the text in which every occurrence of it is unknown."""
    return [(int(word), np.where(text == word, UNKNOWN, text)) for word in np.unique(text[text >= FIRST_WORD])]


def encoded_reviews(texts: list[np.ndarray]) -> EncodedReviews:
    """Return texts, given as ids, as reviews without labels."""
    lengths = [len(text) for text in texts]
    return EncodedReviews(np.concatenate(texts), np.cumsum([0, *lengths]), np.zeros(len(texts), np.int64))
