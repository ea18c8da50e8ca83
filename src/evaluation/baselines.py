"""What a model has to beat: the majority class, and logistic regression on TF-IDF."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from src.core.errors import UserError
from src.core.params import Baseline
from src.evaluation.metrics import prediction_result


class Texts(NamedTuple):
    """Texts before cleaning, and the class of each, int [texts]."""

    texts: Sequence[str]
    labels: np.ndarray


def majority(labels: np.ndarray, reviews: int, classes: int) -> np.ndarray:
    """Predict the class shares of `labels` for every review: float [reviews, classes].

    One is added to the count of each class, so that a class that never occurred does not get probability 0.
    """
    counts = np.bincount(labels, minlength=classes) + 1
    return np.tile(counts / counts.sum(), (reviews, 1))


def logistic_regressions(
    train: Texts, valid: Texts, test: Sequence[str], classes: int, settings: Baseline
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Fit logistic regressions with plain and with balanced class weights.

    C is chosen by the log loss on `valid`. Yields for each the name, the probabilities of `test`, float [reviews,
    classes], and C. A class that never occurred gets probability 0. Yields nothing if there is only one class.

    Raises:
        UserError: no word occurs in enough reviews.
    """
    if len(np.unique(train.labels)) == 1:
        return
    vectorizer = TfidfVectorizer(ngram_range=(1, settings.ngrams), min_df=settings.min_count, sublinear_tf=True)
    try:
        x_train = vectorizer.fit_transform(train.texts)
    except ValueError:
        raise UserError(f"no word occurs in {settings.min_count} reviews; lower baseline.min_count") from None
    x_valid, x_test = vectorizer.transform(valid.texts), vectorizer.transform(test)
    for name, class_weight in (("tfidf", None), ("tfidf_balanced", "balanced")):
        best_loss, best_probabilities, best_c = np.inf, np.empty(0), 0.0
        for c in settings.C:
            model = LogisticRegression(C=c, class_weight=class_weight, max_iter=1000).fit(x_train, train.labels)
            loss = float(prediction_result(predict_proba(model, x_valid, classes), valid.labels).loss.mean())
            if loss < best_loss:
                best_loss, best_probabilities, best_c = loss, predict_proba(model, x_test, classes), c
        yield name, best_probabilities, best_c


def predict_proba(model: LogisticRegression, x: Any, classes: int) -> np.ndarray:
    """Predict with a column for every class, 0 for those that the model never saw; x: [reviews, features]."""
    probabilities = np.zeros((x.shape[0], classes))
    probabilities[:, model.classes_] = model.predict_proba(x)
    return probabilities
