import numpy as np
import pytest

from src.core.errors import UserError
from src.core.params import Baseline
from src.evaluation.baselines import Texts, logistic_regressions, majority

SETTINGS = Baseline(ngrams=2, min_count=1, C=[0.01, 10.0])


def test_the_majority_says_the_shares_of_the_train_split():
    said = majority(np.array([2, 2, 2, 0]), reviews=3, classes=3)
    np.testing.assert_allclose(said, np.tile([2 / 7, 1 / 7, 4 / 7], (3, 1)))


def test_logistic_regression_tells_words_apart_and_knows_no_class_that_it_never_saw():
    train = Texts(["good app", "bad app", "good one", "bad one"] * 5, np.array([4, 0, 4, 0] * 5))
    test = ["good thing", "bad thing"]
    found = list(logistic_regressions(train, train, test, 5, SETTINGS))
    assert [name for name, _, _ in found] == ["tfidf", "tfidf_balanced"]
    for _, probabilities, strength in found:
        assert probabilities.argmax(axis=1).tolist() == [4, 0]
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert (probabilities[:, 1:4] == 0).all()
        assert strength == pytest.approx(10)


def test_one_class_leaves_nothing_to_tell_apart():
    train = Texts(["good", "better"], np.array([4, 4]))
    assert list(logistic_regressions(train, train, ["good"], 5, SETTINGS)) == []


def test_texts_without_a_common_word_are_refused():
    train = Texts(["good", "bad"], np.array([4, 0]))
    with pytest.raises(UserError, match=r"lower baseline\.min_count"):
        list(logistic_regressions(train, train, ["good"], 5, SETTINGS.model_copy(update={"min_count": 2})))
