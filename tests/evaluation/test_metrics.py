import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from src.evaluation.metrics import (
    bootstrap_draws,
    confusion,
    expected_calibration_error,
    macro_f1,
    percentile_interval,
    prediction_result,
    quadratic_weighted_kappa,
    reliability,
    scores,
)
from src.evaluation.score_tables import confusion_table, prediction_table, score_table, star_table, worst_mistakes

STARS = [1, 2, 3, 4, 5]


def predictions(reviews, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(5, size=reviews)
    logits = random.normal(size=(reviews, 5)) + 2 * np.eye(5)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels


@given(st.integers(2, 60), st.integers(0, 10**6))
def test_every_metric_agrees_with_scikit_learn(reviews, seed):
    probabilities, labels = predictions(reviews, seed)
    ours = scores(prediction_result(probabilities, labels), 5, bins=10)
    predicted = probabilities.argmax(axis=1)
    assert ours["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, predicted))
    assert ours["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(labels, predicted, average="macro"))
    assert ours["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(labels, predicted))
    assert ours["log_loss"] == pytest.approx(sklearn_metrics.log_loss(labels, probabilities, labels=range(5)))
    if len(set(labels) | set(predicted)) > 1:
        kappa = sklearn_metrics.cohen_kappa_score(labels, predicted, weights="quadratic", labels=range(5))
        assert ours["qwk"] == pytest.approx(kappa)


def test_kappa_by_hand():
    counts = np.array([[2, 0, 0], [0, 0, 0], [1, 0, 1]])
    # Observed: one review is off by two stars, 1 * 4. By chance: 2 * 1 / 4 + 2 * 3 / 4 = 2 reviews are, 2 * 4 = 8.
    assert quadratic_weighted_kappa(counts) == pytest.approx(1 - 4 / 8)
    assert quadratic_weighted_kappa(np.diag([4, 0, 0])) == 0


def test_macro_f1_ignores_classes_that_neither_occur_nor_are_predicted():
    assert macro_f1(np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]])) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_calibration_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    result = prediction_result(probabilities, np.array([0, 1, 1, 1]))
    assert reliability(result, bins=5) == [
        (pytest.approx(0.6), 1.0, 1),
        (pytest.approx(2.8 / 3), pytest.approx(2 / 3), 3),
    ]
    assert expected_calibration_error(result, bins=5) == pytest.approx((0.4 + 3 * (2.8 / 3 - 2 / 3)) / 4)


def test_the_loss_of_probability_0_is_large_but_finite():
    result = prediction_result(np.array([[1.0, 0.0]]), np.array([1]))
    assert 700 < result.loss[0] < 800


def test_intervals_cover_the_true_value_in_about_95_percent():
    accuracy, covered = 0.7, 0
    for seed in range(200):
        correct = np.random.default_rng(seed).random(200) < accuracy
        probabilities = np.where(correct[:, None], [0.4, 0.6], [0.6, 0.4])
        result = prediction_result(probabilities, np.ones(200, int))
        draws = bootstrap_draws(lambda drawn: {"accuracy": (drawn.labels == drawn.predicted).mean()}, result, 200, seed)
        low, high = percentile_interval(draws["accuracy"])
        covered += low <= accuracy <= high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_tables_by_hand():
    probabilities = np.eye(5)[[0, 0, 4, 3]] * 0.8 + 0.04
    labels = np.array([0, 4, 4, 3])
    result = prediction_result(probabilities, labels)
    counts = confusion_table(result, STARS)
    assert len(counts) == 25
    assert counts[counts.reviews > 0].to_numpy().tolist() == [[1, 1, 1], [4, 4, 1], [5, 1, 1], [5, 5, 1]]
    assert star_table(result, STARS).f1.tolist() == pytest.approx([0.6667, 0, 0, 1, 0.6667])
    reviews = pd.DataFrame({"row": [7, 8, 9, 10], "text": list("abcd"), "rating": labels + 1})
    table = prediction_table(reviews, probabilities, probabilities.argmax(axis=1), STARS)
    assert table.predicted.tolist() == [1, 1, 5, 4]
    worst = worst_mistakes(table, result.loss, count=50)
    assert worst.to_dict("records") == [{"row": 8, "rating": 5, "predicted": 1, "loss": 3.2189, "text": "b"}]
    other = prediction_result(probabilities[::-1], labels)
    table = score_table({"a": result, "b": other}, 5, bins=10, resamples=100, seed=1)
    apart = table[table.metric == "log_loss"].set_index("predictor")
    assert apart.loc["a", ["difference", "difference_low", "difference_high"]].tolist() == [0, 0, 0]
    assert apart.loc["b", "difference"] == pytest.approx(apart.loc["a", "value"] - apart.loc["b", "value"], abs=1e-4)
    assert apart.loc["b", "difference_low"] <= apart.loc["b", "difference"] <= apart.loc["b", "difference_high"]
    assert (table.low <= table.value).all()
    assert (table.value <= table.high).all()
    assert confusion(labels, result.predicted, 5).sum() == 4
