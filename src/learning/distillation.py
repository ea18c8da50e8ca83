"""What the model learns from a teacher: targets between its probabilities and the labels, and texts without a label.

Source: Tang et al., Distilling Task-Specific Knowledge from BERT into Simple Neural Networks, 2019,
https://arxiv.org/abs/1903.12136.
"""

import numpy as np

SMALLEST = np.finfo(np.float32).tiny


def soft_targets(
    labels: np.ndarray, train: np.ndarray, transfer: np.ndarray, log_prior_shift: np.ndarray, weight: float
) -> np.ndarray:
    """Return the probabilities to learn, float32 [train reviews + transfer set, classes].

    labels: int64 [train reviews]. train, transfer: float32 [texts, classes], the teacher's probabilities. `weight` is
    that of the teacher against the label; the transfer set has no labels. The teacher has seen the class shares before
    resampling, the model learns those after it, so the shift that corrects its predictions is taken from the teacher's.
    """
    targets = np.concatenate([train, transfer])
    targets = targets * np.exp(-log_prior_shift)
    targets /= np.maximum(targets.sum(axis=1, keepdims=True), SMALLEST)
    rows = np.arange(len(labels))
    targets[rows] *= weight
    targets[rows, labels] += 1 - weight
    return targets.astype(np.float32)


def mix_rows(rows: np.ndarray, train: int, transfer: int, label_share: float, seed: int) -> np.ndarray:
    """Return the rows of an epoch in random order, int64: the whole transfer set, and train rows.

    rows: the train rows, of `train` reviews, that resampling chose. They are repeated until they make up `label_share`
    of the epoch, but each occurs as often as in `rows` at least. The transfer set follows the train reviews.
    """
    random = np.random.default_rng(seed)
    wanted = max(len(rows), round(transfer * label_share / (1 - label_share)))
    repeated = np.resize(random.permutation(rows), wanted)
    return random.permutation(np.concatenate([repeated, train + np.arange(transfer)]))
