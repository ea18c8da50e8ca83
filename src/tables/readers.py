"""Read a table of reviews from any common file, one row at a time."""

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
END = "\0 end of the file \0"
"""A last line that no table holds: inside a field, it shows that a quote was left open."""

csv.field_size_limit(2**31 - 1)


class Row(NamedTuple):
    """A row as it stands in the file; `problem` says why it could not be read, if it could not."""

    number: int
    text: Any = None
    rating: Any = None
    split: Any = None
    true_probabilities: tuple[float, ...] | None = None
    slices: tuple[Any, ...] = ()
    problem: str | None = None


class Table(NamedTuple):
    """The rows of a file, how it was read, and the oddities put right so far, counted."""

    rows: Iterator[Row]
    repairs: Counter[str]
    encoding: str | None = None
    separator: str | None = None


def read_table(path: Path, data: Data) -> Table:
    """Open a table of reviews; rows are numbered from 1 and read as they are asked for.

    Raises:
        UserError: an unknown format, a missing column, an unreadable file.
    """
    kind = data.format if data.format != "auto" else kind_of(path, "data.format")
    repairs: Counter[str] = Counter()
    if kind == "parquet":
        return Table(_guarded(path, _parquet_rows(path, data)), repairs)
    with readable(path):
        encoding = data.encoding if data.encoding != "auto" else find_encoding(path)
        if kind == "jsonl":
            return Table(_guarded(path, _jsonl_rows(path, encoding, data)), repairs, encoding)
        wanted = {data.text_column, data.rating_column}
        separator = data.separator if data.separator != "auto" else find_separator(path, encoding, wanted)
    return Table(_guarded(path, _csv_rows(path, encoding, separator, data, repairs)), repairs, encoding, separator)


def kind_of(path: Path, option: str) -> str:
    """Tell by a file's name whether it is csv, jsonl or parquet; `option` is what the user can set instead."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in (".gz", ".zip"):
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"{path}: unknown kind of file (known: {known}); set {option}")
    return FORMATS[suffixes[-1]]


def find_separator(path: Path, encoding: str, wanted: set[str]) -> str:
    """The separator under which the header holds the columns wanted."""
    headers = {}
    for separator in SEPARATORS:
        with open_text(path, encoding) as file:
            headers[separator] = next(csv.reader(file, delimiter=separator), [])
        if wanted <= set(headers[separator]):
            return separator
    return max(SEPARATORS, key=lambda separator: len(headers[separator]))


def require(path: Path, name: str, names: list[str], option: str) -> None:
    """Refuse a file that has no column of this name, or several; `option` is where the name comes from."""
    if name not in names:
        near = get_close_matches(name, names, n=1, cutoff=0)
        hint = f"; nearest to it: {near[0]}" if near else ""
        raise UserError(f"{path}: no column {name} ({option}); there are: {', '.join(names)}{hint}")
    if names.count(name) > 1:
        raise UserError(f"{path}: {names.count(name)} columns are called {name} ({option}); rename all but one")


def _guarded(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    with readable(path):
        yield from rows


class _Columns(NamedTuple):
    """Columns of text, rating and (where asked for) split; of true probabilities; of slices, None for one not there."""

    cells: list[Any]
    true_probabilities: list[Any]
    slices: list[Any]


def _columns(path: Path, names: list[str], data: Data) -> _Columns:
    """Find the columns asked for among those that a file has; true probabilities and slices may be missing."""
    wanted = {"text_column": data.text_column, "rating_column": data.rating_column}
    if data.split_column is not None:
        wanted["split_column"] = data.split_column
    for key, name in wanted.items():
        require(path, name, names, f"data.{key}")
    true_probabilities = list(TRUE_PROBABILITIES) if set(TRUE_PROBABILITIES) <= set(names) else []
    return _Columns(
        list(wanted.values()), true_probabilities, [name if name in names else None for name in data.slice_columns]
    )


def _row(number: int, value: Callable[[Any], Any], columns: _Columns) -> Row:
    """A row from the function that gives the value of each of its columns."""
    text, rating, split = (*map(value, columns.cells), None)[:3]
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
    return Row(number, text, rating, split, problem="true probabilities are not shares that sum to 1")


def csv_records(path: Path, encoding: str, separator: str, repairs: Counter[str]) -> Iterator[list[str]]:
    """Give the fields of the header, then of each row; a row that is in quotes as a whole is taken apart.

    Raises:
        UserError: the file is empty, or a quote is left open.
    """
    with open_text(path, encoding) as file:
        reader = csv.reader(itertools.chain(file, [END]), delimiter=separator)
        header = next(reader)
        if header == [END]:
            raise UserError(f"{path}: the file is empty")
        yield header
        line = reader.line_num + 1
        for fields in reader:
            if fields and fields[-1].endswith(END) and len(fields[-1]) > len(END):
                raise UserError(f"{path}: line {line}: a quote is opened and never closed; close it or take it out")
            line = reader.line_num + 1
            if not fields or fields == [END]:
                continue
            if len(fields) == 1 < len(header):
                fields = next(csv.reader(fields, delimiter=separator))
                repairs["row in quotes as a whole"] += len(fields) == len(header)
            yield fields


def jsonl_records(path: Path, encoding: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Give each line that is not blank and the JSON object it holds, None where it holds none."""
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
    """Open a Parquet file, packed or not."""
    with open_bytes(path) as file:
        # Parquet is read from its end, which a compressed stream cannot do.
        yield pq.ParquetFile(file if path.suffix.lower() not in (".gz", ".zip") else io.BytesIO(file.read()))


def _csv_rows(path: Path, encoding: str, separator: str, data: Data, repairs: Counter[str]) -> Iterator[Row]:
    records = csv_records(path, encoding, separator, repairs)
    header = next(records)
    at = {name: place for place, name in enumerate(header)} | {None: None}
    columns = _Columns(*([at[name] for name in part] for part in _columns(path, header, data)))
    for number, fields in enumerate(records, 1):
        if len(fields) == len(header):
            yield _row(number, fields.__getitem__, columns)
        else:
            yield Row(number, separator.join(fields), problem=WRONG_FIELDS)


def _jsonl_rows(path: Path, encoding: str, data: Data) -> Iterator[Row]:
    wanted = [data.text_column, data.rating_column, *([data.split_column] if data.split_column else [])]
    columns = _Columns(wanted, list(TRUE_PROBABILITIES), list(data.slice_columns))
    seen: dict[str, None] = {}
    for number, (line, record) in enumerate(jsonl_records(path, encoding), 1):
        if record is None:
            yield Row(number, line, problem=NO_OBJECT)
        else:
            seen |= dict.fromkeys(record)
            yield _row(number, record.get, columns)
    # A record may lack a column; the whole file may not.
    _columns(path, list(seen), data)


def _parquet_rows(path: Path, data: Data) -> Iterator[Row]:
    with parquet_file(path) as table:
        columns = _columns(path, table.schema_arrow.names, data)
        wanted = list(dict.fromkeys(name for part in columns for name in part if name is not None))
        number = 0
        # Threads of Arrow's that still hold a Python file when the interpreter ends abort it (apache/arrow#33975).
        for batch in table.iter_batches(columns=wanted, use_threads=False):
            for cells in zip(*(batch.column(name).to_pylist() for name in wanted), strict=True):
                number += 1
                yield _row(number, dict(zip(wanted, cells, strict=True)).get, columns)
