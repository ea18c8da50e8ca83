"""Open a file of any format as records: their column names, their cells, and what had to be repaired."""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from src.core.errors import UserError, excerpt
from src.formats.bounds import MAX_TEXT, MAX_UNPACKED_MB, UnpackLimit, check_columns
from src.formats.csv_records import fit, records
from src.formats.detection import Encoding, find_encoding
from src.formats.dialects import find_dialect, is_blank_or_separator, visible
from src.formats.file_kinds import UNREAD_SUFFIXES, describe_binary
from src.formats.sources import open_bytes, open_text, table_name

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".xlsb": "excel",
    ".xls": "excel",
    ".ods": "excel",
}
WRONG_FIELDS = "wrong number of fields"
BLOCK = 1 << 20
ABOVE = "line above the header"
LONGEST_NAME = 60
"""Characters above which the name of a column looks like a review."""


class FileFormat(NamedTuple):
    """How a file is written, as params.yaml (section data) or the command line say it; `prefix` is where.

    kind: csv, json, jsonl (the same), parquet, excel or auto. separator: the character or auto. quoting: double, none
    or auto. header: whether the columns have names; if not, they are called 1, 2, ... max_text: characters above which
    a text is refused. max_unpacked_mb: megabytes that a compressed file may unpack to.
    """

    kind: str = "auto"
    encoding: str = "auto"
    separator: str = "auto"
    quoting: str = "auto"
    header: bool = True
    max_text: int = MAX_TEXT
    max_unpacked_mb: int = MAX_UNPACKED_MB
    prefix: str = "data."
    unpacked_option: str = "max_unpacked_mb"

    @property
    def unpack_limit(self) -> UnpackLimit:
        """The limit of what a compressed file unpacks to."""
        return UnpackLimit(self.max_unpacked_mb, f"{self.prefix}{self.unpacked_option}")

    def text_problem(self, text: object) -> str | None:
        """Return why a text is refused, None if it is not too long."""
        long = isinstance(text, str | bytes) and len(text) > self.max_text
        return f"text is longer than {self.max_text} characters" if long else None


class Findings:
    """What was found while a file was read.

    repairs: counted by kind. multiline: the number of rows of several lines. longest: the most lines of a row, and its
    number.
    """

    def __init__(self) -> None:
        self.repairs: Counter[str] = Counter()
        self.multiline = 0
        self.longest = (0, 0)

    def add_above(self, lines: int) -> None:
        """Count lines above the header, which are not read as rows."""
        if lines:
            self.repairs[ABOVE] += lines

    def add_lines(self, lines: int, row: int) -> None:
        """Count a row of several lines."""
        self.multiline += 1
        self.longest = max(self.longest, (lines, row), key=lambda found: found[0])


def kind_of(path: Path, file_format: FileFormat) -> str:
    """Return the kind of a file: as set, or from the name of a file or of its archive's only member."""
    if file_format.kind != "auto":
        return file_format.kind
    suffix = Path(table_name(path, FORMATS, file_format.unpack_limit)).suffix.lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    if suffix in UNREAD_SUFFIXES:
        raise UserError(f"cannot be read: it is {UNREAD_SUFFIXES[suffix]}")
    raise UserError(f"unknown kind of file (known extensions: {', '.join(FORMATS)}); set {file_format.prefix}format")


def encoding_of(path: Path, file_format: FileFormat) -> Encoding:
    """Return the encoding of a text file; find it unless it is set.

    Raises:
        UserError: the file is not text.
    """
    limit = file_format.unpack_limit
    with open_bytes(path, limit) as file:
        if kind := describe_binary(file.read(4096)):
            raise UserError(f"cannot be read: it is {kind}")
    found = Encoding(file_format.encoding)
    if file_format.encoding == "auto":
        found = find_encoding(partial(open_bytes, path, limit), f"{file_format.prefix}encoding")
    if found.bad_characters is None:
        with open_text(path, found.name, limit) as file:
            bad_characters = sum(block.count("\ufffd") for block in iter(partial(file.read, BLOCK), ""))
        found = found._replace(bad_characters=bad_characters)
    return found


class CsvFile:
    """A CSV file: how it is written, its column names, and its rows as often as they are needed."""

    def __init__(self, path: Path, encoding: str, wanted: Sequence[str], file_format: FileFormat) -> None:
        """Find the dialect of a file whose header holds the `wanted` columns.

        Raises:
            UserError: the file is empty, or its quotes make no sense.
        """
        self._open = partial(open_text, path, encoding, file_format.unpack_limit)
        self._header = file_format.header
        how = file_format.separator, file_format.quoting, file_format.header
        try:
            self.dialect = find_dialect(self._open, wanted, *how)
        except UserError as error:
            raise UserError(str(error).format(quoting=f"{file_format.prefix}quoting")) from None
        with self._open() as file:
            first = next(records(file, self.dialect), None)
        if first is None:
            raise UserError("the file is empty")
        check_columns(len(first.fields))
        self.names = list(map(visible, first.fields)) if self._header else numbers(len(first.fields))
        self.separator = self.dialect.separator

    def rows(self, findings: Findings) -> Iterator[tuple[list[str], str | None]]:
        """Yield the fields of each row, and why they are not one for each column, None if they are."""
        width = len(self.names)
        with self._open() as file:
            above = islice(file, self.dialect.skip_lines)
            findings.add_above(sum(not is_blank_or_separator(line) for line in above))
        with self._open() as file:
            found = records(file, self.dialect)
            if self._header:
                next(found)
            for number, record in enumerate(found, 1):
                if record.conflict:
                    findings.repairs["quote taken as text"] += 1
                if len(record.lines) > 1:
                    findings.add_lines(len(record.lines), number)
                fields = record.fields
                if record.problem:
                    yield fields, record.problem
                elif len(fields) == width:
                    yield fields, None
                elif (repaired := fit(fields, width, self.dialect, findings.repairs)) is not None:
                    yield repaired, None
                else:
                    yield fields, f"{WRONG_FIELDS}: {len(fields)} where the header has {width}"


def numbers(width: int) -> list[str]:
    """Return the names of columns that have none."""
    return [str(number) for number in range(1, width + 1)]


def require_column(name: str, names: Sequence[str], option: str, header: bool = True) -> None:
    """Check that exactly one column has this name; `option` is the setting that the name comes from."""
    if name not in names:
        near = get_close_matches(name, names, n=1)
        columns = f"set {option} to one of: {_list(names)}" if names else "the file has no columns"
        hint = f"; did you mean {near[0]}?" if near else _header_hint(names, option) if header else ""
        raise UserError(f"no column {name}; {columns}{hint}")
    if names.count(name) > 1:
        raise UserError(f"{names.count(name)} columns are called {name} ({option}); rename all but one")


def _list(names: Sequence[str]) -> str:
    shown = [excerpt(name, LONGEST_NAME) for name in names[:50]]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")


def _header_hint(names: Sequence[str], option: str) -> str:
    if not any(name.isdecimal() or len(name) > LONGEST_NAME for name in names):
        return ""
    way = "--no-header" if option.startswith("--") else "data.header to false"
    return f"; if the first line is no header, set {way} and {option} to a number, 1 to {len(names)}"
