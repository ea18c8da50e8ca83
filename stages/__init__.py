"""The stages of the pipeline. Each is a script: python -m stages.<name>."""

import os
import threading
import time
from contextlib import suppress

import psutil


def end_with(process: psutil.Process) -> None:
    """Exit as soon as another process ends. A zombie has ended, too: psutil's `wait` would wait until it is reaped."""
    with suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.1)
    os._exit(1)


def find_parent() -> psutil.Process | None:
    """Find the `dvc` or torchrun that started this stage: the parent, or the parent of a shell (`sh -c <command>`)."""
    parent = psutil.Process().parent()
    if parent is not None and parent.cmdline()[-2:-1] == ["-c"]:
        return parent.parent()
    return parent


# A stage must not outlive the `dvc` or torchrun that started it. The thread starts here because the imports of a stage
# take seconds: a parent that was killed meanwhile could no longer be found. Linux can signal a process when its parent
# ends (PR_SET_PDEATHSIG), but the parent may be a shell, which does not end with `dvc`.
if {"DVC_STAGE", "TORCHELASTIC_RUN_ID"} & os.environ.keys() and (parent := find_parent()) is not None:
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
