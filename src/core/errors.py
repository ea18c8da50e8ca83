"""The one way a stage ends on bad input: a clear line, exit code 1, no traceback."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend; the message says what is wrong, where, and what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a stage; turn what the user can mend (a UserError, a full disk, ...) into one line and exit code 1."""
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename or error}: no such file; run dvc repro, which makes it")
    except BrokenPipeError:  # whoever read what was printed has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {place}{error.strerror or error}; mend that and run again")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
