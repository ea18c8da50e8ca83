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

from src.checkpoints import Checkpoint
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


class Training:
    """All that changes while a model is trained, which is all that a checkpoint holds."""

    def __init__(self, model: ReviewModel, steps: int, settings: Train) -> None:
        self.model = model
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        # OneCycleLR divides by zero where the warm-up is one step exactly.
        warmup = settings.warmup if settings.warmup * steps != 1 else 1.5 / steps
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.lr, total_steps=steps, pct_start=warmup, cycle_momentum=False
        )
        self.best_weights = model.state_dict()
        self.epochs: list[Epoch] = []
        self.step = 0  # done in the epoch under way
        self.loss = 0.0  # summed over the reviews of the epoch under way

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss, the first of several."""
        return min(self.epochs, key=lambda epoch: epoch.valid_loss)

    def is_over(self, settings: Train) -> bool:
        """Whether all epochs are done, or `patience` of them were no better than the best."""
        done = len(self.epochs)
        return done == settings.epochs or (done > 0 and done - self.best.number >= settings.patience)

    def learn(self, loss: Tensor, reviews: int, clip: float) -> None:
        """Take one step down the mean loss of some reviews."""
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        self.loss += loss.item() * reviews

    def end_epoch(self, epoch: Epoch) -> None:
        """Note an epoch, and keep the weights if it is the best so far."""
        self.epochs.append(epoch)
        self.step, self.loss = 0, 0.0
        if self.best is epoch:
            self.best_weights = copy.deepcopy(self.model.state_dict())

    def save(self, checkpoint: Checkpoint) -> None:
        """Write everything to a checkpoint."""
        optimiser = self.optimiser.state_dict()
        tensors = {f"model/{name}": values.cpu() for name, values in self.model.state_dict().items()}
        tensors |= {f"best/{name}": values.cpu().clone() for name, values in self.best_weights.items()}
        for place, state in optimiser["state"].items():
            tensors |= {f"optimiser/{place}/{name}": values.cpu() for name, values in state.items()}
        tensors["random/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        numbers = {"groups": optimiser["param_groups"], "schedule": self.schedule.state_dict()}
        checkpoint.save(tensors, numbers | {"epochs": self.epochs, "step": self.step, "loss": self.loss})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take everything from a checkpoint, if there is one."""
        saved = checkpoint.load()
        if saved is None:
            return
        tensors, numbers = saved
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimiser": {}, "random": {}}
        for name, values in tensors.items():
            part, rest = name.split("/", 1)
            parts[part][rest] = values
        state: dict[int, dict[str, Tensor]] = {}
        for name, values in parts["optimiser"].items():
            place, key = name.split("/")
            state.setdefault(int(place), {})[key] = values
        self.model.load_state_dict(parts["model"])
        self.best_weights = parts["best"]
        self.optimiser.load_state_dict({"state": state, "param_groups": numbers["groups"]})
        self.schedule.load_state_dict(numbers["schedule"])
        self.epochs = [Epoch(*figures) for figures in numbers["epochs"]]
        self.step, self.loss = numbers["step"], numbers["loss"]
        torch.set_rng_state(parts["random"]["cpu"])
        if "cuda" in parts["random"]:
            torch.cuda.set_rng_state(parts["random"]["cuda"])


def train(
    model: ReviewModel,
    reviews: Reviews,
    rows: np.ndarray,
    valid: Reviews,
    log_prior_shift: np.ndarray,
    settings: Train,
    seed: int,
    report: Callable[[Epoch], None],
    checkpoint: Checkpoint,
) -> Epoch:
    """Train on `rows` of `reviews`, leave the model in its best epoch by validation loss, and give that epoch.

    All chance follows from `seed` and the number of the epoch. `report` is called after each epoch, also for those that
    the checkpoint holds already.

    Raises:
        UserError: the loss is no longer a number.
    """
    device = next(model.parameters()).device
    steps = math.ceil(len(rows) / settings.batch_size) * settings.epochs
    training = Training(model, steps, settings)
    training.restore(checkpoint)
    for epoch in training.epochs:
        report(epoch)
    while not training.is_over(settings):
        number = len(training.epochs) + 1
        batches = shuffled_batches(rows, reviews.lengths, settings.batch_size, seed_for(seed, "order", number))
        if training.step == 0:
            torch.manual_seed(seed_for(seed, "dropout", number))
        model.train()
        for batch in tqdm(batches[training.step :], f"epoch {number}", leave=False, disable=None):
            labels = torch.from_numpy(reviews.labels[batch]).to(device)
            loss = functional.cross_entropy(model(*_tensors(reviews, batch, device)), labels)
            training.learn(loss, len(batch), settings.clip)
            if not math.isfinite(training.loss):
                raise UserError(_explosion(number, training, settings))
            if training.step % settings.checkpoint_steps == 0:
                training.save(checkpoint)
        result = outcome(predict(model, valid, log_prior_shift), valid.labels)
        epoch = Epoch(
            number,
            learning_rate=_rounded(float(training.schedule.get_last_lr()[0])),
            train_loss=_rounded(training.loss / len(rows)),
            valid_loss=_rounded(float(result.loss.mean())),
            valid_macro_f1=_rounded(macro_f1(confusion(result.labels, result.predicted, len(log_prior_shift)))),
        )
        training.end_epoch(epoch)
        training.save(checkpoint)
        report(epoch)
    model.load_state_dict(training.best_weights)
    return training.best


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


def _explosion(number: int, training: Training, settings: Train) -> str:
    rate = _rounded(float(training.schedule.get_last_lr()[0]))
    return (
        f"the loss is no longer a number in epoch {number}, step {training.step}, at a learning rate of {rate}; "
        f"lower train.lr (now {settings.lr}) or train.clip (now {settings.clip})"
    )


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
