"""What a killed training needs to go on as if nothing had happened."""

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

# In the main repository also for an experiment that runs in a folder of its own, so that it can be resumed too.
CHECKPOINTS = Path(os.environ.get("DVC_ROOT", ".")) / ".checkpoints"


class Checkpoint:
    """One file with tensors and numbers, replaced as a whole each time: a kill leaves the last good one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, tensors: dict[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Write tensors, and numbers that JSON can hold."""
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            file.write(save(tensors, {"numbers": json.dumps(numbers)}))
            os.fsync(file.fileno())

    def forget(self) -> None:
        """Remove what was saved, and its folder."""
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read what was saved last, or None where nothing was."""
        if not self.path.exists():
            return None
        with safe_open(self.path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            return tensors, json.loads(file.metadata()["numbers"])


@contextmanager
def resumable(folder: Path, resume: bool) -> Iterator[Checkpoint]:
    """Give the checkpoint of a training to one process at a time; it is removed when the block ends well.

    Without `resume` what an earlier process left there is removed first. Where several ranks share the training they
    share the folder too, on several machines by a file system that all see; the first one holds it for all.
    """
    checkpoint = Checkpoint(folder / "checkpoint.safetensors")
    with _held(folder) if is_main_process() else nullcontext():
        if is_main_process() and not resume:
            checkpoint.forget()
        barrier()
        yield checkpoint
        barrier()  # the last rank may only now have read it
        if is_main_process():
            checkpoint.forget()


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(exist_ok=True)
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("the same training runs already; waiting for it to end", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)
