"""Read any file as a plain table of texts, for showing it."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from src.formats.json_records import Open, field_names, json_records, lookup, problem_of
from src.formats.parquet_files import cells_of, column_names, parquet_file, root_column
from src.formats.record_files import CsvFile, FileFormat, Findings, encoding_of, kind_of
from src.formats.sources import open_text
from src.formats.workbooks import Workbook

LOOKED_AT = 100
"""Records of a JSON file whose fields become columns."""

Rows = Iterator[tuple[list[str], str | None]]
"""The cells of each row, and why they are not one for each column, None if they are."""


class Cells(NamedTuple):
    """A table of texts: the names of its columns, its rows, how it is written, and what was found while reading."""

    names: list[str]
    rows: Rows
    encoding: str | None
    separator: str | None
    findings: Findings


def read_cells(path: Path, file_format: FileFormat, wanted: Sequence[str]) -> Cells:
    """Open a file in any format; of CSV files and spreadsheets the header is looked for by the `wanted` columns.

    Raises:
        UserError: the file cannot be read; also while its rows are read.
    """
    findings, kind = Findings(), kind_of(path, file_format)
    if kind == "parquet":
        with parquet_file(path, file_format.unpack_limit) as file:
            names = column_names(file.schema)
        return Cells(names, _parquet_rows(path, names, file_format), None, None, findings)
    if kind == "excel":
        book = Workbook(path, wanted, file_format)
        return Cells(book.names, _as_texts(book.rows(findings)), None, None, findings)
    encoding, bad_characters = encoding_of(path, file_format)
    if bad_characters:
        findings.repairs["invalid character"] = bad_characters
    if kind == "csv":
        table = CsvFile(path, encoding, wanted, file_format)
        return Cells(table.names, table.rows(findings), encoding, table.separator, findings)
    names, rows = _json_rows(partial(open_text, path, encoding, file_format.unpack_limit), wanted)
    return Cells(names, rows, encoding, None, findings)


def _json_rows(open_json: Open, wanted: Sequence[str]) -> tuple[list[str], Rows]:
    records = json_records(open_json, wanted)
    first = list(islice(records, LOOKED_AT))
    names = list(dict.fromkeys(name for _, record in first if record is not None for name in field_names(record)))

    def rows() -> Rows:
        for text, record in chain(first, records):
            if record is None:
                yield [text], problem_of(text)
            else:
                yield [_as_text(lookup(record, name)) for name in names], None

    return names, rows()


def _parquet_rows(path: Path, names: list[str], file_format: FileFormat) -> Rows:
    with parquet_file(path, file_format.unpack_limit) as file:
        columns = file.schema.names
        roots = {name: root_column(name, columns) for name in names}
        for batch in file.encoded():
            for cells in zip(*(cells_of(batch.column(name)) for name in columns), strict=True):
                record = dict(zip(columns, cells, strict=True))
                yield [_as_text(lookup({roots[name]: record[roots[name]]}, name)) for name in names], None


def _as_texts(rows: Iterator[tuple[list[Any], str | None]]) -> Rows:
    for cells, problem in rows:
        yield list(map(_as_text, cells)), problem


def _as_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, default=str)
