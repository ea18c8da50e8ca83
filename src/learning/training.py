"""The training loop: batches of similar length, AdamW with a one-cycle schedule, best epoch by validation loss."""

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
    """A network, its loss, and the reviews to train it on."""

    rows: np.ndarray  # int64, the rows of `reviews` to train on; a row may occur more than once
    reviews: EncodedReviews

    @property
    def network(self) -> nn.Module:
        """The network to train."""

    def loss(self, rows: np.ndarray) -> tuple[Tensor, int]:
        """Return the mean loss of some reviews, in nats, and the number of items (reviews, words) in that mean."""

    def validate(self) -> dict[str, float]:
        """Return metrics of the current network by the names of their curves, among them valid/loss."""


class Epoch(NamedTuple):
    """The number of an epoch, counted from 1, and its metrics, rounded to six digits, by the names of their curves."""

    number: int
    metrics: dict[str, float]

    @property
    def valid_loss(self) -> float:
        """The loss by which the best epoch is chosen."""
        return self.metrics["valid/loss"]

    def summary(self) -> dict[str, float]:
        """Return number and metrics, without the learning rate, by their names in metrics files."""
        metrics = {name.replace("/", "_"): value for name, value in self.metrics.items() if name != "learning_rate"}
        return {"best_epoch": self.number, **metrics}

    def __str__(self) -> str:
        metrics = {name.replace("/", " ").replace("_", " "): value for name, value in self.metrics.items()}
        del metrics["learning rate"]
        return f"epoch {self.number}: " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


