"""DVC's command line for one experiment beside others: python -m commands.child PID exp run --temp ...

It ends with the process PID: else an experiment would outlive a killed sweep, and the next would run it once more. And
it has a stash of its own: DVC's runs share one, and a run that ends goes on with what another has just put there.
"""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import dvc.repo.experiments
import psutil
from dvc.cli import main
from dvc.lock import make_lock

from stages import wait_for_end


def end_with(pid: int, lock: Path) -> None:
    """End this process after another one, but not while DVC has its settings in the workspace, which it would leave."""
    with suppress(psutil.NoSuchProcess):
        wait_for_end(psutil.Process(pid))
    with make_lock(str(lock), wait=True):
        os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[1]), Path(".dvc/tmp/lock").resolve()), daemon=True).start()
    dvc.repo.experiments.WORKSPACE_STASH = f"refs/exps/temp/stash-{uuid4().hex}"
    sys.exit(main(sys.argv[2:]))
