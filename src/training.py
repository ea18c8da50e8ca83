"""The training loop: batches of like length, AdamW on a one-cycle schedule, the best epoch kept."""

import copy
import math
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from src.errors import UserError
from src.metrics import confusion, macro_f1, outcome
from src.model import ReviewModel
from src.params import Train
from src.reviews import Reviews, batches_by_length, pad, shuffled_batches
from src.seeds import seed_for

READING_BATCH = 256


class Epoch(NamedTuple):
    """Figures of an epoch, counted from 1, to six significant digits; losses are means over reviews, in nats."""

    number: int
    learning_rate: float
    train_loss: float
    valid_loss: float
    valid_macro_f1: float

    def __str__(self) -> str:
        return (
            f"epoch {self.number}: train loss {self.train_loss:.4f}, valid loss {self.valid_loss:.4f}, "
            f"valid macro F1 {self.valid_macro_f1:.4f}"
        )


def train(
    model: ReviewModel,
    reviews: Reviews,
    rows: np.ndarray,
    valid: Reviews,
    log_prior_shift: np.ndarray,
    settings: Train,
    seed: int,
    report: Callable[[Epoch], None],
) -> Epoch:
    """Train on `rows` of `reviews`, leave the model in its best epoch by validation loss, and give that epoch.

    All chance follows from `seed` and the number of the epoch. `report` is called after each epoch.
    """
    device = next(model.parameters()).device
    lengths = reviews.lengths
    steps = math.ceil(len(rows) / settings.batch_size) * settings.epochs
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    # OneCycleLR divides by zero where the warm-up is one step exactly.
    warmup = settings.warmup if settings.warmup * steps != 1 else 1.5 / steps
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.lr, total_steps=steps, pct_start=warmup, cycle_momentum=False
    )
    best, best_weights = None, model.state_dict()
    for number in range(1, settings.epochs + 1):
        batches = shuffled_batches(rows, lengths, settings.batch_size, seed_for(seed, "order", number))
        torch.manual_seed(seed_for(seed, "dropout", number))
        model.train()
        total = 0.0
        for batch in tqdm(batches, f"epoch {number}", leave=False, disable=None):
            labels = torch.from_numpy(reviews.labels[batch]).to(device)
            loss = functional.cross_entropy(model(*_tensors(reviews, batch, device)), labels)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        probabilities = predict(model, valid, log_prior_shift)
        result = outcome(probabilities, valid.labels)
        epoch = Epoch(
            number,
            learning_rate=_rounded(float(schedule.get_last_lr()[0])),
            train_loss=_rounded(total / len(rows)),
            valid_loss=_rounded(float(result.loss.mean())),
            valid_macro_f1=_rounded(macro_f1(confusion(result.labels, result.predicted, len(log_prior_shift)))),
        )
        report(epoch)
        if best is None or epoch.valid_loss < best.valid_loss:
            best, best_weights = epoch, copy.deepcopy(model.state_dict())
        elif number - best.number >= settings.patience:
            break
    model.load_state_dict(best_weights)
    assert best is not None
    return best


def predict(model: ReviewModel, reviews: Reviews, log_prior_shift: np.ndarray) -> np.ndarray:
    """Give the probabilities of each class, float64 [reviews, classes], for the prior that the shift leads to."""
    device = next(model.parameters()).device
    model.eval()
    logits = np.empty((len(reviews.labels), len(log_prior_shift)))
    with torch.inference_mode():
        for batch in batches_by_length(reviews.lengths, READING_BATCH):
            logits[batch] = model(*_tensors(reviews, batch, device)).cpu().numpy()
    shifted = torch.from_numpy(logits + log_prior_shift)
    return functional.softmax(shifted, dim=1).numpy()


def choose_device(name: str) -> torch.device:
    """The device named, or for auto the GPU when there is one.

    Raises:
        UserError: cuda is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device: no CUDA device here; set it to auto or cpu")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _tensors(reviews: Reviews, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    ids, lengths = pad(reviews, rows)
    return torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device)


def be_deterministic(threads: int) -> None:
    """Make equal inputs give equal bytes: a fixed number of threads, and no operation that depends on their order."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
