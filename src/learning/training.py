"""The training loop: batches of like length, AdamW on a one-cycle schedule, the best epoch kept."""

import copy
import math
import os
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from src.core.errors import UserError
from src.core.params import TrainingLoop
from src.core.seeds import seed_for
from src.learning.checkpoints import Checkpoint
from src.learning.distributed import (
    all_gather,
    all_reduce,
    is_launched,
    is_main_process,
    local_rank,
    rank,
    sum_gradients,
    world_size,
)
from src.text.encoded import EncodedReviews, pad, shuffled_batches


class Task(Protocol):
    """What a network is trained to do, and on which reviews."""

    rows: np.ndarray  # int64, the reviews to learn from; one may stand there more than once
    reviews: EncodedReviews  # those that the rows are numbers of

    @property
    def network(self) -> nn.Module:
        """What learns."""

    def loss(self, rows: np.ndarray) -> tuple[Tensor, int]:
        """The mean loss of some reviews, in nats, and how many things (reviews, words) it is the mean of."""

    def validate(self) -> dict[str, float]:
        """Figures of the network as it is, by their names as curves; valid/loss, which decides, is one of them."""


class Epoch(NamedTuple):
    """The number of an epoch, counted from 1, and its figures to six significant digits, by their names as curves."""

    number: int
    figures: dict[str, float]

    @property
    def valid_loss(self) -> float:
        """What decides which epoch is the best."""
        return self.figures["valid/loss"]

    def summary(self) -> dict[str, float]:
        """Number and figures, without the learning rate, by their names as metrics."""
        figures = {name.replace("/", "_"): value for name, value in self.figures.items() if name != "learning_rate"}
        return {"best_epoch": self.number, **figures}

    def __str__(self) -> str:
        figures = {name.replace("/", " ").replace("_", " "): value for name, value in self.figures.items()}
        del figures["learning rate"]
        return f"epoch {self.number}: " + ", ".join(f"{name} {value:.4f}" for name, value in figures.items())


