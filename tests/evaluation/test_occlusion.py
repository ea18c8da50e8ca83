import numpy as np

from src.evaluation.occlusion import REVIEWS_AT_ONCE, word_effects
from src.evaluation.score_tables import word_table
from src.text.encoded import EncodedReviews
from src.text.vocabulary import FIRST_WORD, UNKNOWN

GOOD, BAD, SO = FIRST_WORD, FIRST_WORD + 1, FIRST_WORD + 2
WORTH = {UNKNOWN: 0.0, GOOD: 1.0, BAD: -2.0, SO: 0.25}


def reviews_of(*texts):
    lengths = [len(text) for text in texts]
    return EncodedReviews(np.concatenate(texts), np.cumsum([0, *lengths]), np.zeros(len(texts), int))


def sum_of_words(reviews):
    """A model whose stars are 3 and what each word is worth."""
    ends = zip(reviews.offsets, reviews.offsets[1:], strict=False)
    return np.array([3 + sum(WORTH[i] for i in reviews.ids[start:end]) for start, end in ends])


def test_a_word_does_what_the_stars_lose_without_it_wherever_it_stands():
    reviews = reviews_of([GOOD, UNKNOWN, GOOD, BAD], [BAD], [UNKNOWN])
    found = set(word_effects(reviews, np.array([0, 1, 2]), sum_of_words))
    assert found == {(0, GOOD, 2.0), (0, BAD, -2.0), (1, BAD, -2.0)}


def test_only_the_rows_asked_for_are_explained_however_many_parts_they_take():
    reviews = reviews_of(*[[GOOD, SO]] * (2 * REVIEWS_AT_ONCE + 1), [BAD])
    found = list(word_effects(reviews, np.arange(2 * REVIEWS_AT_ONCE + 1), sum_of_words))
    assert found == [(row, word, WORTH[word]) for row in range(2 * REVIEWS_AT_ONCE + 1) for word in (GOOD, SO)]


def test_a_word_is_worth_its_mean_over_the_reviews_that_hold_it():
    reviews = reviews_of([GOOD, GOOD], [GOOD], [BAD, SO])
    table = word_table(word_effects(reviews, np.arange(3), sum_of_words), ["good", "bad", "so"])
    assert table.to_numpy().tolist() == [["good", 1.5, 2], ["so", 0.25, 1], ["bad", -2.0, 1]]


def test_nothing_to_explain_is_an_empty_table():
    table = word_table(word_effects(reviews_of([UNKNOWN]), np.arange(0), sum_of_words), [])
    assert list(table.columns) == ["word", "effect", "reviews"]
    assert table.empty
