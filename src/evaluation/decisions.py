"""Which stars to say, given how likely each number of them is."""

import numpy as np

from src.core.params import Decision


def class_prior(labels: np.ndarray, classes: int) -> np.ndarray:
    """The share of each class among labels, int [reviews]: float64 [classes]."""
    return np.bincount(labels, minlength=classes) / len(labels)


def decide(probabilities: np.ndarray, rule: Decision, prior: np.ndarray) -> np.ndarray:
    """Choose a class for each review, int64 [reviews]; the probabilities themselves stay as they are.

    probabilities: float [reviews, classes]. prior: float [classes], the class shares of the train split.
    argmax makes the fewest mistakes (accuracy). balanced chooses as if all classes were equally frequent,
    so that rare ones are said more often (macro F1); the probabilities must be for that prior (resample.correct_prior).
    posterior_median makes the expected distance to the truth smallest (MAE).
    Source: Berger, Statistical Decision Theory and Bayesian Analysis (1985), section 4.4.
    """
    if rule == "balanced":
        return np.divide(probabilities, prior, out=np.zeros(probabilities.shape), where=prior > 0).argmax(axis=1)
    if rule == "posterior_median":
        place = np.arange(probabilities.shape[1])
        return (probabilities @ np.abs(place[:, None] - place)).argmin(axis=1)
    return probabilities.argmax(axis=1)
