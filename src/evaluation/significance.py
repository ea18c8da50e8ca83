"""Is one set of predictions better than another, or is the difference due to chance?"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from src.evaluation.metrics import PredictionResult, bootstrap_samples, percentile_interval, select_reviews

LEVEL = 0.05
"""Significance level: the probability of a false positive among all metrics together."""

Measure = Callable[[PredictionResult], dict[str, float]]


def paired_draws(
    measure: Measure, a: Sequence[PredictionResult], b: Sequence[PredictionResult], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Bootstrap the difference b - a of each metric: float [resamples] by metric.

    Each element of `a` and `b` holds the predictions of one training for the same reviews; metrics are averaged over
    the trainings. Both sides use the same resampled reviews, so the difficulty of a review cancels in the difference.
    Source: Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004, section 5.
    """
    differences = [
        _means(measure, [select_reviews(result, rows) for result in b])
        - _means(measure, [select_reviews(result, rows) for result in a])
        for rows in bootstrap_samples(len(a[0].labels), resamples, seed)
    ]
    return dict(zip(measure(a[0]), np.transpose(differences), strict=True))


def compare(
    measure: Measure, a: Sequence[PredictionResult], b: Sequence[PredictionResult], resamples: int, seed: int
) -> pd.DataFrame:
    """Compare the trainings of two settings on the same reviews, metric by metric.

    Chance enters twice. The choice of the test reviews: the paired bootstrap. The choice of the seeds: the mean of two
    or more trainings is uncertain by Student's t times its standard error (the Behrens-Fisher distribution); for a
    single training this part is unknown and left out.
    Returns one row for each metric: a, b, difference (b - a), low and high (its 95 % interval), p (two-sided) and
    different (p is below LEVEL after Holm's correction for the number of metrics).
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 15; Holm, Scandinavian
    Journal of Statistics 6 (1979), p. 65; Fisher, Annals of Eugenics 6 (1935), p. 391.
    """
    scores_a, scores_b = ([measure(result) for result in results] for results in (a, b))
    random = np.random.default_rng(seed + 1)
    rows = []
    for metric, draws in paired_draws(measure, a, b, resamples, seed).items():
        values_a, values_b = (np.array([scores[metric] for scores in side]) for side in (scores_a, scores_b))
        draws = draws + _seed_noise(values_b, resamples, random) - _seed_noise(values_a, resamples, random)
        tail = (min((draws <= 0).sum(), (draws >= 0).sum()) + 1) / (resamples + 1)
        means = values_a.mean(), values_b.mean()
        rows.append((metric, *means, means[1] - means[0], *percentile_interval(draws), min(2 * tail, 1.0)))
    columns = ["metric", "a", "b", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns).set_index("metric")
    return table.assign(different=holm(table.p.to_numpy()) < LEVEL)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for their number (Holm), which controls the probability of one false positive or more."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def changed_reviews(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return the reviews that only one of two sets of predictions gets right, largest change first.

    a, b: row, text, rating, predicted and p1 .. p5 of the same reviews.
    Returns the columns row, rating, a, b (predicted ratings), gain (of the true rating's probability) and text.
    """
    label = a.rating.to_numpy() - 1
    before, after = (table.filter(regex=r"^p\d$").to_numpy()[np.arange(len(label)), label] for table in (a, b))
    table = a[["row", "rating"]].assign(a=a.predicted, b=b.predicted, gain=(after - before).round(4), text=a.text)
    changed = table[(table.a == table.rating) != (table.b == table.rating)]
    return changed.iloc[np.argsort(-changed.gain.abs().to_numpy(), kind="stable")]


def by_class(classes: pd.Series, a: Sequence[PredictionResult], b: Sequence[PredictionResult]) -> pd.DataFrame:
    """Compare accuracy and MAE (in stars) on each class of reviews.

    Returns one row for each class that occurs, with the columns (reviews, ""), (accuracy, a), (accuracy, b),
    (accuracy, difference), and the last three for mae too.
    """
    table = pd.DataFrame({("reviews", ""): classes.value_counts(sort=False)}).sort_index()
    for name, score in (("accuracy", _is_correct), ("mae", _absolute_error)):
        means = [
            pd.Series(np.mean([score(result) for result in results], axis=0)).groupby(classes, observed=False).mean()
            for results in (a, b)
        ]
        for column, values in zip(("a", "b"), means, strict=True):
            table[name, column] = values
        table[name, "difference"] = means[1] - means[0]
    return table[table["reviews"] > 0]


def _is_correct(result: PredictionResult) -> np.ndarray:
    return result.labels == result.predicted


def _absolute_error(result: PredictionResult) -> np.ndarray:
    return np.abs(result.labels - result.predicted)


def _means(measure: Measure, results: Sequence[PredictionResult]) -> np.ndarray:
    return np.mean([list(measure(result).values()) for result in results], axis=0)


def _seed_noise(values: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Draw how far the mean of some trainings may be from the mean over all seeds: float [resamples]."""
    if len(values) == 1:
        return np.zeros(resamples)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return error * random.standard_t(len(values) - 1, resamples)
