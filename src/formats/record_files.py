"""Open a file of any format as records: their column names, their cells, and what had to be repaired."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from difflib import get_close_matches
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from src.core.errors import UserError, excerpt
from src.formats.archives import COMPRESSED
from src.formats.csv_records import fit, records
from src.formats.detection import Encoding, find_encoding
from src.formats.dialects import HEADER_LINES, find_dialect, is_blank_or_separator, visible
from src.formats.file_kinds import UNREAD_SUFFIXES, describe_binary
from src.formats.sources import open_bytes, open_text, table_name

if TYPE_CHECKING:  # the service does without it
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    or auto. header: whether the columns have names; if not, they are called 1, 2, ...
    """

    kind: str = "auto"
    encoding: str = "auto"
    separator: str = "auto"
    quoting: str = "auto"
    header: bool = True
    prefix: str = "data."


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
    suffix = Path(table_name(path, FORMATS)).suffix.lower()
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
    with open_bytes(path) as file:
        if kind := describe_binary(file.read(4096)):
            raise UserError(f"cannot be read: it is {kind}")
    found = Encoding(file_format.encoding)
    if file_format.encoding == "auto":
        found = find_encoding(partial(open_bytes, path), f"{file_format.prefix}encoding")
    if found.bad_characters is None:
        with open_text(path, found.name) as file:
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
        self._open = partial(open_text, path, encoding)
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
                if len(fields) == width:
                    yield fields, None
                elif (repaired := fit(fields, width, self.dialect, findings.repairs)) is not None:
                    yield repaired, None
                else:
                    yield fields, f"{WRONG_FIELDS}: {len(fields)} where the header has {width}"


class Workbook:
    """The sheets of a spreadsheet with the same columns: their names and rows. Memory holds all sheets."""

    separator = ","

    def __init__(self, path: Path, wanted: Sequence[str], file_format: FileFormat) -> None:
        """Read the sheets whose header, below title lines or not, holds the `wanted` columns.

        Raises:
            UserError: the package that reads spreadsheets is missing, there is no row, or such sheets have different
                columns.
        """
        try:
            from python_calamine import CalamineWorkbook
        except ImportError:
            problem = "a spreadsheet needs a package: pip install -r requirements-excel.txt, or save it as CSV"
            raise UserError(problem) from None
        with open_bytes(path) as file:
            workbook = CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
        sheets = [workbook.get_sheet_by_name(name).to_python(skip_empty_area=True) for name in workbook.sheet_names]
        sheets = [sheet for sheet in sheets if sheet]
        if not sheets:
            raise UserError("the file is empty")
        if file_format.header:
            found = [(names, sheet, start) for sheet in sheets for names, start in _headers(sheet, wanted)]
            # Nothing is wanted where a file is only shown.
            self._parts = (found if wanted else found[:1]) or [(_names(sheets[0][0]), sheets[0], 1)]
        else:
            self._parts = [(numbers(len(sheet[0])), sheet, 0) for sheet in sheets]
        self.names = self._parts[0][0]
        if any(names != self.names for names, *_ in self._parts):
            raise UserError("its sheets have different columns; save the sheet with the reviews as a file of its own")

    def rows(self, findings: Findings) -> Iterator[tuple[list[Any], str | None]]:
        """Yield the cells of each row that is not empty, sheet by sheet; None as CsvFile.rows does."""
        for _, sheet, start in self._parts:
            findings.add_above(sum(map(_is_filled, sheet[: start - 1])) if start else 0)
            for row in filter(_is_filled, sheet[start:]):
                yield list(map(_cell, row)), None


def _headers(sheet: list[list[Any]], wanted: Sequence[str]) -> Iterator[tuple[list[str], int]]:
    """Yield the names in the header of a sheet with the wanted columns, and the number of the row after it."""
    for place, row in enumerate(sheet[:HEADER_LINES]):
        if set(wanted) <= set(names := _names(row)):
            yield names, place + 1
            return


def _names(row: list[Any]) -> list[str]:
    return [visible(str(_cell(name))) for name in row]


def _is_filled(row: list[Any]) -> bool:
    return any(cell != "" for cell in row)


def _cell(value: Any) -> Any:
    """Return the cell of a spreadsheet as it is shown: 5, not 5.0; times as ISO text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.isoformat(*([" "] if isinstance(value, datetime) else [])) if isinstance(value, date) else value


def numbers(width: int) -> list[str]:
    """Return the names of columns that have none."""
    return [str(number) for number in range(1, width + 1)]


@contextmanager
def parquet_file(path: Path) -> "Iterator[pq.ParquetFile]":
    """Open a Parquet file, also inside a compressed one."""
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError("Parquet needs a package: pip install -r requirements-predict.txt") from None
    with open_bytes(path) as file:
        # Reading Parquet starts at the end of the file; a compressed stream cannot seek there.
        plain = path.suffix.lower() not in COMPRESSED
        yield pq.ParquetFile(file if plain else io.BytesIO(file.read()))


def column_names(schema: "pa.Schema") -> list[str]:
    """List the columns of a Parquet file, and the fields of its nested columns by names with dots."""
    names = []
    for field in schema:
        names.append(field.name)
        if hasattr(field.type, "fields"):
            names += [f"{field.name}.{name}" for name in column_names(field.type.fields)]
    return names


def root_column(name: str, names: Sequence[str]) -> str:
    """Return the column of a Parquet file that holds a field with dots in its name."""
    return name if name in names else next(root for root in names if name.startswith(f"{root}."))


def cells_of(column: "pa.Array") -> list[Any]:
    """Return the cells of a Parquet column; times as ISO text, since Python knows only the years 1 to 9999."""
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        # Of a time that no calendar has, Arrow writes "<value out of range: ...>".
        texts = column.cast(pa.string()).to_pylist()
        return [None if text is None or text.startswith("<") else text for text in texts]
    return column.to_pylist()


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
