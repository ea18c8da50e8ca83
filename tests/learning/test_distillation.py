import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from src.learning.distillation import mix_rows, soft_targets

TRAIN = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], np.float32)
TRANSFER = np.array([[0.2, 0.2, 0.6]], np.float32)


def test_targets_by_hand():
    targets = soft_targets(np.array([1, 0]), TRAIN, TRANSFER, np.zeros(3), 0.5)
    expected = [[0.25, 0.625, 0.125], [0.5, 0, 0.5], [0.2, 0.2, 0.6]]
    np.testing.assert_allclose(targets, expected, atol=1e-7)


def test_the_teacher_is_moved_to_the_class_shares_after_resampling():
    shift = np.log([0.5, 1.0, 1.0])  # the first class was doubled
    targets = soft_targets(np.array([1, 0]), TRAIN, TRANSFER, shift, 1.0)
    np.testing.assert_allclose(targets[0], np.array([1.0, 0.25, 0.25]) / 1.5, atol=1e-7)
    predicted = targets[2] * np.exp(shift)  # as predict corrects the model
    np.testing.assert_allclose(predicted / predicted.sum(), TRANSFER[0], atol=1e-7)


@given(
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    transfer=st.integers(0, 60),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32 - 1),
)
def test_an_epoch_has_the_transfer_set_once_and_train_rows_to_their_share(rows, transfer, share, seed):
    mixed = mix_rows(np.array(rows), 10, transfer, share, seed)
    assert sorted(mixed[mixed >= 10]) == list(range(10, 10 + transfer))
    labelled = mixed[mixed < 10]
    assert len(labelled) == max(len(rows), round(transfer * share / (1 - share)))
    times = np.bincount(labelled, minlength=10) - np.bincount(rows, minlength=10) * (len(labelled) // len(rows))
    assert times.min() >= 0
    assert times.sum() == len(labelled) % len(rows)
