"""Add columns to tables of reviews: read in chunks, write in parts, and keep everything that was there."""

import csv
import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.errors import UserError
from src.core.files import special_kind
from src.core.schema import read_review, read_text
from src.core.spreadsheets import escape_formula
from src.formats.json_records import Open, field_names, is_array, json_records, lookup, problem_of
from src.formats.parquet_files import ROWS, cells_of, column_names, parquet_file, root_column
from src.formats.record_files import CsvFile, FileFormat, Findings, encoding_of, kind_of, require_column
from src.formats.sources import open_text, readable
from src.formats.workbooks import Workbook
from src.tables.readers import MOST_NAMES

CHUNK_ROWS = 100_000
"""Rows held in memory at a time. Larger chunks contain more texts that are equal after cleaning, scored only once."""
CHUNK_SIZE = 20_000_000
"""Characters (Parquet: bytes) at which a chunk ends, so that long texts need no more memory than short ones."""
FIELD_SIZE = 16
"""Characters that a field counts for beside its own: one of a million empty fields takes memory, too."""
OPTION = "--text-column"

Columns = Mapping[str, Sequence[Any]]
"""New columns by name: one value a row, None if missing."""


class Chunk(NamedTuple):
    """Some rows of a table: the cells of the text column, why a row could not be read (or None), the original rows."""

    cells: list[Any]
    problems: list[str | None]
    rows: Any


class Reviews(NamedTuple):
    """Where the text of a review is: its columns, words that mean no text, and what says that it is too long."""

    columns: list[str]
    missing: Collection[str] = ()
    problem: Callable[[object], str | None] = FileFormat().text_problem

    def read(self, cells: Sequence[Any]) -> tuple[Any, str | None]:
        """Return the text of a row as text() does, or None and why it is refused."""
        text = self.text(cells)
        problem = self.problem(text)
        return (text, None) if problem is None else (None, problem)

    def text(self, cells: Sequence[Any]) -> Any:
        """Return the text of a row from its cells, one for each column; if a cell is not text, that cell."""
        if len(cells) == 1:
            return "" if isinstance(cells[0], str) and cells[0].strip() in self.missing else cells[0]
        text = read_review(cells, self.missing)
        return text if text is not None else next(cell for cell in cells if read_text(cell) is None)


class OutputTable(Protocol):
    """A table in one of the formats, to which columns can be added; `kinds` are the formats of its output."""

    kinds: tuple[str, ...]

    def chunks(self) -> Iterator[Chunk]:
        """Read the table from the beginning; an empty table has one empty chunk."""

    def count(self) -> int:
        """Read the whole table, so that errors in it show, and count its rows."""
        return sum(len(chunk.cells) for chunk in self.chunks())

    def write(self, path: Path, chunk: Chunk, new_columns: Columns, first: bool) -> None:
        """Write a chunk with its new columns as a part; the first part has the header, if the format has one."""

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        """Join all parts into one file."""


def open_table(
    path: Path,
    file_format: FileFormat,
    reviews: Reviews,
    names: Sequence[str],
    name: str | None = None,
    safe: bool = False,
) -> OutputTable:
    """Open a file of any format, to add columns called `names`. `name` is the file in messages, if not its path.

    safe: whether texts are escaped so that a spreadsheet runs none as a formula, which only CSV output needs.

    Raises:
        UserError: no such file, unknown kind, no such column, or a column with one of the names; also while reading.
    """
    name = name or str(path)
    with readable(name):
        if not path.is_file():
            kind = special_kind(path)
            raise UserError(f"is {kind}, not a file" if kind else "no such file")
        kind = kind_of(path, file_format)
        if safe and kind not in ("csv", "excel"):
            raise UserError("--spreadsheet-safe is for CSV and spreadsheets; leave it out")
        if kind == "parquet":
            return ParquetTable(path, name, reviews, names, file_format)
        if kind == "excel":
            workbook = Workbook(path, reviews.columns, file_format)
            return CsvTable(workbook, name, reviews, names, file_format.header, safe)
        encoding = encoding_of(path, file_format).name
        if kind == "csv":
            file = CsvFile(path, encoding, reviews.columns, file_format)
            return CsvTable(file, name, reviews, names, file_format.header, safe)
        open_json = partial(open_text, path, encoding, file_format.unpack_limit)
        return JsonTable(open_json, name, reviews, names)


class CsvTable(OutputTable):
    """A CSV file with any separator, or a spreadsheet, which becomes one.

    Short rows get empty fields; surplus fields move behind the new columns.
    """

    kinds = ("csv",)

    def __init__(
        self, file: CsvFile | Workbook, name: str, reviews: Reviews, names: Sequence[str], header: bool, safe: bool
    ) -> None:
        self.file, self.name, self.has_header = file, name, header
        self._shown: Callable[[Any], Any] = escape_formula if safe else lambda cell: cell
        self.header = file.names
        for column in reviews.columns:
            require_column(column, self.header, OPTION, header)
        _check_no_clash(self.header, names)
        self.reviews = reviews
        self.places = [self.header.index(column) for column in reviews.columns]

    def chunks(self) -> Iterator[Chunk]:
        with readable(self.name):
            found = ((row, len("".join(map(str, row[0]))) + FIELD_SIZE * len(row[0])) for row in self._rows())
            for rows in _in_chunks(found, CHUNK_ROWS):
                texts = [(None, problem) if problem else self._text(fields) for fields, problem in rows]
                yield Chunk([text for text, _ in texts], [problem for _, problem in texts], [row for row, _ in rows])

    def count(self) -> int:
        with readable(self.name):
            return sum(1 for _ in self._rows())

    def _rows(self) -> Iterator[tuple[list[Any], str | None]]:
        return self.file.rows(Findings())

    def _text(self, fields: list[Any]) -> tuple[Any, str | None]:
        return self.reviews.read([fields[place] for place in self.places])

    def write(self, path: Path, chunk: Chunk, new_columns: Columns, first: bool) -> None:
        width = len(self.header)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=self.file.separator, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            if first and self.has_header:
                writer.writerow(map(self._shown, [*self.header, *new_columns]))
            for fields, values in zip(chunk.rows, zip(*new_columns.values(), strict=True), strict=True):
                missing = [""] * (width - len(fields))
                writer.writerow(map(self._shown, [*fields[:width], *missing, *values, *fields[width:]]))

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        _concatenate(path, parts)


