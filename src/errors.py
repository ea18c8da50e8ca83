"""The one way a stage ends on bad input: a clear line, exit code 1, no traceback."""

import ctypes
import signal
import sys
from collections.abc import Callable

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


class UserError(Exception):
    """Something the user can mend; the message says what is wrong, where, and what to do."""


def die_with_parent() -> None:
    """On Linux, end this process when the one that started it ends: a killed `dvc` leaves no orphan at work."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def run(main: Callable[[], None]) -> None:
    """Run a stage; turn what the user can mend (a UserError, a full disk, ...) into one line and exit code 1."""
    die_with_parent()
    try:
        main()
    except UserError as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename or error}: no such file; run dvc repro, which makes it")
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}; mend that and run again")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
