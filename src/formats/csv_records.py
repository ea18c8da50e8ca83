"""Read the records of a CSV file in a given dialect, without losing a line.

Quotes quote where a closing quote is followed by a separator or a line end. A line on which that fails is taken
literally, so that a stray quote never swallows the lines after it.
Source: RFC 4180, https://www.rfc-editor.org/rfc/rfc4180, section 2.
"""

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from src.formats.bounds import LONGEST_LINE, TOO_LONG, Refused

csv.field_size_limit(2**31 - 1)

MAX_LINES = 1000
"""Lines of a record after which its quote counts as never closed."""
WITHIN = {"\n": re.compile(r"\r(?!\n)"), "\r\n": re.compile(r"\r(?!\n)|(?<!\r)\n")}
"""What belongs to the text where lines end with a line feed, or with both."""
STAND_INS = {"\r": "\ufdd0", "\n": "\ufdd1"}
"""What stands for them while a line is parsed: no characters, and never part of a text."""
MOST_LINES = 0.8
"""Share of lines that must hold what the columns hold to count as records."""
NUMBER = re.compile(r"\s*[-+]?[\d★☆]")


class Profile(NamedTuple):
    """What the columns of a table hold: the places of numbers; without any, those of a few values, and these."""

    numbers: tuple[int, ...] = ()
    values: tuple[tuple[int, frozenset[str]], ...] = ()

    def matches(self, lines: list[list[str]], width: int) -> bool:
        """Tell whether each of some lines, split into fields, could be a record; nearly all must hold such cells."""
        if not (self.numbers or self.values) or any(len(fields) != width for fields in lines):
            return False
        return sum(map(self._matches_line, lines)) >= MOST_LINES * len(lines)

    def _matches_line(self, fields: list[str]) -> bool:
        numbers = all(NUMBER.match(fields[place]) for place in self.numbers)
        return numbers and all(fields[place] in known for place, known in self.values)


