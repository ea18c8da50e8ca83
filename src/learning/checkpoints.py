"""Checkpoints, from which a killed training continues with the same result."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from src.core.files import atomic_write
from src.learning.distributed import barrier, is_main_process

# An experiment in a temporary folder also writes to the main repository, so that it can continue in another one.
CHECKPOINTS = Path(os.environ.get("DVC_ROOT", ".")) / ".checkpoints"


class Checkpoint:
    """A file of tensors and numbers. It is replaced as a whole, so that a kill leaves the previous version intact."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, tensors: dict[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Write tensors, and numbers or other values that JSON can represent."""
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            file.write(save(tensors, {"numbers": json.dumps(numbers)}))
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Remove the file and its folder."""
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read the tensors and numbers that were saved last; return None if there are none."""
        if not self.path.exists():
            return None
        with safe_open(self.path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict
            return tensors, json.loads(file.metadata()["numbers"])


@contextmanager
def resumable(folder: Path, resume: bool) -> Iterator[Checkpoint]:
    """Yield the checkpoint of a training, locked against other runs of it; remove it when the block succeeds.

    Without `resume`, a checkpoint of an earlier run is removed first. All ranks of a training share the folder (several
    machines need a shared file system); the main process holds the lock for all of them.
    """
    checkpoint = Checkpoint(folder / "checkpoint.safetensors")
    with _locked(folder) if is_main_process() else nullcontext():
        if is_main_process() and not resume:
            checkpoint.remove()
        barrier()
        yield checkpoint
        barrier()  # the slowest rank may not have read it before
        if is_main_process():
            checkpoint.remove()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("the same training is already running; waiting until it ends", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
