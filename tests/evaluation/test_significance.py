import numpy as np
import pandas as pd
import pytest

from src.evaluation.metrics import bootstrap_draws, percentile_interval, prediction_result, scores
from src.evaluation.significance import by_class, changed_reviews, compare, holm, paired_draws

REVIEWS = 400
RESAMPLES = 300  # with fewer, no p-value can be significant after the correction for six metrics


def measure(result):
    return scores(result, 5, 10)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def simulate(random, runs, seed_noise=0.0, noise=0.4):
    """Predictions of equally good trainings of one setting: the true logits plus noise.

    noise: its standard deviation for each review, in nats. seed_noise: that of the noise that all reviews share.
    """
    true_logits = random.normal(size=(REVIEWS, 5)) * 1.5 + np.array([0, -1, -1, 0, 2])
    labels = np.array([random.choice(5, p=p) for p in softmax(true_logits)])
    errors = [random.normal(size=(REVIEWS, 5)) * noise + random.normal(size=5) * seed_noise for _ in range(runs)]
    return [prediction_result(softmax(true_logits + error), labels) for error in errors]


def test_equally_good_trainings_are_called_different_in_at_most_2_of_20_cases():
    found = 0
    for seed in range(20):
        a, b = simulate(np.random.default_rng(seed), 2)
        found += compare(measure, [a], [b], RESAMPLES, seed).different.any()
    assert found <= 2


def test_equal_settings_with_different_seeds_are_rarely_called_different():
    """The noise of a seed is the same for all reviews, so only several trainings reveal it."""
    found, found_by_single_trainings = 0, 0
    for seed in range(20):
        runs = simulate(np.random.default_rng(seed), 6, seed_noise=1.0)
        found += compare(measure, runs[:3], runs[3:], RESAMPLES, seed).different.any()
        found_by_single_trainings += compare(measure, runs[:1], runs[1:2], RESAMPLES, seed).different.any()
    assert found <= 2
    assert found_by_single_trainings > 10


def test_a_better_setting_is_found_although_its_trainings_vary_by_seed():
    better, worse = (simulate(np.random.default_rng(1), 3, seed_noise=0.1, noise=noise) for noise in (0.2, 2.0))
    table = compare(measure, worse, better, RESAMPLES, 1)
    assert table.different["log_loss"]
    assert table.difference["log_loss"] < 0


def test_a_model_is_called_better_than_the_majority():
    (model,) = simulate(np.random.default_rng(1), 1)
    shares = np.bincount(model.labels, minlength=5) / REVIEWS
    majority = prediction_result(np.tile(shares, (REVIEWS, 1)), model.labels)
    table = compare(measure, [majority], [model], RESAMPLES, 1)
    assert table.loc[["accuracy", "macro_f1", "qwk", "mae", "log_loss"], "different"].all()
    assert table.difference["log_loss"] < 0 < table.difference["accuracy"]
    assert (table.low <= table.difference).all()
    assert (table.difference <= table.high).all()


def test_equal_predictions_are_not_different():
    (one,) = simulate(np.random.default_rng(1), 1)
    table = compare(measure, [one], [one, one], 100, 1)
    assert (table.p == 1).all()
    assert not table.different.any()
    assert table[["difference", "low", "high"]].to_numpy().any() == 0


def test_a_paired_interval_is_narrower_than_one_of_either_side():
    (one,) = simulate(np.random.default_rng(1), 1)
    slightly_worse = one._replace(loss=one.loss + 0.01)
    alone = percentile_interval(bootstrap_draws(measure, one, 200, 1)["log_loss"])
    paired = paired_draws(measure, [one, one], [slightly_worse], 200, 1)
    assert alone[1] - alone[0] > 0.1
    assert percentile_interval(paired["log_loss"]) == pytest.approx((0.01, 0.01))
    assert not paired["accuracy"].any()


def test_holms_correction_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def predictions(predicted, probability):
    table = pd.DataFrame({"row": [3, 5, 8, 9], "text": list("abcd"), "rating": [1, 5, 5, 2], "predicted": predicted})
    for star in range(1, 6):
        table[f"p{star}"] = np.where(table.rating == star, probability, (1 - np.array(probability)) / 4)
    return table


def test_changed_reviews_are_those_that_only_one_side_gets_right():
    a, b = predictions([1, 5, 1, 3], [0.9, 0.6, 0.1, 0.1]), predictions([5, 5, 5, 4], [0.2, 0.9, 0.6, 0.0])
    assert changed_reviews(a, b).to_dict("records") == [
        {"row": 3, "rating": 1, "a": 1, "b": 5, "gain": -0.7, "text": "a"},
        {"row": 8, "rating": 5, "a": 1, "b": 5, "gain": 0.5, "text": "c"},
    ]


def test_scores_by_class_are_means_over_the_trainings():
    labels = np.array([0, 4, 4])
    one, another = (prediction_result(np.eye(5)[classes], labels) for classes in ([0, 4, 0], [1, 4, 4]))
    table = by_class(pd.Series([1, 5, 5]), [one], [one, another])
    assert table["reviews"].to_dict() == {1: 1, 5: 2}
    assert table["accuracy"].to_dict("list") == {"a": [1, 0.5], "b": [0.5, 0.75], "difference": [-0.5, 0.25]}
    assert table["mae"].to_dict("list") == {"a": [0, 2], "b": [0.5, 1], "difference": [0.5, -1]}
