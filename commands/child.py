"""DVC's own command line in a process that ends with the one that started it: python -m commands.child PID exp run ...

Else an experiment would outlive a killed sweep, and the next one would run it again beside it.
"""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

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
    sys.exit(main(sys.argv[2:]))
