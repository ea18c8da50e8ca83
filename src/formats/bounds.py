"""Bounds on what is read from a file, so that a small or a hostile one never fills the memory."""

import io
import math
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

from src.core.errors import UserError

LONGEST_LINE = 1_000_000
"""Characters of a line, or of a row of several lines, above which it is refused; only its beginning is kept."""
TOO_LONG = f"row is longer than {LONGEST_LINE} characters"
MAX_TEXT = 100_000
"""Characters of a review above which it is refused, where no setting says otherwise."""
MAX_UNPACKED_MB = 10_000
"""Megabytes that a compressed file may unpack to, where no setting says otherwise."""
MAX_COLUMNS = 16_384
"""Columns of a table: those of the widest spreadsheet."""


class UnpackLimit(NamedTuple):
    """How many megabytes a compressed file may unpack to, and the setting that says so."""

    megabytes: float = math.inf
    option: str = ""

    def check(self, size: int) -> None:
        """Refuse a file that unpacked to this many bytes so far."""
        if size > self.megabytes * 1_000_000:
            raise UserError(f"unpacks to more than {self.option} ({self.megabytes} MB); raise it, or split the file")


NO_LIMIT = UnpackLimit()


class Refused(str):
    """The beginning of a row that was not read as a whole, and the reason."""

    problem: str

    def __new__(cls, text: str, problem: str) -> "Refused":
        """Return the text with the reason."""
        refused = super().__new__(cls, text)
        refused.problem = problem
        return refused


class BoundedText(io.TextIOWrapper):
    """A text file whose lines are never longer than LONGEST_LINE: of a longer one, Refused holds its beginning."""

    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        while line := self.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE and not line.endswith(("\n", "\r")):
                end = line
                while end and not end.endswith(("\n", "\r")):
                    end = self.readline(LONGEST_LINE)
                line = Refused(line + end[len(end.rstrip("\r\n")) :], TOO_LONG)
            yield line


class CountedStream(io.RawIOBase):
    """A stream of unpacked bytes that ends with an error at the limit."""

    def __init__(self, stream: IO[bytes], limit: UnpackLimit) -> None:
        self._stream, self._limit, self._size = stream, limit, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self._size += len(block)
        self._limit.check(self._size)
        return len(block)


def first_lines(lines: Iterable[str], count: int, characters: int) -> Iterator[str]:
    """Yield some lines, fewer if they have more characters than this."""
    for line in lines:
        yield line
        count, characters = count - 1, characters - len(line)
        if not count or characters < 0:
            return


def check_columns(count: int) -> None:
    """Refuse a table with too many columns."""
    if count > MAX_COLUMNS:
        raise UserError(f"it has more than {MAX_COLUMNS} columns; is it a table, and its separator right?")
