import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.peers import PRETRAINED, Splits, fasttext_words, frozen, in_places, sentence_vectors, teach_settings
from benchmarks.peers import transformer as fine_tuned
from benchmarks.source_method import SourceModel, clean, draw, fit, padded_ids, predict, word_index
from src.learning.teacher import load_teacher
from tests.learning.tiny_transformer import write_transformer


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


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("transformers", reason="pip install -r requirements-benchmarks.txt")
    return write_transformer(tmp_path_factory.mktemp("model"))


@pytest.fixture
def params(model, make_params):
    return make_params({"teach.model": str(model), "teach.lr": 0.02, "teach.batch_size": 16, "teach.max_length": 16})


def two_words(low, high, reviews):
    """Reviews that hold one of two words, in turn, with the ratings of the words."""
    texts = [f"{word} {'x' * (row % 5)}" for row in range(reviews // 2) for word in ("aaa", "bbb")]
    return pd.DataFrame({"text": texts, "rating": [low, high] * (reviews // 2)})


@pytest.mark.parametrize("peer", [fine_tuned, frozen])
def test_a_peer_with_a_transformer_learns_to_tell_two_words_apart_the_same_way_twice(peer, params):
    splits = Splits(two_words(1, 5, 160), two_words(1, 5, 20), two_words(1, 5, 20))
    found, again = peer(splits, params, 1), peer(splits, params, 1)
    assert (found.probabilities.argmax(axis=1) + 1 == splits.test.rating).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-6)
    assert found.probabilities.tobytes() == again.probabilities.tobytes()
    assert found.chosen == again.chosen
    assert found.seconds > 0


def test_the_transformer_keeps_the_epoch_with_the_best_validation_loss(params):
    train, opposite = two_words(1, 5, 160), two_words(5, 1, 20)
    assert fine_tuned(Splits(train, two_words(1, 5, 20), train), params, 1).chosen == {"epochs": params.teach.epochs}
    assert fine_tuned(Splits(train, opposite, train), params, 1).chosen == {"epochs": 1}


def test_frozen_chooses_its_c_on_the_validation_split(params):
    train, opposite = two_words(1, 5, 160), two_words(5, 1, 20)
    assert frozen(Splits(train, two_words(1, 5, 20), train), params, 1).chosen == {"C": max(params.baseline.C)}
    assert frozen(Splits(train, opposite, train), params, 1).chosen == {"C": min(params.baseline.C)}


def test_frozen_gives_no_probability_to_a_star_that_never_occurred(params):
    train = two_words(2, 4, 40)
    probabilities = frozen(Splits(train, train, train), params, 1).probabilities
    assert (probabilities[:, [0, 2, 4]] == 0).all()
    assert (probabilities[:, [1, 3]] > 0).all()


def test_a_sentence_vector_is_the_mean_of_the_last_states_with_length_1(model, params):
    from transformers import AutoModel

    teacher = load_teacher(params.teach, model, 5)
    texts = ["good", "a longer text", "", "bad app"]
    vectors = sentence_vectors(teacher, texts, batch_size=4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    encoder = AutoModel.from_pretrained(model).eval()
    for text, vector in zip(texts, vectors, strict=True):
        with torch.inference_mode():
            states = encoder(torch.tensor([teacher.tokenizer(text)["input_ids"]])).last_hidden_state[0]
        mean = states.mean(dim=0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), rtol=0, atol=1e-6)


def test_the_default_transformer_takes_the_place_of_an_empty_name_only(params, make_params):
    assert teach_settings(params) == params.teach
    assert teach_settings(make_params({"teach.model": None})).model == PRETRAINED
