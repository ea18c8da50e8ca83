import numpy as np
import pandas as pd
import pytest

from benchmarks.peers import fasttext_words, in_places
from benchmarks.source_method import SourceModel, clean, draw, fit, padded_ids, predict, word_index


def table(counts):
    ratings = np.repeat([1, 2, 3, 4, 5], counts)
    return pd.DataFrame({"text": [f"text {row}" for row in range(len(ratings))], "rating": ratings})


@pytest.mark.parametrize(
    ("counts", "drawn"),
    [
        ([150, 100, 100, 250, 900], [225, 200, 300, 250, 600]),
        ([60, 60, 60, 60, 60], [45, 40, 60, 50, 120]),
        ([100, 0, 0, 0, 200], [45, 0, 0, 0, 120]),
    ],
)
def test_the_source_draws_fixed_numbers_in_proportion_to_the_table(counts, drawn):
    found = draw(table(counts), seed=1)
    assert np.bincount(found.rating, minlength=6)[1:].tolist() == drawn
    fives = found[found.rating == 5]
    assert fives.text.is_unique == (drawn[4] <= counts[4])


def test_the_source_cleans_numbers_and_pads_as_worked_out_by_hand():
    texts = clean(pd.Series(["It crashed 3 times, x!", "Crashes: not good", "good crash"]), "english")
    assert texts == ["crash time", "crash good", "good crash"]
    index = word_index(texts)
    assert index == {"crash": 1, "good": 2, "time": 3}
    ids = padded_ids(["crash unseen good", "", "time " * 700], index)
    assert ids.shape == (3, 600)
    assert ids[0, -3:].tolist() == [0, 1, 2]
    assert ids[0].sum() == 3
    assert (ids[1] == 0).all()
    assert (ids[2] == 3).all()


def test_the_source_learns_to_tell_two_words_apart_the_same_way_twice(monkeypatch):
    monkeypatch.setattr("benchmarks.source_method.EPOCHS", 20)
    ids, labels = np.tile([[0, 1], [0, 2]], (50, 1)), np.tile([0, 4], 50)
    model, again = fit(ids, labels, seed=1), fit(ids, labels, seed=1)
    assert isinstance(model, SourceModel)
    probabilities = predict(model, ids)
    assert (probabilities.argmax(axis=1) == labels).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (probabilities == predict(again, ids)).all()


def test_a_star_that_fasttext_never_saw_has_no_probability():
    labels = [("__label__5", "__label__1"), ("__label__1", "__label__5")]
    places = in_places(labels, [np.array([0.6, 0.2]), np.array([0.5, 0.5])])
    np.testing.assert_allclose(places, [[0.25, 0, 0, 0, 0.75], [0.5, 0, 0, 0, 0.5]])


def test_fasttext_reads_lower_case_on_one_line_with_marks_apart():
    assert fasttext_words(pd.Series(["Good,\nreally (GOOD)!"])) == ["good , really ( good ) !"]
