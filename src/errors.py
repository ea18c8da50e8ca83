"""The one way a stage ends on bad input: a clear line, exit code 1, no traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend; the message says what is wrong, where, and what to do."""


def run(main: Callable[[], None]) -> None:
    """Run a stage; turn a UserError into one line on stderr and exit code 1."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")