class Training:
    """All that changes while a network is trained, which is all that a checkpoint holds."""

    def __init__(self, network: nn.Module, steps: int, settings: TrainingLoop) -> None:
        self.network = network
        self.settings = settings
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        # OneCycleLR divides by zero where the warm-up is one step exactly.
        warmup = settings.warmup_ratio if settings.warmup_ratio * steps != 1 else 1.5 / steps
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.lr, total_steps=steps, pct_start=warmup, cycle_momentum=False
        )
        self.best_weights = network.state_dict()
        self.epochs: list[Epoch] = []
        self.step = 0  # done in the epoch under way
        # Summed over what this rank saw in the epoch under way; on the device, so that no step waits for the last one.
        self.loss = torch.zeros((), dtype=torch.float64, device=next(network.parameters()).device)
        self.seen = 0

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss, the first of several."""
        return min(self.epochs, key=lambda epoch: epoch.valid_loss)

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or `patience` of them were no better than the best."""
        done = len(self.epochs)
        return done == self.settings.epochs or (done > 0 and done - self.best.number >= self.settings.patience)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return _rounded(float(self.schedule.get_last_lr()[0]))

    def take_step(self, loss: Tensor, seen: int, share: float = 1.0) -> None:
        """Take one step down the mean loss of what all ranks saw.

        loss: the mean over what this rank saw, which is a `share` of all.
        """
        self.optimiser.zero_grad()
        (loss * share).backward()
        sum_gradients(self.network.parameters())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_grad_norm)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        self.loss += loss.detach().double() * seen
        self.seen += seen

    def check(self) -> None:
        """Raise a UserError when the loss is no longer a number; on a GPU this waits for all steps so far."""
        if not math.isfinite(self.loss.item()):
            raise UserError(
                f"the loss is no longer a number in epoch {len(self.epochs) + 1}, step {self.step}, at a learning rate "
                f"of {self.learning_rate}; lower lr (now {self.settings.lr}) or "
                f"max_grad_norm (now {self.settings.max_grad_norm}) of this stage"
            )

    def end_epoch(self, validate: Callable[[], dict[str, float]]) -> Epoch:
        """Measure the network; keep it if it is the best so far."""
        sums = torch.stack([self.loss.cpu(), torch.tensor(self.seen, dtype=torch.float64)])
        loss, seen = all_reduce(sums).tolist()
        figures = {"learning_rate": self.learning_rate, "train/loss": loss / seen} | validate()
        figures = {name: _rounded(value) for name, value in figures.items()}
        epoch = Epoch(len(self.epochs) + 1, figures)
        self.epochs.append(epoch)
        self.step, self.seen = 0, 0
        self.loss.zero_()
        if self.best is epoch:
            self.best_weights = copy.deepcopy(self.network.state_dict())
        return epoch

    def save(self, checkpoint: Checkpoint) -> None:
        """Write everything to a checkpoint, also what each rank has for itself."""
        optimiser = self.optimiser.state_dict()
        weights = {"network": self.network.state_dict(), "best": self.best_weights}
        tensors = {f"{part}/{name}": values.cpu().clone() for part in weights for name, values in weights[part].items()}
        for place, state in optimiser["state"].items():
            tensors |= {f"optimiser/{place}/{name}": values.cpu() for name, values in state.items()}
        own = {"loss": self.loss, "seen": torch.tensor(self.seen), "random": torch.get_rng_state()}
        if torch.cuda.is_available():
            own["random on the GPU"] = torch.cuda.get_rng_state()
        tensors |= {f"own/{name}": all_gather(values) for name, values in own.items()}
        numbers = {"groups": optimiser["param_groups"], "schedule": self.schedule.state_dict()}
        if is_main_process():
            checkpoint.save(tensors, numbers | {"epochs": self.epochs, "step": self.step})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take everything from a checkpoint, if there is one."""
        saved = checkpoint.load()
        if saved is None:
            return
        tensors, numbers = saved
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}, "own": {}}
        for name, values in tensors.items():
            part, rest = name.split("/", 1)
            parts[part][rest] = values
        state: dict[int, dict[str, Tensor]] = {}
        for name, values in parts["optimiser"].items():
            place, key = name.split("/")
            state.setdefault(int(place), {})[key] = values
        self.network.load_state_dict(parts["network"])
        self.best_weights = parts["best"]
        self.optimiser.load_state_dict({"state": state, "param_groups": numbers["groups"]})
        self.schedule.load_state_dict(numbers["schedule"])
        self.epochs = [Epoch(*epoch) for epoch in numbers["epochs"]]
        self.step = numbers["step"]
        own = {name: values[rank()].clone() for name, values in parts["own"].items()}  # set_rng_state wants no view
        self.loss.copy_(own["loss"])
        self.seen = int(own["seen"])
        torch.set_rng_state(own["random"])
        if "random on the GPU" in own:
            torch.cuda.set_rng_state(own["random on the GPU"])


def fit(
    task: Task, settings: TrainingLoop, seed: int, report: Callable[[Epoch], None], checkpoint: Checkpoint
) -> Epoch | None:
    """Train a network, leave it in its best epoch by validation loss, and give that epoch; None where there is none.

    All chance follows from `seed`, the number of the epoch and the rank. `report` is called after each epoch, also for
    those that the checkpoint holds already.

    Raises:
        UserError: the loss is no longer a number.
    """
    steps = math.ceil(len(task.rows) / settings.batch_size)
    if not steps * settings.epochs:
        return None
    training = Training(task.network, steps * settings.epochs, settings)
    training.restore(checkpoint)
    device = next(task.network.parameters()).device.type
    for epoch in training.epochs:
        report(epoch)
    while not training.is_over:
        number = len(training.epochs) + 1
        batches = shuffled_batches(task.reviews, task.rows, settings.batch_size, seed_for(seed, "order", number))
        left = islice(batches, training.step, None)
        if training.step == 0:
            torch.manual_seed(seed_for(seed, "dropout", number) + rank())
        task.network.train()
        hidden = None if is_main_process() else True  # None: shown on a terminal
        for batch in tqdm(left, f"epoch {number}", steps, leave=False, disable=hidden, initial=training.step):
            own = batch[rank() :: world_size()]
            with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                loss, seen = task.loss(own) if len(own) else (torch.zeros((), requires_grad=True), 0)
            training.take_step(loss, seen, len(own) / len(batch))
            checkpoint_is_due = training.step % settings.checkpoint_steps == 0
            if device == "cpu" or checkpoint_is_due:
                training.check()
            if checkpoint_is_due:
                training.save(checkpoint)
        training.check()
        epoch = training.end_epoch(task.validate)
        training.save(checkpoint)
        report(epoch)
    task.network.load_state_dict(training.best_weights)
    return training.best


def to_tensors(reviews: EncodedReviews, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Some reviews as padded ids int64 [rows, words] and their lengths int64 [rows]."""
    ids, lengths = pad(reviews, rows)
    return to_device(ids, device), to_device(lengths, device)


def to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """An array as a tensor on the device; a GPU copies it from pinned memory while the CPU goes on."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def choose_device(name: str) -> torch.device:
    """The device named, or for auto the GPU when there is one; each of several processes has a GPU of its own.

    Raises:
        UserError: cuda is asked for and there is none, or there are more processes than GPUs.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device: no CUDA device here; set it to auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    there = torch.cuda.device_count()
    if local_rank() >= there:
        raise UserError(f"train.processes: more than the {there} GPUs here; lower it, or set train.device to cpu")
    return torch.device("cuda", local_rank()) if is_launched() else torch.device("cuda")


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def be_deterministic(threads: int) -> None:
    """Make equal inputs give equal bytes: a fixed number of threads, and no operation that depends on their order."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # nothing here reads it
