"""The main task: predict the probability of each rating."""

from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from src.evaluation.metrics import confusion, macro_f1, prediction_result
from src.learning.distributed import all_reduce, rank, world_size
from src.learning.training import to_device, to_tensors
from src.text.encoded import EncodedReviews, batches_by_length

EVALUATION_BATCH = 256


class ClassificationTask:
    """Learn the ratings of `rows` of some reviews by cross-entropy; validate on others. A Task of training.

    targets: float32 [reviews, classes], the probabilities to learn instead of the labels; None: the labels.
    """

    def __init__(
        self,
        model: nn.Module,
        reviews: EncodedReviews,
        rows: np.ndarray,
        valid: EncodedReviews,
        log_prior_shift: np.ndarray,
        evaluation_batch: int = EVALUATION_BATCH,
        targets: np.ndarray | None = None,
    ) -> None:
        self.network = model
        self.evaluation_batch, self.targets = evaluation_batch, targets
        self.reviews, self.rows, self.valid = reviews, rows, valid
        self.log_prior_shift = log_prior_shift
        self.device = next(model.parameters()).device

    def loss(self, rows: np.ndarray) -> tuple[Tensor, int]:
        """Return the mean cross-entropy of some reviews, in nats, and their number."""
        labels = to_device((self.reviews.labels if self.targets is None else self.targets)[rows], self.device)
        logits = self.network(*to_tensors(self.reviews, rows, self.device)).float()
        return functional.cross_entropy(logits, labels), len(rows)

    def validate(self) -> dict[str, float]:
        """Return loss and macro F1 of the most probable class on the validation split, after the prior shift."""
        classes = len(self.log_prior_shift)
        loss, counts = 0.0, np.zeros((classes, classes), np.int64)
        for part in self.valid.parts():
            probabilities = predict(self.network, part, self.log_prior_shift, self.evaluation_batch)
            result = prediction_result(probabilities, part.labels)
            loss += float(result.loss.sum())
            counts += confusion(result.labels, result.predicted, classes)
        return {"valid/loss": loss / len(self.valid.labels), "valid/macro_f1": macro_f1(counts)}


def predict(
    model: nn.Module, reviews: EncodedReviews, log_prior_shift: np.ndarray, batch_size: int = EVALUATION_BATCH
) -> np.ndarray:
    """Predict the probability of each class: float64 [reviews, classes].

    log_prior_shift: float64 [classes], added to the logits; see `resampling.log_prior_shift`. Each rank computes some
    batches and returns all probabilities. The bits are those of a single process: each is summed with zeros only.
    """
    device = next(model.parameters()).device
    shift = torch.from_numpy(log_prior_shift)
    model.eval()
    probabilities = np.zeros((len(reviews.labels), len(log_prior_shift)))
    with torch.inference_mode():
        for batch in islice(batches_by_length(reviews.lengths, batch_size), rank(), None, world_size()):
            logits = model(*to_tensors(reviews, batch, device)).cpu().double()
            probabilities[batch] = functional.softmax(logits + shift, dim=1).numpy()
    return all_reduce(torch.from_numpy(probabilities)).numpy()
