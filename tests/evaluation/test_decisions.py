import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.evaluation.decisions import decide
from src.evaluation.metrics import confusion, mean_absolute_error
from src.evaluation.score_tables import decision_table

PRIOR = np.array([0.1, 0.1, 0.1, 0.1, 0.6])


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        ("argmax", 4),  # 0.35 is the largest
        ("balanced", 0),  # 3.0, 0.5, 1.0, 2.0, 0.58 times the prior
        ("posterior_median", 3),  # expected distances 2.35, 1.95, 1.65, 1.55, 1.65
    ],
)
def test_each_rule_by_hand(rule, chosen):
    assert decide(np.array([[0.30, 0.05, 0.10, 0.20, 0.35]]), rule, PRIOR).tolist() == [chosen]


def test_balanced_never_predicts_a_class_that_never_occurred():
    assert decide(np.array([[1e-6, 1 - 1e-6]]), "balanced", np.array([0.0, 1.0])).tolist() == [1]


@given(st.integers(0, 10**6))
def test_the_posterior_median_has_the_smallest_expected_distance(seed):
    """If labels are drawn from the probabilities, no other rule has a smaller mean distance."""
    probabilities = np.random.default_rng(seed).dirichlet(np.full(5, 0.5), 20)
    classes = np.arange(5)
    distance = probabilities @ np.abs(classes[:, None] - classes)
    chosen = decide(probabilities, "posterior_median", PRIOR)
    np.testing.assert_allclose(distance[np.arange(20), chosen], distance.min(axis=1))


def test_each_rule_is_best_by_its_own_metric():
    random = np.random.default_rng(1)
    probabilities = random.dirichlet(5 * PRIOR, 4000)
    labels = np.array([random.choice(5, p=row) for row in probabilities])
    table = decision_table(probabilities, labels, PRIOR, 10).pivot(index="metric", columns="rule", values="value")
    assert table.loc["accuracy"].idxmax() == "argmax"
    assert table.loc["macro_f1"].idxmax() == "balanced"
    assert table.loc["mae"].idxmin() == "posterior_median"
    assert table.loc["log_loss"].nunique() == 1
    counts = confusion(labels, decide(probabilities, "posterior_median", PRIOR), 5)
    assert table.loc["mae", "posterior_median"] == pytest.approx(mean_absolute_error(counts), abs=1e-4)
