import numpy as np

from src.evaluation.occlusion import REVIEWS_AT_ONCE, word_effects
from src.evaluation.score_tables import word_table
from src.text.encoded import EncodedReviews
from src.text.vocabulary import FIRST_WORD, UNKNOWN

GOOD, BAD, SO = FIRST_WORD, FIRST_WORD + 1, FIRST_WORD + 2
EFFECTS = {UNKNOWN: 0.0, GOOD: 1.0, BAD: -2.0, SO: 0.25}


def reviews_of(*texts):
    lengths = [len(text) for text in texts]
    return EncodedReviews(np.concatenate(texts), np.cumsum([0, *lengths]), np.zeros(len(texts), int))


def sum_of_words(reviews):
    """A model that predicts 3 plus the effect of each word."""
    ends = zip(reviews.offsets, reviews.offsets[1:], strict=False)
    return np.array([3 + sum(EFFECTS[i] for i in reviews.ids[start:end]) for start, end in ends])


def test_the_effect_of_a_word_is_the_change_without_all_its_occurrences():
    reviews = reviews_of([GOOD, UNKNOWN, GOOD, BAD], [BAD], [UNKNOWN])
    found = set(word_effects(reviews, np.array([0, 1, 2]), sum_of_words))
    assert found == {(0, GOOD, 2.0), (0, BAD, -2.0), (1, BAD, -2.0)}


def test_only_the_given_rows_are_explained_over_several_batches():
    reviews = reviews_of(*[[GOOD, SO]] * (2 * REVIEWS_AT_ONCE + 1), [BAD])
    found = list(word_effects(reviews, np.arange(2 * REVIEWS_AT_ONCE + 1), sum_of_words))
    assert found == [(row, word, EFFECTS[word]) for row in range(2 * REVIEWS_AT_ONCE + 1) for word in (GOOD, SO)]


def test_the_table_has_the_mean_effect_over_the_reviews_with_the_word():
    reviews = reviews_of([GOOD, GOOD], [GOOD], [BAD, SO])
    table = word_table(word_effects(reviews, np.arange(3), sum_of_words), ["good", "bad", "so"])
    assert table.to_numpy().tolist() == [["good", 1.5, 2], ["so", 0.25, 1], ["bad", -2.0, 1]]


def test_without_rows_the_table_is_empty():
    table = word_table(word_effects(reviews_of([UNKNOWN]), np.arange(0), sum_of_words), [])
    assert list(table.columns) == ["word", "effect", "reviews"]
    assert table.empty
