"""Ratings in the forms that exports have, and other scales, which are recognised and never read as stars."""

import re

import pytest

from src.tables.ratings import describe_scale, rating_reader

READ = rating_reader(None, None)


@pytest.mark.parametrize(
    "value",
    [
        *("4", 4, 4.0, " 4 ", "4.0", "4e0", "4,0", "3.5", 3.5, "4 stars", "Rated 4 out of 5", "4/5", "4 / 5", "★★★★☆"),
        *("⭐⭐⭐⭐", "⭐️⭐️⭐️⭐️", "bubble_40", "ui_bubble_rating bubble_35", "4.0 out of 5 stars", "4 von 5 Sternen"),
        *("4 étoiles", "Rating: 4", "4 звезды", "4 estrellas"),
    ],
)
def test_ratings_that_are_read(value):
    assert READ(value) == 4


@pytest.mark.parametrize(
    "value",
    [
        *(None, "", "five", 0, 6, 3.52, "3.50", -1, 1e9, float("nan"), True, [], "nan", "inf", 10**400, "0_5"),
        *("8/10", "★★★★★★", "stars", "0.5", 5.5),
    ],
)
def test_ratings_that_are_not_read(value):
    assert READ(value) is None


@pytest.mark.parametrize(
    ("scale", "ratings", "stars"),
    [
        ((0, 4), (0, 1, 2, 3, 4, 5), [1, 2, 3, 4, 5, None]),
        ((1, 10), range(1, 11), [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]),
        ((0, 100), (0, 12, 13, 50, 87, 88, 100), [1, 1, 2, 3, 4, 5, 5]),
    ],
)
def test_another_scale_is_mapped(scale, ratings, stars):
    assert [rating_reader(scale, None)(rating) for rating in ratings] == stars


def test_words_are_mapped_whatever_their_case():
    read = rating_reader(None, {"negative": 1, "Positive": 5})
    assert [read(word) for word in ("NEGATIVE ", "positive", "5")] == [1, 5, None]


@pytest.mark.parametrize(
    ("unread", "stars", "says"),
    [
        ({"0": 40}, {1: 40, 2: 40, 3: 40, 4: 40, 5: 0}, "ratings run from 0 to 4 .*rating_scale: .0, 4."),
        ({"8": 1, "10": 2}, {1: 1, 5: 3}, "ratings run from 1 to 10 .*rating_scale: .1, 10."),
        ({"0": 3, "80": 1, "100": 2}, {}, "rating_scale: .0, 100."),
        ({"positive": 3, "Negative": 4}, {}, "rating_map: .Negative: 1, positive: 5"),
    ],
)
def test_another_scale_is_recognised(unread, stars, says):
    assert re.search(says, describe_scale(unread, stars) or "")


def test_single_odd_cells_are_no_scale():
    assert describe_scale({"junk": 2, "-": 1}, {1: 3, 5: 9}) is None
