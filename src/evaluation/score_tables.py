"""Tables of the results of an experiment."""

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pandas as pd

from src.core.params import Decision
from src.core.schema import PROBABILITIES
from src.evaluation.decisions import decide
from src.evaluation.metrics import (
    PredictionResult,
    bootstrap_draws,
    confusion,
    f1_scores,
    percentile_interval,
    prediction_result,
    reliability,
    scores,
)
from src.text.vocabulary import FIRST_WORD

DIGITS = 4


def score_table(
    results: dict[str, PredictionResult], classes: int, bins: int, resamples: int, seed: int
) -> pd.DataFrame:
    """Every metric of every predictor, with 95 % bootstrap intervals.

    Columns: predictor, metric, value, low, high; difference, difference_low and difference_high of the first predictor
    minus this one, on the same resampled reviews.
    """

    def measure(result: PredictionResult) -> dict[str, float]:
        return scores(result, classes, bins)

    rows = []
    first = next(iter(results))
    values = {name: measure(result) for name, result in results.items()}
    draws = {name: bootstrap_draws(measure, result, resamples, seed) for name, result in results.items()}
    for name, found in values.items():
        for metric, value in found.items():
            interval = percentile_interval(draws[name][metric])
            apart = percentile_interval(draws[first][metric] - draws[name][metric])
            rows.append((name, metric, value, *interval, values[first][metric] - value, *apart))
    columns = ["predictor", "metric", "value", "low", "high", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=columns).round(DIGITS)


def confusion_table(result: PredictionResult, stars: list[int]) -> pd.DataFrame:
    """Number of reviews for each pair of actual and predicted rating, including pairs that do not occur."""
    counts = confusion(result.labels, result.predicted, len(stars))
    pairs = [(actual, predicted) for actual in stars for predicted in stars]
    return pd.DataFrame(pairs, columns=["actual", "predicted"]).assign(reviews=counts.ravel())


def reliability_table(result: PredictionResult, bins: int) -> pd.DataFrame:
    """Mean confidence, accuracy and number of reviews of each bin of the confidence."""
    return pd.DataFrame(reliability(result, bins), columns=["confidence", "accuracy", "reviews"]).round(DIGITS)


def star_table(result: PredictionResult, stars: list[int]) -> pd.DataFrame:
    """F1 and number of reviews of each rating; F1 is 0 for a rating that neither occurs nor is predicted."""
    counts = confusion(result.labels, result.predicted, len(stars))
    f1 = np.nan_to_num(f1_scores(counts)).round(DIGITS)
    return pd.DataFrame({"star": stars, "f1": f1, "reviews": counts.sum(axis=1)})


def decision_table(probabilities: np.ndarray, labels: np.ndarray, prior: np.ndarray, bins: int) -> pd.DataFrame:
    """Every metric under each decision rule (src.evaluation.decisions): columns rule, metric, value."""
    rows = []
    for rule in get_args(Decision):
        result = prediction_result(probabilities, labels, decide(probabilities, rule, prior))
        rows += [(rule, metric, value) for metric, value in scores(result, len(prior), bins).items()]
    return pd.DataFrame(rows, columns=["rule", "metric", "value"]).round(DIGITS)


def prediction_table(
    reviews: pd.DataFrame, probabilities: np.ndarray, predicted: np.ndarray, stars: list[int]
) -> pd.DataFrame:
    """Row, text, rating, predicted rating and the probability of each rating, for each review."""
    table = reviews[["row", "text", "rating"]].copy()
    table["predicted"] = np.array(stars, np.int8)[predicted]
    return table.assign(**dict(zip(PROBABILITIES, probabilities.T, strict=True)))


def worst_mistakes(predictions: pd.DataFrame, loss: np.ndarray, count: int) -> pd.DataFrame:
    """The wrong predictions with the lowest probability of the true rating."""
    wrong = predictions.assign(loss=loss.round(DIGITS))[predictions.predicted != predictions.rating]
    worst = wrong.sort_values(["loss", "row"], ascending=[False, True], kind="stable").head(count)
    return worst[["row", "rating", "predicted", "loss", "text"]]


def word_table(effects: Iterator[tuple[int, int, float]], words: list[str]) -> pd.DataFrame:
    """Mean effect of each word, in stars, over the reviews that contain it: columns word, effect, reviews."""
    table = pd.DataFrame(effects, columns=["row", "id", "effect"])
    table = table.groupby("id", as_index=False).agg(effect=("effect", "mean"), reviews=("effect", "size"))
    table.insert(0, "word", [words[i - FIRST_WORD] for i in table.pop("id")])
    table["effect"] = table.effect.round(DIGITS)
    return table.sort_values(["effect", "word"], ascending=[False, True], kind="stable")