class Dialect(NamedTuple):
    """How a file separates its records into fields.

    quoting: whether `quote` around a field belongs to the format and not to the text. escapes: whether a backslash
    takes a quote, separator, line end or backslash after it literally. skip_spaces: whether spaces after a separator
    belong to the format. skip_lines: lines above the header, or above the first row if there is no header. padding: a
    character that a spreadsheet left in runs at the end of lines. line_end: what alone ends a record, any line end if
    empty. profile: what the columns hold.
    """

    separator: str
    quote: str = '"'
    quoting: bool = True
    escapes: bool = False
    skip_spaces: bool = False
    skip_lines: int = 0
    padding: str = ""
    line_end: str = ""
    profile: Profile = Profile()

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a csv.reader that raises csv.Error where a quoted field does not end as it must."""
        if self.line_end:  # csv.reader would end the record at any
            within = WITHIN[self.line_end]
            lines = map(lambda line: within.sub(lambda found: STAND_INS[found[0]], line), lines)  # noqa: C417
        if self.padding:
            lines = map(self._without_padding, lines)
        if self.escapes:  # csv.reader would drop the backslashes that escape nothing
            special = re.compile(
                rf"\\([{re.escape(self.quote + self.separator)}\r\n{''.join(STAND_INS.values())}\\])|\\"
            )
            lines = map(lambda line: special.sub(lambda found: found[0] if found[1] else r"\\", line), lines)  # noqa: C417
        return csv.reader(
            lines,
            delimiter=self.separator,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE,
            escapechar="\\" if self.escapes else None,
            doublequote=True,  # without it, csv.reader drops a quote that does not end a field
            skipinitialspace=self.skip_spaces,
            strict=True,
        )

    def _without_padding(self, line: str) -> str:
        content = line.rstrip("\r\n")
        return content.rstrip(self.padding) + line[len(content) :]

    def literal(self, line: str) -> list[str]:
        """Return the fields of a line whose quotes belong to the text."""
        line = line.removesuffix("\n").removesuffix("\r")
        return (line.rstrip(self.padding) if self.padding else line).split(self.separator)


class Record(NamedTuple):
    """The fields of a record, the number of its first line, its lines, and whether its quotes were taken as text.

    problem: why only its beginning was read, None if all was.
    """

    fields: list[str]
    line: int
    lines: list[str]
    conflict: bool
    problem: str | None = None


class OpenQuote(csv.Error):
    """A quote is not closed within MAX_LINES lines or LONGEST_LINE characters."""


class _TooLongError(Exception):
    """A record begins with a line that is too long."""


class _Lines:
    """Feeds lines to a csv.reader, remembers those of the current record, and takes lines back."""

    def __init__(self, lines: Iterator[str], number: int, line_end: str) -> None:
        self._lines, self._line_end = lines, line_end
        self._returned: deque[str] = deque()
        self.record: list[str] = []
        self.size = 0
        self.number = number

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        if self._line_end and not line.endswith(self._line_end):
            line = self._to_its_end(line)
        self.number += 1
        self.record.append(line)
        self.size += len(line)
        refused = isinstance(line, Refused)
        if refused and len(self.record) == 1:
            raise _TooLongError
        if refused or len(self.record) > MAX_LINES or (self.size > LONGEST_LINE and len(self.record) > 1):
            raise OpenQuote
        return line

    def _to_its_end(self, first: str) -> str:
        """Join the parts of a line that holds line ends of other kinds; it is Refused if it is too long."""
        parts, size, last = [first], len(first), first
        refused = isinstance(first, Refused)
        while not last.endswith(self._line_end) and (last := next(self._lines, "")):
            self.number += 1
            size += len(last)
            refused = refused or isinstance(last, Refused) or size > LONGEST_LINE
            if not refused:
                parts.append(last)
        return Refused("".join(parts), TOO_LONG) if refused else "".join(parts)

    def start(self) -> None:
        """Begin a record."""
        self.record, self.size = [], 0

    def take_back(self, lines: list[str]) -> None:
        """Feed some lines again."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def records(file: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """Read the records of a file, the header included; blank lines are left out."""
    lines = _Lines(islice(file, dialect.skip_lines, None), dialect.skip_lines, dialect.line_end)
    reader = dialect.reader(lines)
    while True:
        lines.start()
        line = lines.number + 1
        conflict = False
        try:
            fields = next(reader)
        except StopIteration:
            return
        except _TooLongError:
            start = str(lines.record[0])
            yield Record(dialect.literal(start), line, [start], False, TOO_LONG)
            continue
        except csv.Error:
            conflict = True
        if not conflict and len(lines.record) > 1:
            conflict = _holds_records(lines.record, fields, dialect)
        if conflict:
            lines.take_back(lines.record[1:])
            lines.record = lines.record[:1]
            fields = dialect.literal(lines.record[0])
        elif dialect.line_end:
            for character, stand_in in STAND_INS.items():
                fields = [field.replace(stand_in, character) for field in fields]
        if fields:
            yield Record(fields, line, lines.record, conflict)


def _holds_records(lines: list[str], fields: list[str], dialect: Dialect) -> bool:
    """Tell whether each line of a quoted record could be a record itself, by what the columns hold."""
    if not dialect.quoting or len(fields) == 1:
        return False
    return dialect.profile.matches(list(map(dialect.literal, lines)), len(fields))


def fit(fields: list[str], width: int, dialect: Dialect, repairs: Counter[str] | None = None) -> list[str] | None:
    """Return a record with its number of fields, None if it cannot have it; count what was repaired.

    Repaired are separators too many at the end, and a row that is in quotes as a whole. Where backslashes escape, a
    single field may be one with an escaped separator instead.
    """
    if len(fields) == width:
        return fields
    repair, repaired = "", fields
    if len(fields) > width and not any(fields[width:]):
        repair, repaired = "separator at the end of a row", fields[:width]
    elif len(fields) == 1 and not dialect.escapes and not fields[0].endswith(("\n", "\r")):
        repair, repaired = "row in quotes as a whole", _only_record(fields[0], dialect)
    if len(repaired) != width:
        return None
    if repairs is not None:
        repairs[repair] += 1
    return repaired


def first_record(lines: list[str], dialect: Dialect) -> list[str]:
    """Return the fields of the first record; those of the first line, taken literally, if its quotes do not quote."""
    try:
        return next(dialect.reader(lines), [])
    except csv.Error:
        return dialect.literal(lines[0])


def _only_record(text: str, dialect: Dialect) -> list[str]:
    """Return the fields of the one record that a text holds; none if it holds more, or its quotes do not quote."""
    try:
        found = list(dialect.reader(io.StringIO(text, newline="")))
    except csv.Error:
        return []
    return found[0] if len(found) == 1 else []