class JsonTable(OutputTable):
    """JSON: one object a line, kept verbatim, or an array of objects, which stays one.

    What is not an object becomes {"line": ...}. Of objects that hold a list, the list becomes the array.
    """

    kinds = ("json", "jsonl")

    def __init__(self, open_json: Open, name: str, reviews: Reviews, names: Sequence[str]) -> None:
        self._open, self.name, self.reviews, self.names = open_json, name, reviews, names
        self.array = is_array(self._open)

    def chunks(self) -> Iterator[Chunk]:
        seen, missing = dict[str, None](), set(self.reviews.columns)
        with readable(self.name):
            for rows in _in_chunks(((row, len(row[0])) for row in self._rows(seen, missing)), CHUNK_ROWS):
                lines, cells, problems = map(list, zip(*rows, strict=True)) if rows else ([], [], [])
                yield Chunk(cells, problems, lines)
            # Single records may lack the column; the whole file may not.
            for column in missing:
                require_column(column, [name for name in seen if name != column], OPTION, header=False)

    def _rows(self, seen: dict[str, None], missing: set[str]) -> Iterator[tuple[str, Any, str | None]]:
        for line, record in json_records(self._open, self.reviews.columns):
            if record is None:
                yield json.dumps({"line": line.strip()}, ensure_ascii=False), None, problem_of(line)
                continue
            _check_no_clash(record.keys(), self.names)
            if missing:
                missing -= {name for name in missing if name in record or lookup(record, name) is not None}
                seen |= dict.fromkeys(field_names(record)[:MOST_NAMES])
            yield line.strip(), *self.reviews.read([lookup(record, name) for name in self.reviews.columns])

    def write(self, path: Path, chunk: Chunk, new_columns: Columns, first: bool) -> None:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for line, values in zip(chunk.rows, zip(*new_columns.values(), strict=True), strict=True):
                new = json.dumps(dict(zip(new_columns, values, strict=True)), ensure_ascii=False)
                old = line[:-1].rstrip()  # without its closing brace
                file.write(f"{old}{'' if old == '{' else ', '}{new[1:]}\n")

    def join(self, path: Path, parts: Sequence[Path]) -> None:
        if not self.array:
            _concatenate(path, parts)
            return
        with path.open("w", encoding="utf-8", newline="\n") as file:
            separator = "[\n"
            for part in parts:
                with part.open(encoding="utf-8", newline="\n") as lines:
                    for line in lines:
                        file.write(separator + line.rstrip("\n"))
                        separator = ",\n"
            file.write("\n]\n" if separator == ",\n" else "[]\n")


class ParquetTable(OutputTable):
    """A Parquet file; its columns stay in Arrow, except for the text."""

    kinds = ("parquet",)

    def __init__(self, path: Path, name: str, reviews: Reviews, names: Sequence[str], file_format: FileFormat) -> None:
        self.name, self.reviews = name, reviews
        self._open = partial(parquet_file, path, file_format.unpack_limit)
        with self._open() as file:
            self.schema = file.schema
        for column in reviews.columns:
            require_column(column, column_names(self.schema), OPTION)
        _check_no_clash(self.schema.names, names)
        self.roots = list(dict.fromkeys(root_column(column, self.schema.names) for column in reviews.columns))

    def chunks(self) -> Iterator[Chunk]:
        with readable(self.name), self._open() as file:
            batches = ((batch, batch.nbytes) for batch in file.decoded())
            for chunk in _in_chunks(batches, max(CHUNK_ROWS // ROWS, 1)):
                table = pa.Table.from_batches(chunk, self.schema)
                rows = zip(*(cells_of(table.column(name)) for name in self.roots), strict=True)
                records = (dict(zip(self.roots, cells, strict=True)) for cells in rows)
                texts = [
                    self.reviews.read([lookup(record, name) for name in self.reviews.columns]) for record in records
                ]
                yield Chunk([text for text, _ in texts], [problem for _, problem in texts], table)

    def count(self) -> int:
        with readable(self.name), self._open() as file:
            return file.check()

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
    counts = {"predicted": pa.int8(), "word_count": pa.int32(), "known_words": pa.int32()}
    texts = {"reason": pa.string(), "words": pa.string()}
    return (counts | texts).get(name, pa.float64())


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


def _check_no_clash(existing: Collection[str], names: Sequence[str]) -> None:
    if both := [name for name in names if name in existing]:
        raise UserError(f"has columns that would be added: {', '.join(both)}; rename or remove them")
