"""Add columns to tables of reviews: read in chunks, write in parts, and keep everything that was there."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.errors import UserError
from src.tables.readers import (
    NO_OBJECT,
    WRONG_FIELDS,
    csv_records,
    find_separator,
    jsonl_records,
    kind_of,
    parquet_file,
    require_column,
)
from src.tables.sources import find_encoding, readable

CHUNK_ROWS = 100_000
"""Rows held in memory at a time. Larger chunks contain more texts that are equal after cleaning, scored only once."""
CHUNK_SIZE = 20_000_000
"""Characters (Parquet: bytes) at which a chunk ends, so that long texts need no more memory than short ones."""
PARQUET_ROWS = 1000
"""Rows read from Parquet at a time."""
OPTION = "--text-column"

Columns = Mapping[str, Sequence[Any]]
"""New columns by name: one value a row, None if missing."""


class Chunk(NamedTuple):
    """Some rows of a table: the cells of the text column, why a row could not be read (or None), the original rows."""

    cells: list[Any]
    problems: list[str | None]
    rows: Any


class OutputTable(Protocol):
    """A table in one of the formats, to which columns can be added."""

    kind: str

    def chunks(self) -> Iterator[Chunk]:
        """Read the table from the beginning; an empty table has one empty chunk."""

    def write(self, path: Path, chunk: Chunk, new_columns: Columns, first: bool) -> None:
        """Write a chunk with its new columns as a part; the first part has the header, if the format has one."""

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        """Join all parts into one file."""


def open_table(path: Path, kind: str | None, encoding: str, column: str, names: Sequence[str]) -> OutputTable:
    """Open a CSV, TSV, JSON lines or Parquet file with its text in `column`, to add columns called `names`.

    If `kind` is None, it is derived from the file's name.

    Raises:
        UserError: no such file, unknown kind, no such column, or a column with one of the names; also while reading.
    """
    if not path.is_file():
        raise UserError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")
    kind = kind or kind_of(path, "--format")
    with readable(path):
        if kind == "parquet":
            return ParquetTable(path, column, names)
        found = find_encoding(path) if encoding == "auto" else encoding
        return (JsonLines if kind == "jsonl" else CsvTable)(path, found, column, names)


class CsvTable(OutputTable):
    """A CSV file with any separator. Short rows get empty fields; surplus fields move behind the new columns."""

    kind = "csv"

    def __init__(self, path: Path, encoding: str, column: str, names: Sequence[str]) -> None:
        self.path, self.encoding = path, encoding
        self.separator = find_separator(path, encoding, {column})
        self.header = next(self._records())
        require_column(path, column, self.header, OPTION)
        _check_no_clash(path, self.header, names)
        self.index = self.header.index(column)

    def _records(self) -> Iterator[list[str]]:
        return csv_records(self.path, self.encoding, self.separator, Counter())

    def chunks(self) -> Iterator[Chunk]:
        with readable(self.path):
            records = self._records()
            next(records)
            for rows in _in_chunks(((fields, len("".join(fields))) for fields in records), CHUNK_ROWS):
                complete = [len(fields) == len(self.header) for fields in rows]
                cells = [fields[self.index] if ok else None for fields, ok in zip(rows, complete, strict=True)]
                yield Chunk(cells, [None if ok else WRONG_FIELDS for ok in complete], rows)

    def write(self, path: Path, chunk: Chunk, new_columns: Columns, first: bool) -> None:
        width = len(self.header)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            if first:
                writer.writerow([*self.header, *new_columns])
            for fields, values in zip(chunk.rows, zip(*new_columns.values(), strict=True), strict=True):
                missing = [""] * (width - len(fields))
                writer.writerow([*fields[:width], *missing, *values, *fields[width:]])

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        _concatenate(path, parts)


class JsonLines(OutputTable):
    """A file with one JSON object a line, kept verbatim; a line that is not an object becomes {"line": ...}."""

    kind = "jsonl"

    def __init__(self, path: Path, encoding: str, column: str, names: Sequence[str]) -> None:
        self.path, self.encoding, self.column, self.names = path, encoding, column, names

    def chunks(self) -> Iterator[Chunk]:
        seen: dict[str, None] = {}
        with readable(self.path):
            for rows in _in_chunks(((row, len(row[0])) for row in self._rows(seen)), CHUNK_ROWS):
                lines, cells, problems = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
                yield Chunk(cells, problems, lines)
        # Single records may lack the column; the whole file may not.
        require_column(self.path, self.column, list(seen), OPTION)

    def _rows(self, seen: dict[str, None]) -> Iterator[tuple[str, Any, str | None]]:
        for line, record in jsonl_records(self.path, self.encoding):
            if record is None:
                yield json.dumps({"line": line.strip()}, ensure_ascii=False), None, NO_OBJECT
                continue
            if not record.keys() <= seen.keys():
                seen |= dict.fromkeys(record)
                _check_no_clash(self.path, list(seen), self.names)
            yield line.strip(), record.get(self.column), None

    def write(self, path: Path, chunk: Chunk, new_columns: Columns, first: bool) -> None:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for line, values in zip(chunk.rows, zip(*new_columns.values(), strict=True), strict=True):
                new = json.dumps(dict(zip(new_columns, values, strict=True)), ensure_ascii=False)
                old = line[:-1].rstrip()  # without its closing brace
                file.write(f"{old}{'' if old == '{' else ', '}{new[1:]}\n")

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        _concatenate(path, parts)


class ParquetTable(OutputTable):
    """A Parquet file; its columns stay in Arrow, except for the text."""

    kind = "parquet"

    def __init__(self, path: Path, column: str, names: Sequence[str]) -> None:
        self.path, self.column = path, column
        with parquet_file(path) as file:
            self.schema = file.schema_arrow
        require_column(path, column, self.schema.names, OPTION)
        _check_no_clash(path, self.schema.names, names)

    def chunks(self) -> Iterator[Chunk]:
        with readable(self.path), parquet_file(self.path) as file:
            batches = ((batch, batch.nbytes) for batch in file.iter_batches(PARQUET_ROWS, use_threads=False))
            for chunk in _in_chunks(batches, CHUNK_ROWS // PARQUET_ROWS):
                table = pa.Table.from_batches(chunk, self.schema)
                yield Chunk(table.column(self.column).to_pylist(), [None] * len(table), table)

    def write(self, path: Path, chunk: Chunk, new_columns: Columns, first: bool) -> None:
        table = chunk.rows
        for name, values in new_columns.items():
            table = table.append_column(name, pa.array(values, _arrow_type(name)))
        pq.write_table(table, path, compression="zstd")

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        with pq.ParquetWriter(path, pq.read_schema(parts[0]), compression="zstd") as writer:
            for part in parts:
                writer.write_table(pq.ParquetFile(part).read(use_threads=False))


def _arrow_type(name: str) -> pa.DataType:
    kinds = {"predicted": pa.int8(), "reason": pa.string(), "words": pa.string()}
    return kinds.get(name, pa.float64())


def _in_chunks(items: Iterable[tuple[Any, int]], max_items: int) -> Iterator[list[Any]]:
    """Group items, each given with its size, into chunks that are limited by count and size; yield at least one."""
    chunk: list[Any] = []
    total, any_yielded = 0, False
    for item, size in items:
        chunk.append(item)
        total += size
        if len(chunk) == max_items or total >= CHUNK_SIZE:
            yield chunk
            chunk, total, any_yielded = [], 0, True
    if chunk or not any_yielded:
        yield chunk


def _concatenate(path: Path, parts: Sequence[Path]) -> None:
    with path.open("wb") as file:
        for part in parts:
            with part.open("rb") as opened:
                shutil.copyfileobj(opened, file, 1 << 20)


def _check_no_clash(path: Path, existing: Sequence[str], names: Sequence[str]) -> None:
    if both := [name for name in names if name in existing]:
        raise UserError(f"{path}: has columns that would be added: {', '.join(both)}; rename or remove them")
