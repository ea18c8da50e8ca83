"""Read a table of reviews from any common file format, one row at a time."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from src.core.params import Data
from src.core.schema import TRUE_PROBABILITIES
from src.formats.json_records import Open, field_names, json_records, lookup, problem_of
from src.formats.parquet_files import cells_of, column_names, parquet_file, root_column
from src.formats.record_files import CsvFile, FileFormat, Findings, encoding_of, kind_of, require_column
from src.formats.sources import open_text, readable
from src.formats.workbooks import Workbook

MOST_NAMES = 200
"""Fields of JSON objects that are remembered for messages."""


class Row(NamedTuple):
    """A row with its original cells; `problem` is the reason if it could not be read.

    text: the cell of the text column; a tuple of cells if there are several such columns.
    """

    number: int
    text: Any = None
    rating: Any = None
    split: Any = None
    true_probabilities: tuple[float, ...] | None = None
    slices: tuple[Any, ...] = ()
    problem: str | None = None


class Table:
    """The rows of a file, numbered from 1 and read lazily, how it is written, and what was found while reading."""

    def __init__(self, rows: Iterator[Row], findings: Findings, encoding: str | None, separator: str | None) -> None:
        self.rows, self.findings = rows, findings
        self.encoding, self.separator = encoding, separator


def without_ratings(data: Data) -> Data:
    """Return the settings by which only the texts of a table are read; the reader needs some rating column."""
    return data.model_copy(update={"rating_column": data.text_columns[0], "split_column": None, "slice_columns": []})


def file_format(data: Data, remote: bool = False) -> FileFormat:
    """Return how the files of the table are written, and their limits, as params.yaml says it; remote: from a URL."""
    how = FileFormat(data.format, data.encoding, data.separator, data.quoting, data.header, data.max_text)
    if remote and data.url_max_mb < data.max_unpacked_mb:
        return how._replace(max_unpacked_mb=data.url_max_mb, unpacked_option="url_max_mb")
    return how._replace(max_unpacked_mb=data.max_unpacked_mb)


def read_table(path: Path, data: Data, name: str | None = None) -> Table:
    """Open a table of reviews. `name` is the file in messages, if not its path.

    Raises:
        UserError: unknown format, missing column or unreadable file; also raised while rows are read.
    """
    name = name or str(path)
    with readable(name):
        table = _open_table(path, data, file_format(data, remote="://" in name))
    table.rows = _checked(name, table.rows)
    return table


def _open_table(path: Path, data: Data, how: FileFormat) -> Table:
    findings = Findings()
    kind = kind_of(path, how)
    wanted = list(dict.fromkeys([*data.text_columns, data.rating_column]))
    if kind == "parquet":
        return Table(_parquet_rows(path, data, how), findings, None, None)
    if kind == "excel":
        return Table(_cell_rows(Workbook(path, wanted, how), data, findings), findings, None, None)
    encoding, bad_characters = encoding_of(path, how)
    if bad_characters:
        findings.repairs["invalid character"] = bad_characters
    if kind == "csv":
        file = CsvFile(path, encoding, wanted, how)
        return Table(_cell_rows(file, data, findings), findings, encoding, file.separator)
    open_json = partial(open_text, path, encoding, how.unpack_limit)
    return Table(_json_rows(open_json, data), findings, encoding, None)


def _checked(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    with readable(name):
        yield from rows


class _Columns(NamedTuple):
    """Columns to read: texts, rating, split (None if there is none); all true probabilities or none; slices."""

    texts: list[Any]
    rating: Any
    split: Any
    true_probabilities: list[Any]
    slices: list[Any]


def _find_columns(names: Sequence[str], data: Data, key: Callable[[str], Any]) -> _Columns:
    """Find the configured columns in a file; the true probabilities and the slices are optional.

    key: what finds the cell of a named column in a record.
    """
    for option, name in _required(data):
        require_column(name, names, option, data.header)
    given = set(TRUE_PROBABILITIES) <= set(names)
    return _Columns(
        list(map(key, data.text_columns)),
        key(data.rating_column),
        None if data.split_column is None else key(data.split_column),
        list(map(key, TRUE_PROBABILITIES)) if given else [],
        [key(name) if name in names else None for name in data.slice_columns],
    )


def _required(data: Data) -> Iterator[tuple[str, str]]:
    """Yield the columns that a table must have, each with its setting."""
    yield from (("data.text_column", name) for name in data.text_columns)
    yield "data.rating_column", data.rating_column
    if data.split_column is not None:
        yield "data.split_column", data.split_column


def _make_row(number: int, value: Callable[[Any], Any], columns: _Columns) -> Row:
    """Build a row; `value` returns the cell of a column."""
    texts = columns.texts
    text = value(texts[0]) if len(texts) == 1 else tuple(map(value, texts))
    rating = value(columns.rating)
    split = None if columns.split is None else value(columns.split)
    slices = tuple([None if column is None else value(column) for column in columns.slices])
    true_probabilities = [value(column) for column in columns.true_probabilities]
    if all(value in (None, "") for value in true_probabilities):
        return Row(number, text, rating, split, None, slices)
    try:
        probabilities = tuple(float(value) for value in true_probabilities)
    except (TypeError, ValueError):
        probabilities = ()
    if min(probabilities, default=-1) >= 0 and abs(sum(probabilities) - 1) < 0.001:
        return Row(number, text, rating, split, probabilities, slices)
    return Row(number, text, rating, split, problem="true probabilities are invalid or do not sum to 1")


def _cell_rows(file: CsvFile | Workbook, data: Data, findings: Findings) -> Iterator[Row]:
    columns = _find_columns(file.names, data, lambda name: file.names.index(name))
    for number, (cells, problem) in enumerate(file.rows(findings), 1):
        if problem is None:
            yield _make_row(number, cells.__getitem__, columns)
        else:
            yield Row(number, file.separator.join(cells), problem=problem)


def _json_rows(open_json: Open, data: Data) -> Iterator[Row]:
    columns = _Columns(
        data.text_columns, data.rating_column, data.split_column, list(TRUE_PROBABILITIES), data.slice_columns
    )
    wanted = list(dict.fromkeys([*data.text_columns, data.rating_column]))
    missing = dict.fromkeys(name for _, name in _required(data))
    seen: dict[str, None] = {}
    for number, (text, record) in enumerate(json_records(open_json, wanted), 1):
        if record is None:
            yield Row(number, text, problem=problem_of(text))
            continue
        if missing:
            missing = {name: None for name in missing if name not in record and lookup(record, name) is None}
            seen |= dict.fromkeys(field_names(record)[:MOST_NAMES])
        yield _make_row(number, partial(lookup, record), columns)
    # Single records may lack a column; the whole file may not.
    for option, name in _required(data):
        if name in missing:
            require_column(name, [each for each in seen if each not in missing], option, header=False)


def _parquet_rows(path: Path, data: Data, how: FileFormat) -> Iterator[Row]:
    with parquet_file(path, how.unpack_limit) as table:
        names = column_names(table.schema)
        columns = _find_columns(names, data, str)
        parts = (columns.texts, [columns.rating, columns.split], columns.true_probabilities, columns.slices)
        required = list(dict.fromkeys(name for part in parts for name in part if name is not None))
        roots = list(dict.fromkeys(root_column(name, table.schema.names) for name in required))
        number = 0
        for batch in table.encoded(roots):
            for cells in zip(*(cells_of(batch.column(name)) for name in roots), strict=True):
                number += 1
                yield _make_row(number, partial(lookup, dict(zip(roots, cells, strict=True))), columns)
