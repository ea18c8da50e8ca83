"""Is one set of predictions better than another, or is it chance?"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from src.evaluation.metrics import PredictionResult, bootstrap_samples, percentile_interval, select_reviews

LEVEL = 0.05
"""How often a difference may be called real where there is none, all metrics together."""

Measure = Callable[[PredictionResult], dict[str, float]]


def paired_draws(
    measure: Measure, ones: Sequence[PredictionResult], others: Sequence[PredictionResult], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """Draw reviews again and again; give how much more `others` have than `ones` each time, float [resamples] a metric.

    Each of `ones` and `others` holds what one training made of the same reviews; their metrics are averaged.
    Drawing the same reviews for both leaves what is hard about a review out of the difference.
    Source: Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004, section 5.
    """
    gaps = [
        _means(measure, [select_reviews(other, rows) for other in others])
        - _means(measure, [select_reviews(one, rows) for one in ones])
        for rows in bootstrap_samples(len(ones[0].labels), resamples, seed)
    ]
    return dict(zip(measure(ones[0]), np.transpose(gaps), strict=True))


def compare(
    measure: Measure, ones: Sequence[PredictionResult], others: Sequence[PredictionResult], resamples: int, seed: int
) -> pd.DataFrame:
    """Compare the trainings of one setting with those of another on the same reviews, metric by metric.

    Two things are left to chance. Which reviews are tested: the paired bootstrap. Which trainings the seeds gave: where
    a setting has two or more, its mean is known up to Student's t times its standard error (the Behrens-Fisher
    distribution); where it has one, this part is unknown and left out.
    Returns the columns a, b, difference (b - a), low and high (its 95 % interval), p (two-sided) and
    different (p stands below LEVEL after Holm's correction for the number of metrics), one row a metric.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 15; Holm, Scandinavian
    Journal of Statistics 6 (1979), p. 65; Fisher, Annals of Eugenics 6 (1935), p. 391.
    """
    a, b = ([measure(result) for result in results] for results in (ones, others))
    random = np.random.default_rng(seed + 1)
    lines = []
    for metric, gaps in paired_draws(measure, ones, others, resamples, seed).items():
        here, there = (np.array([run[metric] for run in runs]) for runs in (a, b))
        gaps = gaps + _luck_of_training(there, resamples, random) - _luck_of_training(here, resamples, random)
        tail = (min((gaps <= 0).sum(), (gaps >= 0).sum()) + 1) / (resamples + 1)
        means = here.mean(), there.mean()
        lines.append((metric, *means, means[1] - means[0], *percentile_interval(gaps), min(2 * tail, 1.0)))
    columns = ["metric", "a", "b", "difference", "low", "high", "p"]
    table = pd.DataFrame(lines, columns=columns).set_index("metric")
    return table.assign(different=holm(table.p.to_numpy()) < LEVEL)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values for their number, so that all of them together are wrong no more often than one would be."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def changed_reviews(ones: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Reviews that one set of predictions has right and the other wrong, those that changed most first.

    ones, others: row, text, rating, predicted and p1 .. p5 of the same reviews.
    Returns the columns row, rating, a, b (predicted stars), gain (of the true stars' probability) and text.
    """
    place = ones.rating.to_numpy() - 1
    before, after = (table.filter(regex=r"^p\d$").to_numpy()[np.arange(len(place)), place] for table in (ones, others))
    table = ones[["row", "rating"]].assign(
        a=ones.predicted, b=others.predicted, gain=(after - before).round(4), text=ones.text
    )
    changed = table[(table.a == table.rating) != (table.b == table.rating)]
    return changed.iloc[np.argsort(-changed.gain.abs().to_numpy(), kind="stable")]


def by_class(classes: pd.Series, ones: Sequence[PredictionResult], others: Sequence[PredictionResult]) -> pd.DataFrame:
    """Accuracy and MAE (in stars) of both on each class of reviews, and their number; (name, of which) are columns."""
    table = pd.DataFrame({("reviews", ""): classes.value_counts(sort=False)}).sort_index()
    for name, score in (("accuracy", _right), ("mae", _distance)):
        means = [
            pd.Series(np.mean([score(result) for result in results], axis=0)).groupby(classes, observed=False).mean()
            for results in (ones, others)
        ]
        for column, values in zip(("a", "b"), means, strict=True):
            table[name, column] = values
        table[name, "difference"] = means[1] - means[0]
    return table[table["reviews"] > 0]


def _right(result: PredictionResult) -> np.ndarray:
    return result.labels == result.predicted


def _distance(result: PredictionResult) -> np.ndarray:
    return np.abs(result.labels - result.predicted)


def _means(measure: Measure, results: Sequence[PredictionResult]) -> np.ndarray:
    return np.mean([list(measure(result).values()) for result in results], axis=0)


def _luck_of_training(values: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """How far the mean of some trainings may lie from that of all, as often as `resamples` says: float [resamples]."""
    if len(values) == 1:
        return np.zeros(resamples)
    error = values.std(ddof=1) / np.sqrt(len(values))
    return error * random.standard_t(len(values) - 1, resamples)
