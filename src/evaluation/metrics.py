"""Metrics of predictions and their bootstrap intervals."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

SMALLEST = np.finfo(np.float64).tiny
"""Stands for a probability of 0, so that the loss stays finite."""


class PredictionResult(NamedTuple):
    """What the metrics are computed from.

    labels, predicted: int [reviews], true and predicted class. loss: float [reviews], -log of the probability of the
    true class. confidence: float [reviews], probability of the predicted class.
    """

    labels: np.ndarray
    predicted: np.ndarray
    loss: np.ndarray
    confidence: np.ndarray


def prediction_result(
    probabilities: np.ndarray, labels: np.ndarray, predicted: np.ndarray | None = None
) -> PredictionResult:
    """Compare predictions with labels, int [reviews].

    probabilities: float [reviews, classes]. predicted: int [reviews], by default the most probable class.
    """
    if predicted is None:
        predicted = probabilities.argmax(axis=1)
    reviews = np.arange(len(labels))
    loss = -np.log(np.maximum(probabilities[reviews, labels], SMALLEST))
    return PredictionResult(labels, predicted, loss, probabilities[reviews, predicted])


def confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count the reviews of each true class (rows) and predicted class (columns)."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def accuracy(counts: np.ndarray) -> float:
    """Share of the reviews that are on the diagonal of a confusion matrix."""
    return float(np.trace(counts) / counts.sum())


def f1_scores(counts: np.ndarray) -> np.ndarray:
    """F1 of each class; NaN for a class that neither occurs nor is predicted."""
    sums = counts.sum(axis=0) + counts.sum(axis=1)
    return np.divide(2 * np.diag(counts), sums, out=np.full(len(counts), np.nan), where=sums > 0)


def macro_f1(counts: np.ndarray) -> float:
    """Mean F1 of the classes that occur or are predicted."""
    return float(np.nanmean(f1_scores(counts)))


def quadratic_weighted_kappa(counts: np.ndarray) -> float:
    """Agreement beyond chance, with disagreements weighted by their squared distance; 0 if chance agrees fully.

    Source: Cohen, Psychological Bulletin 70 (1968), p. 215.
    """
    classes = np.arange(len(counts))
    distance = (classes[:, None] - classes) ** 2
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
    expected = (distance * chance).sum()
    return float(1 - (distance * counts).sum() / expected) if expected else 0.0


def mean_absolute_error(counts: np.ndarray) -> float:
    """Mean distance between the predicted and the true class, in stars."""
    classes = np.arange(len(counts))
    return float((np.abs(classes[:, None] - classes) * counts).sum() / counts.sum())


def reliability(result: PredictionResult, bins: int) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and count of each non-empty bin; the bins of the confidence have equal width."""
    bin_of = np.minimum((result.confidence * bins).astype(int), bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    confidence = np.bincount(bin_of, result.confidence, minlength=bins)
    correct = np.bincount(bin_of, result.labels == result.predicted, minlength=bins)
    return [(confidence[i] / counts[i], correct[i] / counts[i], int(counts[i])) for i in np.flatnonzero(counts)]


def expected_calibration_error(result: PredictionResult, bins: int) -> float:
    """Mean distance between confidence and accuracy over the bins, weighted by their counts.

    Source: Guo, Pleiss, Sun and Weinberger, ICML 2017, equation 3.
    """
    rows = reliability(result, bins)
    return sum(count * abs(confidence - accuracy) for confidence, accuracy, count in rows) / len(result.labels)


def scores(result: PredictionResult, classes: int, bins: int) -> dict[str, float]:
    """Every metric of one set of predictions."""
    counts = confusion(result.labels, result.predicted, classes)
    return {
        "accuracy": accuracy(counts),
        "macro_f1": macro_f1(counts),
        "qwk": quadratic_weighted_kappa(counts),
        "mae": mean_absolute_error(counts),
        "log_loss": float(result.loss.mean()),
        "ece": expected_calibration_error(result, bins),
    }


def bootstrap_draws(
    measure: Callable[[PredictionResult], dict[str, float]], result: PredictionResult, resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Return each metric on resampled reviews, float [resamples]; with the same seed, these are the same reviews.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), p. 170.
    """
    drawn = [measure(select_reviews(result, rows)) for rows in bootstrap_samples(len(result.labels), resamples, seed)]
    return {name: np.array([scores[name] for scores in drawn]) for name in drawn[0]}


def bootstrap_samples(reviews: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Draw row numbers with replacement, as many as there are reviews: int64 [reviews], `resamples` times."""
    random = np.random.default_rng(seed)
    for _ in range(resamples):
        yield random.integers(reviews, size=reviews)


def select_reviews(result: PredictionResult, rows: np.ndarray) -> PredictionResult:
    """Return the results of some reviews."""
    return PredictionResult(*(values[rows] for values in result))


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 2.5 % and the 97.5 % quantile of some values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
