"""The processes that share each batch of a training: its ranks. A process that torchrun did not start is alone.

The gradients are summed here, not by DistributedDataParallel: that lays them out anew after its first step, and so
three processes and more would sum in another order after a kill than without one.
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
"""How long a rank waits for the others, the first of which may wait for the same training to end elsewhere."""


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return dist.is_torchelastic_launched()


def local_rank() -> int:
    """Which of the processes on this machine this is, from 0."""
    return int(os.environ["LOCAL_RANK"]) if is_launched() else 0


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Work together with the other ranks within the block; alone where torchrun did not start this process.

    Raises:
        UserError: another rank is lost.
    """
    if not is_launched():
        yield
        return
    with _reaching_the_others():
        store, number, count = next(rendezvous("env://"))
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # torchrun may keep the store of an earlier attempt, with the addresses of the dead. Only on one machine do
            # all count the attempts alike; on several torchrun is told to keep none (docs/SCALING.md).
            store = PrefixStore(f"attempt {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)
        backend = "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
            backend = "cpu:gloo,cuda:nccl"  # by where a tensor lies
        dist.init_process_group(backend, timeout=GROUP_TIMEOUT, store=store, rank=number, world_size=count)
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """How many ranks there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this process is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this rank is the one that prints and writes files."""
    return rank() == 0


def all_reduce(values: Tensor) -> Tensor:
    """The sum over all ranks, which takes the place of `values`: the same bits on each of them."""
    if world_size() > 1:
        with _reaching_the_others():
            dist.all_reduce(values)
    return values


def all_gather(values: Tensor) -> Tensor:
    """The values of each rank, [ranks, ...], in ordinary memory."""
    found = [values.cpu()]
    if world_size() > 1:
        found = [torch.empty_like(found[0]) for _ in range(world_size())]
        with _reaching_the_others():
            dist.all_gather(found, values.cpu())
    return torch.stack(found)


def barrier() -> None:
    """Wait until all ranks are here."""
    all_reduce(torch.zeros(1))


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter the sum of its gradients on all ranks; a rank without gradients adds nothing."""
    if world_size() == 1:
        return
    weights = list(parameters)
    own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    summed = all_reduce(torch.cat([gradient.flatten() for gradient in own]))
    for weight, gradient in zip(weights, summed.split([weight.numel() for weight in weights]), strict=True):
        weight.grad = gradient.view_as(weight)


@contextmanager
def _reaching_the_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # of no kind of its own when it is a broken connection
        reason = str(error).splitlines()[0]
        raise UserError(
            f"another process of this training has ended or cannot be reached ({reason}): mend what it says, if it "
            "says anything; the training goes on from its last checkpoint, by itself where restarts are left, else "
            "when the same command is given again"
        ) from None
