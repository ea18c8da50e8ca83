"""Read a table of reviews from any common file, one row at a time."""

import csv
import io
import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from src.domain import TRUTH
from src.errors import UserError
from src.params import Data
from src.sources import find_encoding, open_bytes, open_text

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

csv.field_size_limit(2**31 - 1)


class Row(NamedTuple):
    """A row as it stands in the file; `problem` says why it could not be read, if it could not."""

    number: int
    text: Any = None
    rating: Any = None
    split: Any = None
    truth: tuple[float, ...] | None = None
    problem: str | None = None


class Table(NamedTuple):
    """The rows of a file, and how it was read."""

    rows: Iterator[Row]
    encoding: str | None = None
    separator: str | None = None


def read_table(path: Path, data: Data) -> Table:
    """Open a table of reviews; rows are numbered from 1 and read as they are asked for.

    Raises:
        UserError: an unknown format, a missing column, an unreadable file.
    """
    kind = data.format if data.format != "auto" else _format_of(path)
    if kind == "parquet":
        return Table(_parquet_rows(path, data))
    encoding = data.encoding if data.encoding != "auto" else find_encoding(path)
    if kind == "jsonl":
        return Table(_jsonl_rows(path, encoding, data), encoding)
    separator = data.separator if data.separator != "auto" else _find_separator(path, encoding, data)
    return Table(_csv_rows(path, encoding, separator, data), encoding, separator)


def _format_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in (".gz", ".zip"):
        suffixes.pop()
    if not suffixes or suffixes[-1] not in FORMATS:
        known = ", ".join(FORMATS)
        raise UserError(f"{path}: unknown kind of file (known: {known}); set data.format")
    return FORMATS[suffixes[-1]]


def _find_separator(path: Path, encoding: str, data: Data) -> str:
    """The separator under which the header holds the columns asked for."""
    headers = {}
    for separator in SEPARATORS:
        with open_text(path, encoding) as file:
            headers[separator] = next(csv.reader(file, delimiter=separator), [])
        if {data.text_column, data.rating_column} <= set(headers[separator]):
            return separator
    return max(SEPARATORS, key=lambda separator: len(headers[separator]))


def _columns(path: Path, names: list[str], data: Data) -> tuple[list[int], list[int]]:
    """Positions of the text, rating and split columns, and of the true probabilities if they are there."""
    wanted = {"text_column": data.text_column, "rating_column": data.rating_column}
    if data.split_column is not None:
        wanted["split_column"] = data.split_column
    for key, name in wanted.items():
        if name not in names:
            near = get_close_matches(name, names, n=1, cutoff=0)
            hint = f"; nearest to it: {near[0]}" if near else ""
            raise UserError(f"{path}: no column {name} (data.{key}); there are: {', '.join(names)}{hint}")
    truth = [names.index(name) for name in TRUTH] if set(TRUTH) <= set(names) else []
    return [names.index(name) for name in wanted.values()], truth


def _row(number: int, fields: list[Any], positions: list[int], truth: list[int]) -> Row:
    probabilities = None
    if truth:
        try:
            probabilities = tuple(float(fields[position]) for position in truth)
        except (TypeError, ValueError):
            return Row(number, problem="true probabilities are not numbers")
    text, rating, split = (*(fields[position] for position in positions), None)[:3]
    return Row(number, text, rating, split, probabilities)


def _csv_rows(path: Path, encoding: str, separator: str, data: Data) -> Iterator[Row]:
    with open_text(path, encoding) as file:
        reader = csv.reader(file, delimiter=separator)
        header = next(reader, None)
        if header is None:
            raise UserError(f"{path}: the file is empty")
        positions, truth = _columns(path, header, data)
        for number, fields in enumerate(filter(None, reader), 1):
            if len(fields) == len(header):
                yield _row(number, fields, positions, truth)
            else:
                yield Row(number, separator.join(fields), problem="wrong number of fields")


def _jsonl_rows(path: Path, encoding: str, data: Data) -> Iterator[Row]:
    with open_text(path, encoding) as file:
        lines = (line for line in file if line.strip())
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                yield Row(number, line, problem="not a JSON object")
                continue
            if number == 1:
                _columns(path, list(record), data)
            names = [data.text_column, data.rating_column]
            names += [data.split_column] if data.split_column else []
            truth = TRUTH if set(TRUTH) <= record.keys() else ()
            fields = [record.get(name) for name in (*names, *truth)]
            yield _row(number, fields, list(range(len(names))), list(range(len(names), len(fields))))


def _parquet_rows(path: Path, data: Data) -> Iterator[Row]:
    with open_bytes(path) as file:
        # Parquet is read from its end, which a compressed stream cannot do.
        source = file if path.suffix.lower() not in (".gz", ".zip") else io.BytesIO(file.read())
        try:
            table = pq.ParquetFile(source)
        except pa.ArrowInvalid as error:
            raise UserError(f"{path}: not a Parquet file ({error})") from None
        names = table.schema_arrow.names
        positions, truth = _columns(path, names, data)
        wanted = [names[position] for position in positions + truth]
        number = 0
        for batch in table.iter_batches(columns=wanted):
            for fields in zip(*(batch.column(name).to_pylist() for name in wanted), strict=True):
                number += 1
                count = len(positions)
                yield _row(number, list(fields), list(range(count)), list(range(count, len(wanted))))
