from itertools import islice

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from src.core.schema import TRUE_PROBABILITIES
from src.corpus.synthesis import CONTRASTS, LEVELS, NOW, OPENINGS, REVERSALS, star_probabilities, synthesize
from tests.conftest import ROOT

CLAUSES = YAML(typ="safe", pure=True).load(ROOT / "src/corpus/clauses.yaml")


def corpus(reviews, seed=1):
    return list(synthesize(CLAUSES, reviews, seed))


def true_probabilities_of(reviews):
    return np.array([[review[name] for name in TRUE_PROBABILITIES] for review in reviews])


def test_there_are_enough_clauses():
    assert len(CLAUSES["aspects"]) >= 12
    clauses = [clause for aspect in CLAUSES["aspects"].values() for level in LEVELS for clause in aspect[level]]
    assert len(clauses) == len(set(clauses)) >= 300


def test_the_probabilities_follow_the_opinion():
    for value in np.linspace(-2, 2, 41):
        probabilities = np.array(star_probabilities(value))
        assert probabilities.sum() == pytest.approx(1, abs=1e-12)
        assert (probabilities > 0).all()
    means = [np.dot(star_probabilities(value), [1, 2, 3, 4, 5]) for value in np.linspace(-2, 2, 41)]
    assert (np.diff(means) > 0).all()
    # By hand: 1 / (1 + exp(2.2 * 0 - -2.8)) = 0.057324 for 99 % of the ratings; the rest is uniform, 0.2 a star.
    assert star_probabilities(0)[0] == pytest.approx(0.99 * 0.057324 + 0.01 * 0.2, abs=1e-6)


def test_the_text_alone_determines_its_probabilities_and_its_stars():
    seen = {}
    for review in corpus(30_000):
        if review["content"]:
            labels = (review["score"], *(review[name] for name in TRUE_PROBABILITIES))
            assert seen.setdefault(review["content"].casefold(), labels) == labels


def test_stars_are_drawn_from_the_probabilities():
    unique = list({review["content"]: review for review in corpus(30_000)}.values())
    true_probabilities, stars = true_probabilities_of(unique), np.array([review["score"] for review in unique])
    expected = true_probabilities.sum(axis=0)
    spread = np.sqrt((true_probabilities * (1 - true_probabilities)).sum(axis=0))
    assert (np.abs(np.bincount(stars, minlength=6)[1:] - expected) < 4 * spread).all()
    loss = -np.log(true_probabilities[np.arange(len(stars)), stars - 1]).mean()
    entropy = -(true_probabilities * np.log(true_probabilities)).sum(axis=1)
    assert loss == pytest.approx(entropy.mean(), abs=0.02)


def test_ratings_and_lengths_are_distributed_as_in_an_app_store():
    reviews = corpus(10_000)
    stars = np.bincount([review["score"] for review in reviews], minlength=6)[1:] / len(reviews)
    assert stars[4] == pytest.approx(0.63, abs=0.05)
    assert stars[0] > stars[1] < stars[2] < stars[3] < stars[4]
    words = np.array([len(review["content"].split()) for review in reviews if review["content"]])
    assert 12 <= np.median(words) <= 20
    assert words.min() <= 2
    assert words.max() > 80


def test_a_corpus_is_the_start_of_a_longer_one_and_depends_on_its_seed():
    longer = synthesize(CLAUSES, 10**9, seed=1)
    assert list(islice(longer, 200)) == corpus(200)
    assert corpus(200, seed=2) != corpus(200)


def test_every_reversal_has_a_twin_in_nearly_the_same_words():
    for reversing, plain in [
        *((a.text, b.text) for a, b in REVERSALS),
        *zip((a for a, _ in OPENINGS[::2]), (b for b, _ in OPENINGS[1::2]), strict=True),
    ]:
        words, twin = set(reversing.split()), set(plain.split())
        assert len(words ^ twin) <= 3
    assert len(CONTRASTS) + len(NOW) >= 6


def test_the_lstm_gets_closer_to_the_bayes_optimal_loss_than_a_bag_of_words():
    """The purpose of the corpus: word order matters, and only a model that reads words in order can use it.

    These are the committed results; tests/pipeline/test_bytes.py proves that they are those of this code.
    """
    scores = pd.read_csv(ROOT / "plots/evaluate/scores.csv").set_index(["metric", "predictor"]).value
    bayes_optimal, lstm, bag = (scores["log_loss", name] for name in ("bayes_optimal", "model", "tfidf"))
    assert bag > bayes_optimal + 0.15
    assert bayes_optimal < lstm < bag - 0.03