class Training:
    """The state of a training, all of which a checkpoint contains."""

    def __init__(self, network: nn.Module, steps_per_epoch: int, epochs: int, settings: TrainingLoop) -> None:
        self.network = network
        self.settings = settings
        self.most_epochs = epochs
        steps = steps_per_epoch * epochs
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True
        )
        # OneCycleLR divides by zero if the warm-up is exactly one step.
        warmup = settings.warmup_ratio if settings.warmup_ratio * steps != 1 else 1.5 / steps
        self.scheduler = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, settings.lr, total_steps=steps, pct_start=warmup, cycle_momentum=False
        )
        self.best_weights = network.state_dict()
        self.epochs: list[Epoch] = []
        self.step = 0  # steps done in the current epoch
        # This rank's sum over the current epoch; it is on the device, so that no step waits for the previous one.
        self.loss = torch.zeros((), dtype=torch.float64, device=next(network.parameters()).device)
        self.items = 0

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation loss; the earliest of them if several are equal."""
        return min(self.epochs, key=lambda epoch: epoch.valid_loss)

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or none of the last `patience` epochs was better than the best."""
        done = len(self.epochs)
        return done == self.most_epochs or (done > 0 and done - self.best.number >= self.settings.patience)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return _rounded(float(self.scheduler.get_last_lr()[0]))

    def take_step(self, loss: Tensor, items: int, share: float = 1.0) -> None:
        """Take one optimizer step on the mean loss of a batch over all ranks.

        loss: the mean over the `items` of this rank. share: the share of the batch's reviews that this rank has.
        """
        self.optimizer.zero_grad()
        (loss * share).backward()
        sum_gradients(self.network.parameters())
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        self.loss += loss.detach().double() * items
        self.items += items

    def check(self) -> None:
        """Raise a UserError if the loss is no longer a number; on a GPU this waits for all steps so far."""
        if not math.isfinite(self.loss.item()):
            raise UserError(
                f"the loss is no longer a number in epoch {len(self.epochs) + 1}, step {self.step}, at a learning rate "
                f"of {self.learning_rate}; lower lr (now {self.settings.lr}) or "
                f"max_grad_norm (now {self.settings.max_grad_norm}) in the parameters of this stage"
            )

    def end_epoch(self, validate: Callable[[], dict[str, float]]) -> Epoch:
        """Validate the network; keep its weights if it is the best so far."""
        sums = torch.stack([self.loss.cpu(), torch.tensor(self.items, dtype=torch.float64)])
        loss, items = all_reduce(sums).tolist()
        metrics = {"learning_rate": self.learning_rate, "train/loss": loss / items} | validate()
        metrics = {name: _rounded(value) for name, value in metrics.items()}
        epoch = Epoch(len(self.epochs) + 1, metrics)
        self.epochs.append(epoch)
        self.step, self.items = 0, 0
        self.loss.zero_()
        if self.best is epoch:
            self.best_weights = copy.deepcopy(self.network.state_dict())
        return epoch

    def save(self, checkpoint: Checkpoint) -> None:
        """Write the whole state to a checkpoint, including what differs between ranks."""
        optimizer = self.optimizer.state_dict()
        weights = {"network": self.network.state_dict(), "best": self.best_weights}
        tensors = {f"{part}/{name}": values.cpu().clone() for part in weights for name, values in weights[part].items()}
        for index, state in optimizer["state"].items():
            tensors |= {f"optimizer/{index}/{name}": values.cpu() for name, values in state.items()}
        own = {"loss": self.loss, "items": torch.tensor(self.items), "cpu_rng": torch.get_rng_state()}
        if torch.cuda.is_available():
            own["cuda_rng"] = torch.cuda.get_rng_state()
        tensors |= {f"rank/{name}": all_gather(values) for name, values in own.items()}
        numbers = {"param_groups": optimizer["param_groups"], "scheduler": self.scheduler.state_dict()}
        if is_main_process():
            checkpoint.save(tensors, numbers | {"epochs": self.epochs, "step": self.step})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Restore the state from a checkpoint, if there is one."""
        saved = checkpoint.load()
        if saved is None:
            return
        tensors, numbers = saved
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}, "rank": {}}
        for name, values in tensors.items():
            part, rest = name.split("/", 1)
            parts[part][rest] = values
        state: dict[int, dict[str, Tensor]] = {}
        for name, values in parts["optimizer"].items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = values
        self.network.load_state_dict(parts["network"])
        self.best_weights = parts["best"]
        self.optimizer.load_state_dict({"state": state, "param_groups": numbers["param_groups"]})
        self.scheduler.load_state_dict(numbers["scheduler"])
        self.epochs = [Epoch(*epoch) for epoch in numbers["epochs"]]
        self.step = numbers["step"]
        own = {name: values[rank()].clone() for name, values in parts["rank"].items()}  # set_rng_state takes no view
        self.loss.copy_(own["loss"])
        self.items = int(own["items"])
        torch.set_rng_state(own["cpu_rng"])
        if "cuda_rng" in own:
            torch.cuda.set_rng_state(own["cuda_rng"])


def fit(
    task: Task, settings: TrainingLoop, seed: int, report: Callable[[Epoch], None], checkpoint: Checkpoint
) -> Epoch | None:
    """Train a network and restore the weights of its best epoch by validation loss.

    Returns that epoch, or None if there is no epoch or nothing to train on. All random numbers depend only on `seed`,
    the number of the epoch and the rank. `report` is called for each epoch, including those in the checkpoint.

    Raises:
        UserError: the loss is no longer a number.
    """
    steps = math.ceil(len(task.rows) / settings.batch_size)
    if not steps * settings.epochs:
        return None
    epochs = max(settings.epochs, math.ceil(settings.min_steps / steps))
    training = Training(task.network, steps, epochs, settings)
    training.restore(checkpoint)
    device = next(task.network.parameters()).device.type
    for epoch in training.epochs:
        report(epoch)
    while not training.is_over:
        number = len(training.epochs) + 1
        batches = shuffled_batches(task.reviews, task.rows, settings.batch_size, seed_for(seed, "order", number))
        remaining = islice(batches, training.step, None)
        if training.step == 0:
            torch.manual_seed(seed_for(seed, "dropout", number) + rank())
        task.network.train()
        disable = None if is_main_process() else True  # None: disabled unless the output is a terminal
        for batch in tqdm(remaining, f"epoch {number}", steps, leave=False, disable=disable, initial=training.step):
            own = batch[rank() :: world_size()]
            with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bfloat16"):
                loss, items = task.loss(own) if len(own) else (torch.zeros((), requires_grad=True), 0)
            training.take_step(loss, items, len(own) / len(batch))
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
    """Return padded ids, int64 [rows, words], and lengths, int64 [rows], of some reviews."""
    ids, lengths = pad(reviews, rows)
    return to_device(ids, device), to_device(lengths, device)


def to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """Copy an array to the device; a GPU copies from pinned memory, so that the CPU does not wait."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def choose_device(name: str) -> torch.device:
    """Return the device of train.device; auto is the GPU if there is one. Each process on a machine has its own GPU.

    Raises:
        UserError: there is no CUDA device, or there are more processes than GPUs.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device: this machine has no CUDA device; set it to auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    gpus = torch.cuda.device_count()
    if local_rank() >= gpus:
        raise UserError(f"train.processes: more than this machine's {gpus} GPUs; lower it or set train.device to cpu")
    return torch.device("cuda", local_rank()) if is_launched() else torch.device("cuda")


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def be_deterministic(threads: int) -> None:
    """Make results reproducible to the byte: a fixed number of threads and deterministic operations only."""
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # never read
