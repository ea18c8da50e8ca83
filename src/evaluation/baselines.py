"""What a model has to beat: the majority, and TF-IDF with a logistic regression."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from src.core.errors import UserError
from src.core.params import Baseline
from src.evaluation.metrics import prediction_result


class Texts(NamedTuple):
    """Texts as they were written, and the class of each, int [texts]."""

    texts: Sequence[str]
    labels: np.ndarray


def majority(labels: np.ndarray, reviews: int, classes: int) -> np.ndarray:
    """Say the class shares of `labels` for every review, float [reviews, classes]; the largest is the prediction.

    One imagined review of each class keeps a class that never occurred from being called impossible.
    """
    counts = np.bincount(labels, minlength=classes) + 1
    return np.tile(counts / counts.sum(), (reviews, 1))


def logistic_regressions(
    train: Texts, valid: Texts, test: Sequence[str], classes: int, settings: Baseline
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Give a name, the probabilities of `test`, float [reviews, classes], and C, plain and with balanced classes.

    C is chosen by the log loss on `valid`. A class that never occurred gets the probability 0, and with one class alone
    there is nothing to give.

    Raises:
        UserError: no word stands in enough reviews.
    """
    if len(np.unique(train.labels)) == 1:
        return
    vectorizer = TfidfVectorizer(ngram_range=(1, settings.ngrams), min_df=settings.min_count, sublinear_tf=True)
    try:
        seen = vectorizer.fit_transform(train.texts)
    except ValueError:
        raise UserError(f"no word stands in {settings.min_count} reviews; lower baseline.min_count") from None
    held_out, unseen = vectorizer.transform(valid.texts), vectorizer.transform(test)
    for name, weight in (("tfidf", None), ("tfidf_balanced", "balanced")):
        best_loss, best, best_strength = np.inf, np.empty(0), 0.0
        for strength in settings.C:
            model = LogisticRegression(C=strength, class_weight=weight, max_iter=1000).fit(seen, train.labels)
            held_out_probabilities = _spread(model, model.predict_proba(held_out), classes)
            loss = float(prediction_result(held_out_probabilities, valid.labels).loss.mean())
            if loss < best_loss:
                best_loss, best_strength = loss, strength
                best = _spread(model, model.predict_proba(unseen), classes)
        yield name, best, best_strength


def _spread(model: LogisticRegression, probabilities: np.ndarray, classes: int) -> np.ndarray:
    """Put the columns of the classes that occurred in their places."""
    spread = np.zeros((len(probabilities), classes))
    spread[:, model.classes_] = probabilities
    return spread
