import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.params import Resample
from src.learning.resampling import log_prior_shift, resample

LABELS = np.repeat([0, 1, 2], [10, 40, 100])
STRATEGIES = ("none", "over", "under", "both")


def settings(strategy="over", threshold=1.0, amount=1.0, correct_prior=True):
    return Resample(strategy=strategy, threshold=threshold, amount=amount, correct_prior=correct_prior)


@pytest.mark.parametrize(
    ("strategy", "amount", "counts"),
    [
        ("none", 1.0, [10, 40, 100]),
        ("over", 1.0, [100, 100, 100]),
        ("over", 0.5, [55, 70, 100]),
        ("under", 1.0, [10, 10, 10]),
        ("under", 0.5, [10, 25, 55]),
        ("both", 1.0, [50, 50, 50]),
        ("both", 0.5, [30, 45, 75]),
        ("both", 0.0, [10, 40, 100]),
    ],
)
def test_counts_by_hand(strategy, amount, counts):
    chosen = resample(LABELS, 3, settings(strategy, amount=amount), seed=1)
    assert np.bincount(LABELS[chosen.rows]).tolist() == counts
    assert (np.diff(chosen.rows) >= 0).all()


def test_nothing_changes_below_the_threshold():
    for threshold, found in ((10.0, True), (10.1, False)):
        chosen = resample(LABELS, 3, settings(threshold=threshold), seed=1)
        assert chosen.found == found
        assert (len(chosen.rows) > len(LABELS)) == found


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200),
    st.sampled_from(STRATEGIES),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_only_existing_rows_are_chosen_and_no_class_appears_or_disappears(labels, strategy, amount, seed):
    labels = np.array(labels)
    chosen = resample(labels, 5, settings(strategy, amount=amount), seed)
    assert set(chosen.rows) <= set(range(len(labels)))
    assert set(labels[chosen.rows]) == set(labels)
    again = resample(labels, 5, settings(strategy, amount=amount), seed)
    np.testing.assert_array_equal(chosen.rows, again.rows)
    if strategy == "over":
        assert set(chosen.rows) == set(range(len(labels)))
    if strategy == "under":
        assert len(set(chosen.rows)) == len(chosen.rows)


def test_the_shift_restores_the_class_shares_before_resampling():
    before, after = np.array([10, 40, 0, 50]), np.array([40, 40, 0, 40])
    shift = log_prior_shift(before, after)
    learnt = np.log([1 / 3, 1 / 3, 1e-9, 1 / 3])
    corrected = np.exp(learnt + shift)
    assert (corrected / corrected.sum())[[0, 1, 3]] == pytest.approx([0.1, 0.4, 0.5])
    assert shift[2] == 0


def test_the_correction_can_be_switched_off():
    assert not resample(LABELS, 3, settings(correct_prior=False), seed=1).log_prior_shift.any()
    assert resample(LABELS, 3, settings(), seed=1).log_prior_shift.any()
