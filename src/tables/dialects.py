"""CSV in all its dialects: find out how a file is written, and read its records without losing a line.

Quotes quote where a closing quote is followed by a separator or a line end. A line on which that fails is taken
literally, so that a stray quote never swallows the lines after it.
Source: RFC 4180, https://www.rfc-editor.org/rfc/rfc4180, section 2.
"""

import csv
import re
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice, product
from typing import IO, Any, NamedTuple

csv.field_size_limit(2**31 - 1)

SEPARATORS = (",", ";", "\t", "|")
QUOTES = ('"', "'")
HEADER_LINES = 30
"""Lines among which the header is looked for."""
MAX_LINES = 1000
"""Lines of a record after which its quote counts as never closed."""
PROFILE_ROWS = 1000
"""Rows from which is learnt what the columns hold."""
INVISIBLE = re.compile("[\ufeff\u00ad\u200b-\u200f\u2060\\s]+")
NUMBER = re.compile(r"\s*[-+]?[\d★☆]")
PADDING = re.compile(r"([,;|\t])\1+$")
SEPARATOR_LINE = re.compile(r"sep=(.)\s*$")

Open = Callable[[], AbstractContextManager[IO[str]]]
"""Opens the text of a file from its beginning, with line ends as they are."""


class Dialect(NamedTuple):
    """How a file separates its records into fields.

    quoting: whether `quote` around a field belongs to the format and not to the text. escapes: whether a backslash
    takes a quote, separator, line end or backslash after it literally. skip_spaces: whether spaces after a separator
    belong to the format. skip_lines: lines above the header, or above the first row if there is no header. padding: a
    character that a spreadsheet left in runs at the end of lines. numbers: places of columns that hold numbers.
    """

    separator: str
    quote: str = '"'
    quoting: bool = True
    escapes: bool = False
    skip_spaces: bool = False
    skip_lines: int = 0
    padding: str = ""
    numbers: tuple[int, ...] = ()

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a csv.reader that raises csv.Error where a quoted field does not end as it must."""
        if self.padding:
            ending = re.compile(rf"{re.escape(self.padding)}+(?=[\r\n]*$)")
            lines = map(lambda line: ending.sub("", line), lines)  # noqa: C417, a generator would end with an error
        if self.escapes:  # csv.reader would drop the backslashes that escape nothing
            special = re.compile(rf"\\([{re.escape(self.quote + self.separator)}\r\n\\])|\\")
            lines = map(lambda line: special.sub(lambda found: found[0] if found[1] else r"\\", line), lines)  # noqa: C417
        return csv.reader(
            lines,
            delimiter=self.separator,
            quotechar=self.quote,
            quoting=csv.QUOTE_MINIMAL if self.quoting else csv.QUOTE_NONE,
            escapechar="\\" if self.escapes else None,
            doublequote=not self.escapes,
            skipinitialspace=self.skip_spaces,
            strict=True,
        )

    def literal(self, line: str) -> list[str]:
        """Return the fields of a line whose quotes belong to the text."""
        line = line.rstrip("\r\n")
        return (line.rstrip(self.padding) if self.padding else line).split(self.separator)


class Record(NamedTuple):
    """The fields of a record, the number of its first line, its lines, and whether its quotes were taken as text."""

    fields: list[str]
    line: int
    lines: list[str]
    conflict: bool


class OpenQuote(csv.Error):
    """A quote is not closed within MAX_LINES lines."""


class _Lines:
    """Feeds lines to a csv.reader, remembers those of the current record, and takes lines back."""

    def __init__(self, lines: Iterator[str], number: int) -> None:
        self._lines = lines
        self._returned: deque[str] = deque()
        self.record: list[str] = []
        self.number = number

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.number += 1
        self.record.append(line)
        if len(self.record) > MAX_LINES:
            raise OpenQuote
        return line

    def take_back(self, lines: list[str]) -> None:
        """Feed some lines again."""
        self._returned.extendleft(reversed(lines))
        self.number -= len(lines)


def records(file: IO[str], dialect: Dialect) -> Iterator[Record]:
    """Read the records of a file, the header included; blank lines are left out."""
    lines = _Lines(islice(file, dialect.skip_lines, None), dialect.skip_lines)
    reader = dialect.reader(lines)
    while True:
        lines.record = []
        line = lines.number + 1
        conflict = False
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            conflict = True
        if not conflict and len(lines.record) > 1:
            conflict = _holds_records(lines.record, fields, dialect)
        if conflict:
            lines.take_back(lines.record[1:])
            lines.record = lines.record[:1]
            fields = dialect.literal(lines.record[0])
        if fields:
            yield Record(fields, line, lines.record, conflict)


def _holds_records(lines: list[str], fields: list[str], dialect: Dialect) -> bool:
    """Tell whether each line of a quoted record could be a record itself, with numbers where the columns hold them."""
    if not dialect.numbers or not dialect.quoting or len(fields) == 1:
        return False
    parts = [dialect.literal(line) for line in lines]
    return all(
        len(part) == len(fields) and all(NUMBER.match(part[place]) for place in dialect.numbers) for part in parts
    )


def fit(fields: list[str], width: int, dialect: Dialect, repairs: Counter[str] | None = None) -> list[str] | None:
    """Return a record with its number of fields, None if it cannot have it; count what was repaired.

    Repaired are separators too many at the end, and a row that is in quotes as a whole.
    """
    if len(fields) == width:
        return fields
    repair, repaired = "", fields
    if len(fields) > width and not any(fields[width:]):
        repair, repaired = "separator at the end of a row", fields[:width]
    elif len(fields) == 1 and not fields[0].endswith(("\n", "\r")):
        repair, repaired = "row in quotes as a whole", _only_record(fields[0], dialect)
    if len(repaired) != width:
        return None
    if repairs is not None:
        repairs[repair] += 1
    return repaired


def visible(name: str) -> str:
    """Return a column name without invisible characters at its ends, and with single spaces."""
    return INVISIBLE.sub(" ", name).strip()


def find_dialect(open_text: Open, wanted: Collection[str], separator: str | None, quoting: bool | None) -> Dialect:
    """Find how a file is written; `wanted` are the columns that its header holds, none if it has no header.

    separator, quoting: what is known already.
    """
    with open_text() as file:
        dialect = find_header(file, wanted, [separator] if separator else SEPARATORS)
    if quoting is not None:
        return dialect._replace(quoting=quoting)
    return find_quoting(open_text, dialect, bool(wanted))[0]


def find_header(lines: Iterable[str], wanted: Collection[str], separators: Collection[str] = SEPARATORS) -> Dialect:
    """Find the separator, and the line from which on the header holds the `wanted` columns.

    Where no line holds them, or none are wanted, the separator is the one under which most of the first lines have the
    same number of fields.
    """
    first = list(islice(lines, HEADER_LINES))
    if first and (told := SEPARATOR_LINE.match(first[0])):
        return Dialect(told[1], skip_lines=1)
    names = {visible(name) for name in wanted}
    for skipped in range(len(first) if names else 0):
        for separator, quote, spaces in product(separators, QUOTES, (False, True)):
            dialect = Dialect(separator, quote, skip_spaces=spaces, skip_lines=skipped)
            found = [name.rstrip("".join(SEPARATORS)) for name in first_record(first[skipped:], dialect)]
            if names <= set(map(visible, found)):
                return _with_ends(dialect, first[skipped])
    return max((Dialect(separator) for separator in separators), key=lambda dialect: _regularity(first, dialect))


def first_record(lines: list[str], dialect: Dialect) -> list[str]:
    """Return the fields of the first record; those of the first line, taken literally, if its quotes do not quote."""
    try:
        return next(dialect.reader(lines), [])
    except csv.Error:
        return dialect.literal(lines[0])


def _only_record(text: str, dialect: Dialect) -> list[str]:
    """Return the fields of the one record that a text holds; none if it holds more, or its quotes do not quote."""
    try:
        found = list(dialect.reader(text.splitlines(keepends=True)))
    except csv.Error:
        return []
    return found[0] if len(found) == 1 else []


def _with_ends(dialect: Dialect, header: str) -> Dialect:
    """Note from the header whether a space follows each separator, and what a spreadsheet left at the end of lines."""
    separators = header.count(dialect.separator)
    padded = PADDING.search(header.rstrip("\r\n"))
    padding = padded[1] if padded and padded[1] != dialect.separator else ""
    spaces = 0 < separators == header.count(f"{dialect.separator} ")
    return dialect._replace(skip_spaces=spaces, padding=padding)


def _regularity(lines: list[str], dialect: Dialect) -> tuple[int, int]:
    """How many of some lines have the same number of fields, and that number; a single field counts nothing."""
    widths = Counter(len(first_record([line], dialect)) for line in lines)
    return max(((count, width) for width, count in widths.items() if width > 1), default=(0, 0))


class Assessment(NamedTuple):
    """How well a dialect fits a file.

    records: how many there are. bad_lines: lines of records that have another number of fields than the first record,
    and lines whose quotes do not quote. conflicts: how many of the latter there are; first_conflict: the first one's
    number. needed: records that cannot be read without quoting. wrapped: whether quotes stand around the header or most
    fields of a column. quotes, escapes: whether there are quotes, and backslashes before special characters.
    """

    records: int
    bad_lines: int
    conflicts: int
    first_conflict: int | None
    needed: int
    wrapped: bool
    quotes: bool
    escapes: bool
    numbers: tuple[int, ...]


def find_quoting(open_text: Open, dialect: Dialect, header: bool = True) -> tuple[Dialect, Assessment]:
    """Find whether quotes quote and backslashes escape: the reading with the fewest bad lines wins.

    The reading of RFC 4180 is tried first, others only where it has bad lines.
    """
    plain = assess(open_text, dialect, header)
    if plain.quotes and not plain.bad_lines and not plain.needed and not plain.wrapped:
        # Quotes around a few fields that need none are part of the text.
        return dialect._replace(quoting=False), plain
    tried = {dialect._replace(numbers=plain.numbers): plain}
    if plain.bad_lines and (plain.quotes or plain.escapes):
        others = [dialect._replace(quoting=False)]
        if plain.escapes:
            others += [dialect._replace(escapes=True), dialect._replace(quoting=False, escapes=True)]
        tried |= {other: assess(open_text, other, header) for other in others}
    best = min(tried, key=lambda each: tried[each].bad_lines)
    return best, tried[best]


def assess(open_text: Open, dialect: Dialect, header: bool = True) -> Assessment:
    """Read a whole file in a dialect and count what does not fit; memory does not grow with the file."""
    evidence = _Evidence(dialect)
    with open_text() as file:
        for record in records(file, dialect):
            evidence.add(record, header)
            header = False
    return evidence.assessment()


class _Evidence:
    """Counts what speaks for and against a dialect, record by record."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.width = self.records = self.bad_lines = self.conflicts = self.needed = self.learnt = 0
        self.first_conflict: int | None = None
        self.quotes = self.escapes = self.header_wrapped = False
        self.filled: list[int] = []
        self.numbers: list[int] = []
        self.wrapped: list[int] = []
        self.suspicious: list[list[list[str]]] = []
        quote = re.escape(dialect.quote)
        self.doubled = re.compile(f"[^{quote}]{quote}{quote}[^{quote}]")
        self.escape = re.compile(rf"\\[\r\n\\{re.escape(dialect.quote + dialect.separator)}]")

    def add(self, record: Record, header: bool) -> None:
        """Count one record."""
        fields, lines = record.fields, record.lines
        quoted = len(lines) > 1 or self.dialect.quote in lines[0]
        if quoted or "\\" in lines[0]:
            self.quotes = self.quotes or quoted
            self.escapes = self.escapes or any("\\" in line and self.escape.search(line) for line in lines)
        if not self.width:
            self.width = len(fields)
            self.filled, self.numbers, self.wrapped = ([0] * self.width for _ in range(3))
            if header:
                self.header_wrapped = lines[0].lstrip().startswith(self.dialect.quote)
                return
        self.records += 1
        if record.conflict:
            self.conflicts += 1
            self.first_conflict = self.first_conflict or record.line
        if record.conflict or (len(fields) != self.width and fit(fields, self.width, self.dialect) is None):
            self.bad_lines += len(lines)
        elif len(lines) > 1:
            self._look_inside(lines)
        else:
            if quoted:
                separators = lines[0].count(self.dialect.separator)
                self.needed += separators != self.width - 1 or self.doubled.search(lines[0]) is not None
            if self.learnt < PROFILE_ROWS and len(fields) == self.width:
                self._learn(fields, lines[0])

    def _learn(self, fields: list[str], line: str) -> None:
        """Learn from a row of one line which columns hold numbers, and which are wrapped in quotes."""
        self.learnt += 1
        parts = line.split(self.dialect.separator)
        for place, field in enumerate(fields):
            self.filled[place] += bool(field)
            self.numbers[place] += NUMBER.match(field) is not None
            self.wrapped[place] += len(parts) == self.width and parts[place].lstrip(" ").startswith(self.dialect.quote)

    def _look_inside(self, lines: list[str]) -> None:
        """Keep a record of several lines for later if each of its lines might be a record itself."""
        parts = [self.dialect.literal(line) for line in lines]
        if all(len(fields) == self.width for fields in parts) and len(self.suspicious) < PROFILE_ROWS:
            self.suspicious.append(parts)
        else:
            self.needed += 1

    def assessment(self) -> Assessment:
        """Sum the evidence up."""
        counts = zip(self.numbers, self.filled, strict=True)
        numbers = tuple(place for place, (number, filled) in enumerate(counts) if number > 0.95 * max(filled, 1))
        bad, needed = self.bad_lines, self.needed
        for parts in self.suspicious:
            if numbers and all(NUMBER.match(fields[place]) for fields in parts for place in numbers):
                bad += len(parts)
            else:
                needed += 1
        wrapped = self.header_wrapped or max(self.wrapped, default=0) > 0.5 * self.learnt
        found = self.records, bad, self.conflicts, self.first_conflict, needed
        return Assessment(*found, wrapped, self.quotes, self.escapes, numbers)
