"""The stages of the pipeline, each a script: python -m stages.<name>."""

import os
import threading
import time
from contextlib import suppress

import psutil


def wait_for_end(process: psutil.Process) -> None:
    """Wait until another process has ended, reaped or not: containers may reap none, and psutil waits for that."""
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.1)


def end_with(process: psutil.Process) -> None:
    """End this process at once when another one ends."""
    wait_for_end(process)
    os._exit(1)


def find_dvc() -> psutil.Process | None:
    """The `dvc` that runs this stage: the parent, or the parent of the shell between (`sh -c <command>`)."""
    parent = psutil.Process().parent()
    if parent is not None and parent.cmdline()[-2:-1] == ["-c"]:
        return parent.parent()
    return parent


# A killed `dvc` must leave no orphan at work, nor a killed torchrun, which is the parent of the processes that share a
# training. They are watched from here, before a stage's imports, which take seconds.
if {"DVC_STAGE", "TORCHELASTIC_RUN_ID"} & os.environ.keys() and (dvc := find_dvc()) is not None:
    threading.Thread(target=end_with, args=(dvc,), daemon=True).start()
