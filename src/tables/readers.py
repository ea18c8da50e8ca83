"""Read a table of reviews from any common file format, one row at a time."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from src.core.errors import UserError
from src.core.params import Data
from src.core.schema import TRUE_PROBABILITIES
from src.tables.csv_records import fit, records
from src.tables.dialects import find_dialect, visible
from src.tables.encodings import Encoding, find_encoding
from src.tables.sources import open_bytes, open_text, readable

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}

WRONG_FIELDS = "wrong number of fields"
NO_OBJECT = "not a JSON object"


class Row(NamedTuple):
    """A row with its original cells; `problem` is the reason if it could not be read."""

    number: int
    text: Any = None
    rating: Any = None
    split: Any = None
    true_probabilities: tuple[float, ...] | None = None
    slices: tuple[Any, ...] = ()
    problem: str | None = None


class Table:
    """The rows of a file, how it is read, and what was found while reading.

    repairs: counted by kind. lines: rows of several lines, counted by their number of lines.
    """

    def __init__(self, encoding: Encoding | None = None, separator: str | None = None) -> None:
        self.rows: Iterator[Row] = iter(())
        self.encoding = encoding.name if encoding else None
        self.separator = separator
        self.repairs: Counter[str] = Counter()
        self.lines: Counter[int] = Counter()
        if encoding and encoding.bad_characters:
            self.repairs["invalid character"] = encoding.bad_characters


def read_table(path: Path, data: Data) -> Table:
    """Open a table of reviews; its rows are numbered from 1 and read lazily.

    Raises:
        UserError: unknown format, missing column or unreadable file; also raised while rows are read.
    """
    kind = data.format if data.format != "auto" else kind_of(path, "data.format")
    with readable(path):
        if kind == "parquet":
            table, rows = Table(), _parquet_rows(path, data)
        else:
            encoding = encoding_of(path, data.encoding)
            if kind == "jsonl":
                table, rows = Table(encoding), _jsonl_rows(path, encoding.name, data)
            else:
                required = {data.text_column, data.rating_column}
                file = CsvFile(path, encoding.name, required, data.separator, data.quoting)
                table = Table(encoding, file.dialect.separator)
                rows = _csv_rows(path, file, data, table)
    table.rows = _checked(path, rows)
    return table


def kind_of(path: Path, option: str) -> str:
    """Return csv, jsonl or parquet, from a file's name; `option` is the setting that overrides the name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in (".gz", ".zip"):
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"{path}: unknown kind of file (known extensions: {known}); set {option}")
    return FORMATS[suffixes[-1]]


def encoding_of(path: Path, encoding: str) -> Encoding:
    """Return the encoding of a file; find it if `encoding` is auto."""
    return find_encoding(partial(open_bytes, path), str(path)) if encoding == "auto" else Encoding(encoding)


class CsvFile:
    """A CSV file: how it is written, its column names, and its rows as often as they are needed."""

    def __init__(
        self, path: Path, encoding: str, wanted: set[str], separator: str, quoting: str, option: str = "data.quoting"
    ) -> None:
        """Find the dialect of a file whose header holds the `wanted` columns; `option` is where quoting comes from.

        Raises:
            UserError: the file is empty, or its quotes make no sense.
        """
        self._open = partial(open_text, path, encoding)
        try:
            self.dialect = find_dialect(self._open, wanted, separator, quoting, option)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        with self._open() as file:
            header = next(records(file, self.dialect), None)
        if header is None:
            raise UserError(f"{path}: the file is empty")
        self.names = [visible(name) for name in header.fields]

    def rows(self, repairs: Counter[str], lines: Counter[int] | None = None) -> Iterator[tuple[list[str], bool]]:
        """Yield the fields of each row, and whether it has one for each column.

        Counts the repairs by kind, and in `lines` the rows of several lines by their number of lines.
        """
        width = len(self.names)
        with self._open() as file:
            found = records(file, self.dialect)
            next(found)
            for record in found:
                if record.conflict:
                    repairs["quote taken as text"] += 1
                if lines is not None and len(record.lines) > 1:
                    lines[len(record.lines)] += 1
                fields = fit(record.fields, width, self.dialect, repairs)
                yield (record.fields, False) if fields is None else (fields, True)


