import numpy as np
import pytest

from src.core.errors import UserError
from src.core.params import Baseline
from src.evaluation.baselines import Texts, logistic_regressions, majority

SETTINGS = Baseline(ngrams=2, min_count=1, C=[0.01, 10.0])


def test_majority_predicts_the_class_shares_of_the_train_split():
    probabilities = majority(np.array([2, 2, 2, 0]), reviews=3, classes=3)
    np.testing.assert_allclose(probabilities, np.tile([2 / 7, 1 / 7, 4 / 7], (3, 1)))


def test_logistic_regression_learns_words_and_gives_unseen_classes_no_probability():
    train = Texts(["good app", "bad app", "good one", "bad one"] * 5, np.array([4, 0, 4, 0] * 5))
    test = ["good thing", "bad thing"]
    found = list(logistic_regressions(train, train, test, 5, SETTINGS))
    assert [name for name, _, _ in found] == ["tfidf", "tfidf_balanced"]
    for _, probabilities, c in found:
        assert probabilities.argmax(axis=1).tolist() == [4, 0]
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert (probabilities[:, 1:4] == 0).all()
        assert c == pytest.approx(10)


def test_with_one_class_there_is_no_logistic_regression():
    train = Texts(["good", "better"], np.array([4, 4]))
    assert list(logistic_regressions(train, train, ["good"], 5, SETTINGS)) == []


def test_a_min_count_that_no_word_reaches_is_refused():
    train = Texts(["good", "bad"], np.array([4, 0]))
    with pytest.raises(UserError, match=r"lower baseline\.min_count"):
        list(logistic_regressions(train, train, ["good"], 5, SETTINGS.model_copy(update={"min_count": 2})))
