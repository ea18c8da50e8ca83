"""Which rating to predict, given the probability of each."""

import numpy as np

from src.core.params import Decision


def class_prior(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the share of each class among labels, int [reviews], as float64 [classes]."""
    return np.bincount(labels, minlength=classes) / len(labels)


def decide(probabilities: np.ndarray, rule: Decision, prior: np.ndarray) -> np.ndarray:
    """Choose a class for each review: int64 [reviews].

    probabilities: float [reviews, classes]. prior: float [classes], the class shares of the train split.
    argmax makes the fewest mistakes (best accuracy). balanced divides by the prior, as if all classes were equally
    frequent, and so predicts rare classes more often (macro F1); the probabilities must be for that prior
    (resample.correct_prior). posterior_median minimises the expected distance to the true rating (MAE).
    Source: Berger, Statistical Decision Theory and Bayesian Analysis (1985), section 4.4.
    """
    if rule == "balanced":
        return np.divide(probabilities, prior, out=np.zeros(probabilities.shape), where=prior > 0).argmax(axis=1)
    if rule == "posterior_median":
        classes = np.arange(probabilities.shape[1])
        return (probabilities @ np.abs(classes[:, None] - classes)).argmin(axis=1)
    return probabilities.argmax(axis=1)
