"""Find out how a CSV file is written: its separator, its header, and whether its quotes quote."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from functools import partial
from itertools import product
from typing import IO, NamedTuple

from src.core.errors import UserError
from src.formats.bounds import check_columns, first_lines
from src.formats.csv_records import NUMBER, Dialect, Profile, Record, first_record, fit, records

SEPARATORS = (",", ";", "\t", "|")
QUOTES = ('"', "'")
HEADER_LINES = 30
"""Lines among which the header is looked for."""
HEADER_SIZE = 200_000
"""Characters of these lines."""
MOST_CONFLICTS = 0.05
"""Share of the records whose quotes may fail before the file is refused."""
PROFILE_ROWS = 1000
"""Rows from which is learnt what the columns hold."""
PROFILE_SIZE = 10_000_000
"""Characters of these rows."""
FEW_VALUES = 12
"""Different cells of a column up to which it is recognised by them, if each occurs a few times."""
NULL = r"\N"
DATABASE_LETTERS = "NnrtbfvZ0"
"""What databases write after a backslash beside special characters: NULL, line ends, control characters."""
INVISIBLE = re.compile("[\ufeff\u00ad\u200b-\u200f\u2060\\s]+")
SEPARATOR_LINE = re.compile(r"sep=(.)\s*$")

Open = Callable[[], AbstractContextManager[IO[str]]]
"""Opens the text of a file from its beginning, with line ends as they are."""


def visible(name: str) -> str:
    """Return a column name without invisible characters at its ends, and with single spaces."""
    return INVISIBLE.sub(" ", name).strip()


def is_blank_or_separator(line: str) -> bool:
    """Return whether a line above the header has nothing to read."""
    return not line.strip() or SEPARATOR_LINE.match(line) is not None


def find_dialect(open_text: Open, wanted: Collection[str], separator: str, quoting: str, header: bool) -> Dialect:
    """Find how a file with the `wanted` columns is written.

    separator: the character, or auto. quoting: double, none or auto. header: whether the columns have names.

    Raises:
        UserError: in more than MOST_CONFLICTS of the records, quotes neither surround a field nor belong to a text.
    """
    separators = SEPARATORS if separator == "auto" else (separator,)
    with open_text() as file:
        dialect = find_header(file, wanted if header else (), separators)
    if quoting != "auto":
        return dialect._replace(quoting=quoting == "double")
    dialect, found = find_quoting(open_text, dialect, header)
    if found.conflicts > MOST_CONFLICTS * found.records and dialect.quoting:
        raise UserError(
            f"line {found.first_conflict}: a quote is neither doubled nor followed by a separator or a line end; "
            "set {quoting} to none if quotes belong to the text, to double to reject such rows"
        )
    return dialect


def find_header(lines: Iterable[str], wanted: Collection[str], separators: Collection[str] = SEPARATORS) -> Dialect:
    """Find the separator, and the line from which on the header holds the `wanted` columns.

    Where no line holds them, or none are wanted, the separator is the one under which the largest share of the first
    records has the same number of fields.
    """
    lines = iter(lines)
    first = list(first_lines(lines, HEADER_LINES, HEADER_SIZE))
    if first and (told := SEPARATOR_LINE.match(first[0])):
        return Dialect(told[1], skip_lines=1)
    names = {visible(name) for name in wanted}
    for skipped in range(len(first) if names else 0):
        if len(first[skipped]) > HEADER_SIZE:
            continue
        for separator, quote, spaces in product(separators, QUOTES, (False, True)):
            dialect = Dialect(separator, quote, skip_spaces=spaces, skip_lines=skipped)
            found = [name.rstrip("".join(SEPARATORS)) for name in first_record(first[skipped:], dialect)]
            if names <= set(map(visible, found)):
                return _with_ends(dialect, first[skipped])
    first += first_lines(lines, PROFILE_ROWS, PROFILE_SIZE)
    return max((Dialect(separator) for separator in separators), key=lambda dialect: _regularity(first, dialect))


def _with_ends(dialect: Dialect, header: str) -> Dialect:
    """Note from the header whether a space follows each separator, and what a spreadsheet left at the end of lines."""
    separators = header.count(dialect.separator)
    last = header.rstrip("\r\n")[-2:]
    padding = last[1:] if last in {sign * 2 for sign in SEPARATORS if sign != dialect.separator} else ""
    spaces = 0 < separators == header.count(f"{dialect.separator} ")
    return dialect._replace(skip_spaces=spaces, padding=padding)


def _regularity(lines: list[str], dialect: Dialect) -> tuple[float, int]:
    """The largest share of some records with as many fields, and how many; a single field counts nothing."""
    widths = Counter(len(record.fields) for record in records(iter(lines), dialect))
    return max(((count / widths.total(), width) for width, count in widths.items() if width > 1), default=(0.0, 0))


class Assessment(NamedTuple):
    """How well a dialect fits a file.

    records: how many there are. bad_lines: lines of records that have another number of fields than the first record,
    and lines whose quotes do not quote. conflicts: how many of the latter there are; first_conflict: the first one's
    number. needed: records that cannot be read without quoting. wrapped: whether quotes stand around the header or most
    fields of a column. quotes, escapes: whether there are quotes, and backslashes before special characters. database:
    whether there are cells NULL, and no backslash that a database would have escaped. returns: whether the first record
    ends with a line feed, and another with a carriage return alone. feeds: whether the first record ends with both, and
    another with a line feed alone.
    """

    records: int
    bad_lines: int
    conflicts: int
    first_conflict: int | None
    needed: int
    wrapped: bool
    quotes: bool
    escapes: bool
    database: bool
    returns: bool
    feeds: bool
    profile: Profile


def find_quoting(open_text: Open, dialect: Dialect, header: bool = True) -> tuple[Dialect, Assessment]:
    """Find whether quotes quote and backslashes escape: the reading with the fewest bad lines wins.

    The reading of RFC 4180 is tried first, others only where it has bad lines.
    """
    plain = assess(open_text, dialect, header)
    if plain.returns:
        return find_quoting(open_text, dialect._replace(line_end="\n"), header)
    # Quotes around a few fields that need none are part of the text.
    literal = plain.quotes and not plain.bad_lines and not plain.needed and not plain.wrapped
    first = dialect._replace(quoting=False) if literal else dialect._replace(profile=plain.profile)
    others = [first._replace(quoting=False)] if plain.bad_lines and (plain.quotes or plain.escapes) else []
    escaped = [each._replace(escapes=True) for each in (first, *others)] if plain.escapes else []
    # Of readings that fit as well, the first wins.
    escaped_last = escaped if plain.bad_lines else []
    order = [*escaped, first, *others] if plain.database else [first, *others, *escaped_last]
    tried = {each: plain if each == first else assess(open_text, each, header) for each in order}
    best = min(tried, key=lambda each: tried[each].bad_lines)
    if tried[best].returns:
        return find_quoting(open_text, dialect._replace(line_end="\n"), header)
    if tried[best].feeds and tried[best].bad_lines:
        other = find_quoting(open_text, dialect._replace(line_end="\r\n"), header)
        return min((best, tried[best]), other, key=lambda found: found[1].bad_lines)
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
        self.quotes = self.escapes = self.header_wrapped = self.nulls = self.unescaped = False
        self.line_end = ""
        self.returns = self.feeds = False
        self.filled: list[int] = []
        self.numbers: list[int] = []
        self.values: list[set[str]] = []
        self.wrapped: list[int] = []
        self.suspicious: list[list[list[str]]] = []
        self.kept = 0
        special = rf"\r\n\\{re.escape(dialect.quote + dialect.separator)}"
        self.escape = re.compile(rf"\\[{special}]")
        self.escaped = re.compile(rf"\\[{special}{DATABASE_LETTERS}]|[^\\]+")

    def add(self, record: Record, header: bool) -> None:
        """Count one record."""
        fields, lines = record.fields, record.lines
        quoted = len(lines) > 1 or self.dialect.quote in lines[0]
        if quoted or "\\" in lines[0]:
            self.quotes = self.quotes or quoted
            self.escapes = self.escapes or any("\\" in line and self.escape.search(line) for line in lines)
            self.nulls = self.nulls or NULL in fields
            self.unescaped = self.unescaped or any("\\" in self.escaped.sub("", line) for line in lines)
        if not self.dialect.line_end and not lines[-1].endswith(self.line_end):
            self.returns = self.returns or lines[-1].endswith("\r")
            self.feeds = self.feeds or lines[-1].endswith("\n")
        if not self.width:
            check_columns(len(fields))
            self.width = len(fields)
            self.line_end = next((end for end in ("\r\n", "\n") if lines[-1].endswith(end)), "")
            self.filled, self.numbers, self.wrapped = ([0] * self.width for _ in range(3))
            self.values = [set() for _ in fields]
            if header:
                self.header_wrapped = lines[0].lstrip().startswith(self.dialect.quote)
                return
        self.records += 1
        if record.problem:
            return
        if record.conflict:
            self.conflicts += 1
            self.first_conflict = self.first_conflict or record.line
        if record.conflict or (len(fields) != self.width and fit(fields, self.width, self.dialect) is None):
            self.bad_lines += sum(max(line.count("\n"), 1) for line in lines)
        elif len(lines) > 1:
            self._look_inside(lines)
        else:
            if quoted:
                separators = lines[0].count(self.dialect.separator)
                self.needed += not separators == self.width - 1 == len(fields) - 1 or any(
                    map(partial(self._is_doubled, lines[0]), fields)
                )
            if self.learnt < PROFILE_ROWS and len(fields) == self.width:
                self._learn(fields, lines[0])

    def _is_doubled(self, line: str, field: str) -> bool:
        """Tell whether a line writes a field in quotes, with the quotes in it doubled."""
        quote = self.dialect.quote
        return quote in field and f"{quote}{field.replace(quote, quote * 2)}{quote}" in line

    def _learn(self, fields: list[str], line: str) -> None:
        """Learn from a row of one line which columns hold numbers, and which are wrapped in quotes."""
        self.learnt += 1
        parts = line.split(self.dialect.separator)
        for place, field in enumerate(fields):
            self.filled[place] += bool(field)
            self.numbers[place] += NUMBER.match(field) is not None
            if len(self.values[place]) <= FEW_VALUES:
                self.values[place].add(field)
            self.wrapped[place] += len(parts) == self.width and parts[place].lstrip(" ").startswith(self.dialect.quote)

    def _look_inside(self, lines: list[str]) -> None:
        """Keep a record of several lines for later if each of its lines might be a record itself."""
        parts = [self.dialect.literal(line) for line in lines]
        room = len(self.suspicious) < PROFILE_ROWS and self.kept < PROFILE_SIZE
        if all(len(fields) == self.width for fields in parts) and room:
            self.suspicious.append(parts)
            self.kept += sum(map(len, lines))
        else:
            self.needed += 1

    def assessment(self) -> Assessment:
        """Sum the evidence up."""
        profile = self._profile()
        bad, needed = self.bad_lines, self.needed
        for parts in self.suspicious:
            if profile.matches(parts, self.width):
                bad += len(parts)
            else:
                needed += 1
        wrapped = self.header_wrapped or max(self.wrapped, default=0) > 0.5 * self.learnt
        database = self.nulls and not self.unescaped
        found = self.records, bad, self.conflicts, self.first_conflict, needed
        return Assessment(*found, wrapped, self.quotes, self.escapes, database, self.returns, self.feeds, profile)

    def _profile(self) -> Profile:
        """Learn from the rows of one line what the columns hold."""
        counts = zip(self.numbers, self.filled, strict=True)
        numbers = tuple(place for place, (number, filled) in enumerate(counts) if number > 0.95 * max(filled, 1))
        few = min(FEW_VALUES, self.learnt // 4)
        values = [(place, frozenset(found)) for place, found in enumerate(self.values) if 0 < len(found) <= few]
        return Profile(numbers, () if numbers else tuple(values))
