"""Data-parallel training: several processes (ranks) share each batch. Without torchrun there is one process.

The gradients are summed here and not by DistributedDataParallel, which rebuilds its buckets after the first step. With
three or more processes, a resumed training would then sum in a different order and end with different weights.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from src.core.errors import UserError

GROUP_TIMEOUT = timedelta(days=1)
"""How long a rank waits for the other ranks; long, because the main process may wait for the lock of the checkpoint."""


def is_launched() -> bool:
    """Whether torchrun, or `launcher.launch`, started this process."""
    return dist.is_torchelastic_launched()


def local_rank() -> int:
    """The number of this process among those on this machine, from 0."""
    return int(os.environ["LOCAL_RANK"]) if is_launched() else 0


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Connect this process to the other ranks within the block; do nothing if torchrun did not start it.

    Raises:
        UserError: another rank has ended or cannot be reached.
    """
    if not is_launched():
        yield
        return
    with _report_lost_ranks():
        store, number, count = next(rendezvous("env://"))
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # torchrun may reuse the store of an earlier attempt, which still contains the addresses of dead processes.
            # Ranks agree on the number of the attempt only on one machine; on several, the user disables the reuse
            # (docs/how-to/many-machines.md).
            store = PrefixStore(f"attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"  # chosen by the device of each tensor
        dist.init_process_group(backend, timeout=GROUP_TIMEOUT, store=store, rank=number, world_size=count)
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """The number of ranks."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process among all ranks, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this is rank 0, which prints and writes files."""
    return rank() == 0


def all_reduce(values: Tensor) -> Tensor:
    """Replace `values` by their sum over all ranks, and return it; its bits are the same on each rank."""
    if world_size() > 1:
        with _report_lost_ranks():
            dist.all_reduce(values)
    return values


def all_gather(values: Tensor) -> Tensor:
    """Return the values of all ranks, [ranks, ...], in CPU memory."""
    gathered = [values.cpu()]
    if world_size() > 1:
        gathered = [torch.empty_like(gathered[0]) for _ in range(world_size())]
        with _report_lost_ranks():
            dist.all_gather(gathered, values.cpu())
    return torch.stack(gathered)


def barrier() -> None:
    """Wait until all ranks have reached this call."""
    all_reduce(torch.zeros(1))


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradient of each parameter by its sum over all ranks; a rank without gradients adds zeros."""
    if world_size() == 1:
        return
    weights = list(parameters)
    own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    summed = all_reduce(torch.cat([gradient.flatten() for gradient in own]))
    for weight, gradient in zip(weights, summed.split([weight.numel() for weight in weights]), strict=True):
        weight.grad = gradient.view_as(weight)


@contextmanager
def _report_lost_ranks() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo has no exception type for a broken connection
        reason = str(error).splitlines()[0]
        raise UserError(
            f"another process of this training has ended or cannot be reached ({reason}); fix the error it printed, if "
            "any; unless the training restarts by itself, run the command again to continue from the last checkpoint"
        ) from None
