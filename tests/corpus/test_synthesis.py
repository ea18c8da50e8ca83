from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from src.core.schema import TRUE_PROBABILITIES
from src.corpus.synthesis import CONTRASTS, LEVELS, NOW, OPENINGS, REVERSALS, star_probabilities, synthesize
from src.evaluation.baselines import Texts, logistic_regressions
from src.evaluation.metrics import prediction_result
from src.learning.checkpoints import Checkpoint
from src.learning.classification import ClassificationTask, predict
from src.learning.model import ReviewModel
from src.learning.training import be_deterministic, fit
from src.tables.readers import Row
from src.text.cleaning import make_cleaner
from src.text.encoded import EncodedReviews
from src.text.stop_words import find_stop_words
from src.text.vocabulary import FIRST_WORD, UNKNOWN, choose_vocabulary, count_words
from tests.conftest import ROOT
from tests.tables.test_splitting import UsedReview, classify_all

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


def split_corpus():
    reviews = corpus(10_000)
    rows = [
        Row(number, review["content"], review["score"], true_probabilities=tuple(true_probabilities))
        for number, (review, true_probabilities) in enumerate(zip(reviews, true_probabilities_of(reviews), strict=True))
    ]
    used = [row for row in classify_all(rows, salt="reviews") if isinstance(row, UsedReview)]
    return {split: [review for review in used if review.split == split] for split in ("train", "valid", "test")}


def test_the_lstm_gets_closer_to_the_bayes_optimal_loss_than_a_bag_of_words(make_params, tmp_path):
    """The purpose of the corpus: word order matters, and only a model that reads words in order can use it."""
    params = make_params({"train.epochs": 8})
    splits = split_corpus()
    texts = {
        split: Texts([review.text for review in reviews], np.array([review.rating - 1 for review in reviews]))
        for split, reviews in splits.items()
    }
    labels = texts["test"].labels
    true_probabilities = np.array([review.true_probabilities for review in splits["test"]])
    bayes_optimal = prediction_result(true_probabilities, labels).loss.mean()
    tfidf = next(logistic_regressions(texts["train"], texts["valid"], texts["test"].texts, 5, params.baseline))[1]

    clean = make_cleaner("english", params.clean, find_stop_words("english"))
    cleaned = {split: [clean(text) for text in part.texts] for split, part in texts.items()}
    words = choose_vocabulary(count_words(cleaned["train"]), Counter(), params.encode)
    ids = {word: FIRST_WORD + place for place, word in enumerate(words)}

    def encode(split):
        encoded = [[ids.get(word, UNKNOWN) for word in text.split(" ")] for text in cleaned[split]]
        return EncodedReviews(
            np.concatenate(encoded).astype(np.int32), np.cumsum([0, *map(len, encoded)]), texts[split].labels
        )

    be_deterministic(1)
    torch.manual_seed(1)
    model = ReviewModel(params.model, FIRST_WORD + len(words), 5)
    rows = np.arange(len(splits["train"]))
    task = ClassificationTask(model, encode("train"), rows, encode("valid"), np.zeros(5))
    fit(task, params.train, 1, lambda epoch: None, Checkpoint(tmp_path / "checkpoint.safetensors"))
    lstm = prediction_result(predict(model, encode("test"), np.zeros(5)), labels).loss.mean()
    bag = prediction_result(tfidf, labels).loss.mean()
    print(f"Bayes-optimal {bayes_optimal:.3f}, LSTM {lstm:.3f}, TF-IDF + logistic regression {bag:.3f}")
    assert bag > bayes_optimal + 0.15
    assert bayes_optimal < lstm < bag - 0.03
