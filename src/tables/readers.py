"""Read a table of reviews from any common file format, one row at a time."""

import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from src.core.errors import UserError
from src.core.params import Data
from src.core.schema import TRUE_PROBABILITIES
from src.tables.sources import find_encoding, open_bytes, open_text, readable

SEPARATORS = (",", ";", "\t", "|")
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
END_OF_FILE = "\0 end of the file \0"
"""A last line that no table contains: if it is read as part of a field, a quote was never closed."""

csv.field_size_limit(2**31 - 1)


class Row(NamedTuple):
    """A row with its original cells; `problem` is the reason if it could not be read."""

    number: int
    text: Any = None
    rating: Any = None
    split: Any = None
    true_probabilities: tuple[float, ...] | None = None
    slices: tuple[Any, ...] = ()
    problem: str | None = None


class Table(NamedTuple):
    """The rows of a file, how it is read, and the number of repairs so far, by kind."""

    rows: Iterator[Row]
    repairs: Counter[str]
    encoding: str | None = None
    separator: str | None = None


def read_table(path: Path, data: Data) -> Table:
    """Open a table of reviews; its rows are numbered from 1 and read lazily.

    Raises:
        UserError: unknown format, missing column or unreadable file; also raised while rows are read.
    """
    kind = data.format if data.format != "auto" else kind_of(path, "data.format")
    repairs: Counter[str] = Counter()
    if kind == "parquet":
        return Table(_checked(path, _parquet_rows(path, data)), repairs)
    with readable(path):
        encoding = data.encoding if data.encoding != "auto" else find_encoding(path)
        if kind == "jsonl":
            return Table(_checked(path, _jsonl_rows(path, encoding, data)), repairs, encoding)
        required = {data.text_column, data.rating_column}
        separator = data.separator if data.separator != "auto" else find_separator(path, encoding, required)
    return Table(_checked(path, _csv_rows(path, encoding, separator, data, repairs)), repairs, encoding, separator)


def kind_of(path: Path, option: str) -> str:
    """Return csv, jsonl or parquet, from a file's name; `option` is the setting that overrides the name."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in (".gz", ".zip"):
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"{path}: unknown kind of file (known extensions: {known}); set {option}")
    return FORMATS[suffixes[-1]]


def find_separator(path: Path, encoding: str, required: set[str]) -> str:
    """Return the separator that finds all required columns in the header; else the one that finds most columns."""
    headers = {}
    for separator in SEPARATORS:
        with open_text(path, encoding) as file:
            headers[separator] = next(csv.reader(file, delimiter=separator), [])
        if required <= set(headers[separator]):
            return separator
    return max(SEPARATORS, key=lambda separator: len(headers[separator]))


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


def csv_records(path: Path, encoding: str, separator: str, repairs: Counter[str]) -> Iterator[list[str]]:
    """Yield the fields of the header, then of each row; a row that is quoted as a whole is split into its fields.

    Raises:
        UserError: the file is empty, or a quote is never closed.
    """
    with open_text(path, encoding) as file:
        reader = csv.reader(itertools.chain(file, [END_OF_FILE]), delimiter=separator)
        header = next(reader)
        if header == [END_OF_FILE]:
            raise UserError(f"{path}: the file is empty")
        yield header
        line = reader.line_num + 1
        for fields in reader:
            if fields and fields[-1].endswith(END_OF_FILE) and len(fields[-1]) > len(END_OF_FILE):
                raise UserError(f"{path}: line {line}: a quote is opened and never closed; close or remove it")
            line = reader.line_num + 1
            if not fields or fields == [END_OF_FILE]:
                continue
            if len(fields) == 1 < len(header):
                fields = next(csv.reader(fields, delimiter=separator))
                repairs["row in quotes as a whole"] += len(fields) == len(header)
            yield fields


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


def _csv_rows(path: Path, encoding: str, separator: str, data: Data, repairs: Counter[str]) -> Iterator[Row]:
    records = csv_records(path, encoding, separator, repairs)
    header = next(records)
    index = {name: i for i, name in enumerate(header)} | {None: None}
    columns = _Columns(*([index[name] for name in part] for part in _find_columns(path, header, data)))
    for number, fields in enumerate(records, 1):
        if len(fields) == len(header):
            yield _make_row(number, fields.__getitem__, columns)
        else:
            yield Row(number, separator.join(fields), problem=WRONG_FIELDS)


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
