"""Tables of reviews that get more columns: read in chunks, written in parts, all that was there kept."""

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
    require,
)
from src.tables.sources import find_encoding, readable

CHUNK_ROWS = 100_000
"""Rows held in memory at a time: the more, the more of them are clean alike, and those are read once."""
CHUNK_CHARACTERS = 20_000_000
"""Letters after which a chunk is closed, so that long texts need no more memory than short ones."""
PARQUET_ROWS = 1000
"""Rows that are read from Parquet at a time."""
OPTION = "--text-column"

Columns = Mapping[str, Sequence[Any]]
"""What is added: a value for each row, None where there is none, by the name of the column."""


class Chunk(NamedTuple):
    """Some rows of a table: the cells of the text column, why a row could not be read, and the rows as they stand."""

    cells: list[Any]
    problems: list[str | None]
    rows: Any


class OutputTable(Protocol):
    """A table in one of the formats."""

    kind: str

    def chunks(self) -> Iterator[Chunk]:
        """Read the table from its beginning; also an empty one has a chunk."""

    def write(self, path: Path, chunk: Chunk, added: Columns, first: bool) -> None:
        """Write the part of a chunk; the first part has the header, where there is one."""

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        """Write all parts as one file."""


def open_table(path: Path, kind: str | None, encoding: str, column: str, names: Sequence[str]) -> OutputTable:
    """Open a CSV, TSV, JSON lines or Parquet file whose text stands in `column`, to add columns of some `names`.

    Without a `kind` the file's name says what it is.

    Raises:
        UserError: no such file, an unknown kind, no such column, or a column of one of the names; so does reading.
    """
    if not path.is_file():
        raise UserError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    kind = kind or kind_of(path, "--format")
    with readable(path):
        if kind == "parquet":
            return ParquetTable(path, column, names)
        found = find_encoding(path) if encoding == "auto" else encoding
        return (JsonLines if kind == "jsonl" else CsvTable)(path, found, column, names)


class CsvTable(OutputTable):
    """A CSV file with any separator; a row gets the empty fields that it lacks; those it has too many go to its end."""

    kind = "csv"

    def __init__(self, path: Path, encoding: str, column: str, names: Sequence[str]) -> None:
        self.path, self.encoding = path, encoding
        self.separator = find_separator(path, encoding, {column})
        self.header = next(self._records())
        require(path, column, self.header, OPTION)
        _refuse_clash(path, self.header, names)
        self.place = self.header.index(column)

    def _records(self) -> Iterator[list[str]]:
        return csv_records(self.path, self.encoding, self.separator, Counter())

    def chunks(self) -> Iterator[Chunk]:
        with readable(self.path):
            records = self._records()
            next(records)
            for rows in _chunked(((fields, len("".join(fields))) for fields in records), CHUNK_ROWS):
                whole = [len(fields) == len(self.header) for fields in rows]
                cells = [fields[self.place] if good else None for fields, good in zip(rows, whole, strict=True)]
                yield Chunk(cells, [None if good else WRONG_FIELDS for good in whole], rows)

    def write(self, path: Path, chunk: Chunk, added: Columns, first: bool) -> None:
        width = len(self.header)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.separator, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            if first:
                writer.writerow([*self.header, *added])
            for fields, values in zip(chunk.rows, zip(*added.values(), strict=True), strict=True):
                missing = [""] * (width - len(fields))
                writer.writerow([*fields[:width], *missing, *values, *fields[width:]])

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        _concatenate(path, parts)


class JsonLines(OutputTable):
    """A file with a JSON object in each line; it keeps its letters, and what is none is kept as `line` of a new one."""

    kind = "jsonl"

    def __init__(self, path: Path, encoding: str, column: str, names: Sequence[str]) -> None:
        self.path, self.encoding, self.column, self.names = path, encoding, column, names

    def chunks(self) -> Iterator[Chunk]:
        seen: dict[str, None] = {}
        with readable(self.path):
            for rows in _chunked(((row, len(row[0])) for row in self._rows(seen)), CHUNK_ROWS):
                lines, cells, problems = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
                yield Chunk(cells, problems, lines)
        # A record may lack the column; the whole file may not.
        require(self.path, self.column, list(seen), OPTION)

    def _rows(self, seen: dict[str, None]) -> Iterator[tuple[str, Any, str | None]]:
        for line, record in jsonl_records(self.path, self.encoding):
            if record is None:
                yield json.dumps({"line": line.strip()}, ensure_ascii=False), None, NO_OBJECT
                continue
            if not record.keys() <= seen.keys():
                seen |= dict.fromkeys(record)
                _refuse_clash(self.path, list(seen), self.names)
            yield line.strip(), record.get(self.column), None

    def write(self, path: Path, chunk: Chunk, added: Columns, first: bool) -> None:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for line, values in zip(chunk.rows, zip(*added.values(), strict=True), strict=True):
                new = json.dumps(dict(zip(added, values, strict=True)), ensure_ascii=False)
                beginning = line[:-1].rstrip()
                file.write(f"{beginning}{'' if beginning == '{' else ', '}{new[1:]}\n")

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        _concatenate(path, parts)


class ParquetTable(OutputTable):
    """A Parquet file; its columns are never taken apart, but for the text."""

    kind = "parquet"

    def __init__(self, path: Path, column: str, names: Sequence[str]) -> None:
        self.path, self.column = path, column
        with parquet_file(path) as file:
            self.schema = file.schema_arrow
        require(path, column, self.schema.names, OPTION)
        _refuse_clash(path, self.schema.names, names)

    def chunks(self) -> Iterator[Chunk]:
        with readable(self.path), parquet_file(self.path) as file:
            batches = ((batch, batch.nbytes) for batch in file.iter_batches(PARQUET_ROWS, use_threads=False))
            for some in _chunked(batches, CHUNK_ROWS // PARQUET_ROWS):
                table = pa.Table.from_batches(some, self.schema)
                yield Chunk(table.column(self.column).to_pylist(), [None] * len(table), table)

    def write(self, path: Path, chunk: Chunk, added: Columns, first: bool) -> None:
        table = chunk.rows
        for name, values in added.items():
            table = table.append_column(name, pa.array(values, _arrow_type(name)))
        pq.write_table(table, path, compression="zstd")

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        with pq.ParquetWriter(path, pq.read_schema(parts[0]), compression="zstd") as writer:
            for part in parts:
                writer.write_table(pq.ParquetFile(part).read(use_threads=False))


def _arrow_type(name: str) -> pa.DataType:
    kinds = {"predicted": pa.int8(), "reason": pa.string(), "words": pa.string()}
    return kinds.get(name, pa.float64())


def _chunked(things: Iterable[tuple[Any, int]], most: int) -> Iterator[list[Any]]:
    """Collect things, each with its letters, until they are as many or as long as a chunk may be; once at least."""
    chunk: list[Any] = []
    characters, any_yet = 0, False
    for thing, size in things:
        chunk.append(thing)
        characters += size
        if len(chunk) == most or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters, any_yet = [], 0, True
    if chunk or not any_yet:
        yield chunk


def _concatenate(path: Path, parts: Sequence[Path]) -> None:
    with path.open("wb") as file:
        for part in parts:
            with part.open("rb") as opened:
                shutil.copyfileobj(opened, file, 1 << 20)


def _refuse_clash(path: Path, there: Sequence[str], names: Sequence[str]) -> None:
    if both := [name for name in names if name in there]:
        raise UserError(f"{path}: has columns that would be added: {', '.join(both)}; rename them or take them out")
