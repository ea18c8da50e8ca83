"""Repeat or drop training reviews so that rare ratings have more weight, and compute the prior shift this causes."""

from typing import NamedTuple

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler

from src.core.params import Resample


class Resampled(NamedTuple):
    """The training rows to use, int64; log_prior_shift, float64 [classes], see below; whether imbalance was found."""

    rows: np.ndarray
    log_prior_shift: np.ndarray
    found: bool


def resample(labels: np.ndarray, classes: int, settings: Resample, seed: int) -> Resampled:
    """Resample the training rows if the largest class has at least `threshold` times the reviews of the smallest.

    labels: int64 [reviews]. Classes without a review are ignored. The rows, chosen by imbalanced-learn, are sorted.
    """
    before = np.bincount(labels, minlength=classes)
    present = before[before > 0]
    found = bool(present.max() >= settings.threshold * present.min())
    rows = np.arange(len(labels))
    if found and settings.strategy != "none":
        rows = _sample(rows, labels, _targets(before, settings), seed)
    shift = log_prior_shift(before, np.bincount(labels[rows], minlength=classes))
    return Resampled(rows, shift if settings.correct_prior else np.zeros(classes), found)


def log_prior_shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return what to add to the logits of a model trained on counts `after` to correct them for counts `before`.

    That is log(share before) - log(share after), float64 [classes]; 0 for a class without a review.
    Source: Saerens, Latinne and Decaestecker, Neural Computation 14 (2002), p. 24, equation 2.4.
    """
    shift = np.zeros(len(before))
    present = (before > 0) & (after > 0)
    shift[present] = np.log(before[present] / before.sum()) - np.log(after[present] / after.sum())
    return shift


def _targets(counts: np.ndarray, settings: Resample) -> dict[int, int]:
    """Return the target count of each class: its own count, moved towards a common count by the share `amount`."""
    present = {label: int(count) for label, count in enumerate(counts) if count}
    goal = {
        "over": max(present.values()),
        "under": min(present.values()),
        "both": sum(present.values()) / len(present),
    }[settings.strategy]
    return {label: round(count + settings.amount * (goal - count)) for label, count in present.items()}


def _sample(rows: np.ndarray, labels: np.ndarray, targets: dict[int, int], seed: int) -> np.ndarray:
    counts = np.bincount(labels)
    more = {label: target for label, target in targets.items() if target > counts[label]}
    fewer = {label: target for label, target in targets.items() if target < counts[label]}
    for sampler, strategy in ((RandomOverSampler, more), (RandomUnderSampler, fewer)):
        if strategy:
            chosen = sampler(sampling_strategy=strategy, random_state=seed)
            chosen.fit_resample(rows[:, None], labels[rows])
            rows = rows[chosen.sample_indices_]
    return np.sort(rows)
