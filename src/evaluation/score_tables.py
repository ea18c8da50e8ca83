"""The tables that a reader of an experiment looks at."""

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pandas as pd

from src.core.params import Decision
from src.core.schema import PROBABILITIES
from src.evaluation.decisions import decide
from src.evaluation.metrics import (
    PredictionResult,
    confusion,
    f1_scores,
    intervals,
    prediction_result,
    reliability,
    scores,
)
from src.text.vocabulary import FIRST_WORD

DIGITS = 4


def score_table(
    results: dict[str, PredictionResult], classes: int, bins: int, resamples: int, seed: int
) -> pd.DataFrame:
    """Every metric of every predictor with its 95 % bootstrap interval: columns of, metric, value, low, high."""

    def measure(result: PredictionResult) -> dict[str, float]:
        return scores(result, classes, bins)

    lines = []
    for name, result in results.items():
        interval = intervals(measure, result, resamples, seed)
        lines += [(name, metric, value, *interval[metric]) for metric, value in measure(result).items()]
    return pd.DataFrame(lines, columns=["predictor", "metric", "value", "low", "high"]).round(DIGITS)


def confusion_table(result: PredictionResult, stars: list[int]) -> pd.DataFrame:
    """Reviews for each pair of actual and predicted stars, pairs that do not occur included."""
    counts = confusion(result.labels, result.predicted, len(stars))
    pairs = [(actual, predicted) for actual in stars for predicted in stars]
    return pd.DataFrame(pairs, columns=["actual", "predicted"]).assign(reviews=counts.ravel())


def reliability_table(result: PredictionResult, bins: int) -> pd.DataFrame:
    """Mean confidence, accuracy and number of reviews in each bin of the confidence."""
    return pd.DataFrame(reliability(result, bins), columns=["confidence", "accuracy", "reviews"]).round(DIGITS)


def star_table(result: PredictionResult, stars: list[int]) -> pd.DataFrame:
    """F1 and number of reviews of each star; 0 for one that neither occurs nor is predicted."""
    counts = confusion(result.labels, result.predicted, len(stars))
    f1 = np.nan_to_num(f1_scores(counts)).round(DIGITS)
    return pd.DataFrame({"star": stars, "f1": f1, "reviews": counts.sum(axis=1)})


def decision_table(probabilities: np.ndarray, labels: np.ndarray, prior: np.ndarray, bins: int) -> pd.DataFrame:
    """What each rule of src.evaluation.decisions would make of some probabilities: columns of rule, metric, value."""
    lines = []
    for rule in get_args(Decision):
        result = prediction_result(probabilities, labels, decide(probabilities, rule, prior))
        lines += [(rule, metric, value) for metric, value in scores(result, len(prior), bins).items()]
    return pd.DataFrame(lines, columns=["rule", "metric", "value"]).round(DIGITS)


def prediction_table(
    reviews: pd.DataFrame, probabilities: np.ndarray, predicted: np.ndarray, stars: list[int]
) -> pd.DataFrame:
    """Row, text, rating, predicted stars and the probability of each, review by review."""
    table = reviews[["row", "text", "rating"]].copy()
    table["predicted"] = np.array(stars, np.int8)[predicted]
    return table.assign(**dict(zip(PROBABILITIES, probabilities.T, strict=True)))


def worst_mistakes(predictions: pd.DataFrame, loss: np.ndarray, count: int) -> pd.DataFrame:
    """The wrong predictions whose true star was thought least likely."""
    wrong = predictions.assign(loss=loss.round(DIGITS))[predictions.predicted != predictions.rating]
    worst = wrong.sort_values(["loss", "row"], ascending=[False, True], kind="stable").head(count)
    return worst[["row", "rating", "predicted", "loss", "text"]]


def word_table(effects: Iterator[tuple[int, int, float]], words: list[str]) -> pd.DataFrame:
    """Mean effect of each word, in stars, over the reviews that hold it: columns word, effect, reviews."""
    table = pd.DataFrame(effects, columns=["row", "id", "effect"])
    table = table.groupby("id", as_index=False).agg(effect=("effect", "mean"), reviews=("effect", "size"))
    table.insert(0, "word", [words[i - FIRST_WORD] for i in table.pop("id")])
    table["effect"] = table.effect.round(DIGITS)
    return table.sort_values(["effect", "word"], ascending=[False, True], kind="stable")
