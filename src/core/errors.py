"""The one way a program ends on bad input: a clear line, exit code 1, no traceback."""

import errno
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Codes of errors that mean that nothing more can be written."""


class UserError(Exception):
    """An error that the user can fix; the message says what is wrong, where, and what to do."""


def excerpt(text: str, characters: int = 80) -> str:
    """Shorten a text of unknown origin for a message: one line, no control characters, at most `characters`."""
    # A part is enough, and the text may be a whole file.
    line = " ".join(text[: 10 * characters].split())
    shown = "".join(character if character.isprintable() else "\ufffd" for character in line)
    return shown if len(shown) <= characters else shown[: characters - 3] + "..."


def fail_alone(
    function: Callable[[Sequence[T]], R],
    items: Sequence[T],
    failed: Callable[[Exception], R],
    join: Callable[[R, R], R],
) -> R:
    """Return what a function makes of some items; an item that it fails for, whatever the reason, harms no other.

    The items of a call that fails are halved until the failing ones are alone. failed: makes the result of such an
    item. join: makes one result of the results of neighbours.
    """
    try:
        return function(items)
    except Exception as error:
        if len(items) <= 1:
            return failed(error)
    middle = len(items) // 2
    return join(*(fail_alone(function, half, failed, join) for half in (items[:middle], items[middle:])))


@contextmanager
def named_errors(path: object) -> Iterator[None]:
    """Name the path in the error of a full disk, which does not say where it is full."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in WRITE_ERRORS:
            error.filename = str(path)
        raise


def run(main: Callable[[], None]) -> None:
    """Run a program; report errors that the user can fix (a UserError, a full disk, ...) in one line, exit code 1.

    With REVIEWS_DEBUG=1 in the environment, the traceback stands above the line.
    """
    try:
        with named_errors("standard output"):
            main()
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit, which would fail too
        sys.exit(1)
    except (UserError, OSError) as error:
        if os.environ.get("REVIEWS_DEBUG") == "1":
            traceback.print_exc()
        _close_full_output()
        sys.exit(f"error: {_line(error)}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


def _close_full_output() -> None:
    """Flush standard output; if it is full, leave out the rest, which would fail once more at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{error.filename or error}: no such file; run dvc repro to create it"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}; fix this and run again"
    return " ".join(str(error).split())
