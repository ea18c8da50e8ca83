"""The one way a program ends on bad input: a clear line, exit code 1, no traceback."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """An error that the user can fix; the message says what is wrong, where, and what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a program; report errors that the user can fix (a UserError, a full disk, ...) in one line, exit code 1."""
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename or error}: no such file; run dvc repro to create it")
    except BrokenPipeError:  # the reader of the output closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit, which would fail too
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}; fix this and run again")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