def require_column(path: Path, name: str, names: list[str], option: str) -> None:
    """Check that exactly one column has this name; `option` is the setting that the name comes from."""
    if name not in names:
        hint = "".join(f"; did you mean {near}?" for near in get_close_matches(name, names, n=1))
        columns = f"set {option} to one of: {', '.join(names)}{hint}" if names else "the file has no columns"
        raise UserError(f"{path}: no column {name}; {columns}")
    if names.count(name) > 1:
        raise UserError(f"{path}: {names.count(name)} columns are called {name} ({option}); rename all but one")


def _checked(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    with readable(path):
        yield from rows


class _Columns(NamedTuple):
    """Columns to read: text, rating and (if set) split; all true probabilities or none; slices, None if missing."""

    review: list[Any]
    true_probabilities: list[Any]
    slices: list[Any]


def _find_columns(path: Path, names: list[str], data: Data) -> _Columns:
    """Find the configured columns in a file; the true probabilities and the slices are optional."""
    required = {"text_column": data.text_column, "rating_column": data.rating_column}
    if data.split_column is not None:
        required["split_column"] = data.split_column
    for key, name in required.items():
        require_column(path, name, names, f"data.{key}")
    true_probabilities = list(TRUE_PROBABILITIES) if set(TRUE_PROBABILITIES) <= set(names) else []
    return _Columns(
        list(required.values()), true_probabilities, [name if name in names else None for name in data.slice_columns]
    )


def _make_row(number: int, value: Callable[[Any], Any], columns: _Columns) -> Row:
    """Build a row; `value` returns the cell of a column."""
    text, rating, split = (*map(value, columns.review), None)[:3]
    true_probabilities = [value(column) for column in columns.true_probabilities]
    slices = tuple(None if column is None else value(column) for column in columns.slices)
    if all(value in (None, "") for value in true_probabilities):
        return Row(number, text, rating, split, None, slices)
    try:
        probabilities = tuple(float(value) for value in true_probabilities)
    except (TypeError, ValueError):
        probabilities = ()
    if min(probabilities, default=-1) >= 0 and abs(sum(probabilities) - 1) < 0.001:
        return Row(number, text, rating, split, probabilities, slices)
    return Row(number, text, rating, split, problem="true probabilities are invalid or do not sum to 1")


def jsonl_records(path: Path, encoding: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield each non-blank line with its JSON object, None if the line is not an object."""
    with open_text(path, encoding) as file:
        for line in file:
            if line.strip():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    record = None
                yield line, record if isinstance(record, dict) else None


@contextmanager
def parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, also inside a .gz or .zip file."""
    with open_bytes(path) as file:
        # Reading Parquet starts at the end of the file; a compressed stream cannot seek there.
        yield pq.ParquetFile(file if path.suffix.lower() not in (".gz", ".zip") else io.BytesIO(file.read()))


def _csv_rows(path: Path, file: CsvFile, data: Data, table: Table) -> Iterator[Row]:
    index = {name: i for i, name in enumerate(file.names)} | {None: None}
    columns = _Columns(*([index[name] for name in part] for part in _find_columns(path, file.names, data)))
    for number, (fields, complete) in enumerate(file.rows(table.repairs, table.lines), 1):
        if complete:
            yield _make_row(number, fields.__getitem__, columns)
        else:
            yield Row(number, file.dialect.separator.join(fields), problem=WRONG_FIELDS)


def _jsonl_rows(path: Path, encoding: str, data: Data) -> Iterator[Row]:
    required = [data.text_column, data.rating_column, *([data.split_column] if data.split_column else [])]
    columns = _Columns(required, list(TRUE_PROBABILITIES), list(data.slice_columns))
    seen: dict[str, None] = {}
    for number, (line, record) in enumerate(jsonl_records(path, encoding), 1):
        if record is None:
            yield Row(number, line, problem=NO_OBJECT)
        else:
            seen |= dict.fromkeys(record)
            yield _make_row(number, record.get, columns)
    # Single records may lack a column; the whole file may not.
    _find_columns(path, list(seen), data)


def _parquet_rows(path: Path, data: Data) -> Iterator[Row]:
    with parquet_file(path) as table:
        columns = _find_columns(path, table.schema_arrow.names, data)
        required = list(dict.fromkeys(name for part in columns for name in part if name is not None))
        number = 0
        # An Arrow thread that still holds a Python file when the interpreter exits aborts it (apache/arrow#33975).
        for batch in table.iter_batches(columns=required, use_threads=False):
            for cells in zip(*(batch.column(name).to_pylist() for name in required), strict=True):
                number += 1
                yield _make_row(number, dict(zip(required, cells, strict=True)).get, columns)
