"""Read the cells of a row once: text, stars, split, slices, and why the row cannot be used."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from src.core.params import Data
from src.core.schema import EXTRA, SPLITS, STARS, TRUE_PROBABILITIES, read_review, read_text, text_problem
from src.formats.record_files import FileFormat
from src.tables import review_parquet
from src.tables.ratings import Read, rating_reader
from src.tables.readers import Row, file_format
from src.tables.review_parquet import BATCH_ROWS

SPLIT_NAMES = {name: name for name in SPLITS} | {
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
}
FindLanguages = Callable[[Sequence[str]], Sequence[str | None]]
"""Finds the language of each text, None where it is not sure."""
UNKNOWN_PROBABILITIES = (None,) * len(TRUE_PROBABILITIES)
NO_TEXT = "no text"
BAD_RATING = "rating is not 1, 2, 3, 4 or 5"
KEPT = 10_000
"""Characters that are kept of a cell that is not used, and of a rating."""
BATCH_SIZE = 50_000_000
"""Characters at which a batch of rows ends, so that long texts need no more memory than short ones."""
EPOCH_SECONDS = range(10**9, 4 * 10**9)
"""Numbers that are read as a time: seconds (or milliseconds) since 1970, from 2001 to 2096."""


class ParsedRow(NamedTuple):
    """A row after it is read.

    text: the review; of a row with a problem its cells, joined. rating: the cell. stars, split: None if there are none.
    problem: why the row cannot be used, None if it can. slices: texts, None if missing.
    """

    text: str | None
    rating: str | None
    stars: int | None
    split: str | None
    problem: str | None
    slices: tuple[str | None, ...] = ()
    true_probabilities: tuple[float | None, ...] = UNKNOWN_PROBABILITIES


Parse = Callable[[Row], ParsedRow]


class RowParser(NamedTuple):
    """How the cells of a row are read: whether there is a split column, ratings, and words that mean no text."""

    has_split: bool
    read_rating: Read
    missing: Collection[str] = ()
    text_problem: Callable[[object], str | None] = FileFormat().text_problem

    def parse(self, row: Row) -> ParsedRow:
        """Read a row."""
        several = isinstance(row.text, tuple)
        text = read_review(row.text, self.missing) if several else read_text(row.text)
        if text in self.missing:
            text = ""
        stars = self.read_rating(row.rating)
        split = SPLIT_NAMES.get(str(row.split).strip().lower()) if self.has_split else None
        problem = row.problem or text_problem(text) or self.text_problem(text)
        if problem is None and stars is None:
            problem = BAD_RATING if self._has_content(row.rating) else "no rating"
        if problem is None and self.has_split and split is None:
            problem = "split is not train, valid or test"
        rating = None if row.rating is None else _as_text(row.rating)[:KEPT]
        if problem is not None:
            cells = row.text if several else (row.text,)
            shown = [_as_text(cell)[:KEPT] for cell in cells if cell is not None]
            return ParsedRow("\n".join(shown) if shown else None, rating, stars, split, problem)
        probabilities = row.true_probabilities or UNKNOWN_PROBABILITIES
        return ParsedRow(text, rating, stars, split, None, tuple(map(slice_text, row.slices)), probabilities)

    def _has_content(self, rating: Any) -> bool:
        return rating is not None and rating == rating and str(rating).strip() not in ("", *self.missing)


def row_parser(data: Data) -> Parse:
    """Return what reads the cells of a row by the settings of the table."""
    scale = (data.rating_scale[0], data.rating_scale[1]) if data.rating_scale else None
    return RowParser(
        data.split_column is not None,
        rating_reader(scale, data.rating_map),
        frozenset(data.missing),
        file_format(data).text_problem,
    ).parse


def extra_row_parser(data: Data) -> Parse:
    """Return what reads the text of an extra review, and neither its rating nor its split."""
    parser = RowParser(False, lambda cell: STARS[0], frozenset(data.missing), file_format(data).text_problem)
    return lambda row: parser.parse(row)._replace(stars=None, rating=None, split=EXTRA)


def slice_text(value: Any) -> str | None:
    """Return the cell of a slice column as text, None if it has none; times become ISO text, so that months show."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):  # also a datetime
        return value.isoformat()
    text = read_text(value)
    if text and len(text) in (10, 13) and text.isdecimal() and text.isascii():
        seconds = int(text) // 10 ** (len(text) - 10)
        if seconds in EPOCH_SECONDS:
            return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return text or None


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("rating", pa.string()),
        ("stars", pa.int8()),
        ("problem", pa.string()),
        ("words", pa.int32()),
        ("slices", pa.list_(pa.string())),
        *((name, pa.float64()) for name in TRUE_PROBABILITIES),
    ]
)
"""The file in which prepare keeps the parsed rows; `words` is the number of words of a usable text."""


class RowWriter:
    """Writes parsed rows to an Arrow file in batches; use it in a with statement."""

    def __init__(self, path: Path) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_file(str(path), SCHEMA, options=options)
        self._batch: list[tuple[Any, ...]] = []
        self._size = 0

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self._batch:
            self._flush()
        self._writer.close()

    def add(self, row: ParsedRow) -> None:
        """Add one row."""
        words = len(row.text.split()) if row.text and row.problem is None else 0
        self._batch.append((row.text, row.rating, row.stars, row.problem, words, row.slices, *row.true_probabilities))
        self._size += len(row.text or "") + sum(map(len, filter(None, row.slices)))
        if len(self._batch) == BATCH_ROWS or self._size > BATCH_SIZE:
            self._flush()

    def _flush(self) -> None:
        columns = zip(zip(*self._batch, strict=True), SCHEMA, strict=True)
        self._writer.write(pa.record_batch([pa.array(values, field.type) for values, field in columns], SCHEMA))
        self._batch, self._size = [], 0


def read_rows(path: Path) -> Iterator[pa.RecordBatch]:
    """Read parsed rows, as SCHEMA, in batches."""
    with pa.ipc.open_file(str(path)) as file:
        yield from map(file.get_batch, range(file.num_record_batches))


def to_reviews(batch: pa.RecordBatch, numbers: np.ndarray, find_languages: FindLanguages) -> pa.Table:
    """Return used rows as reviews; numbers: int64 [rows], the number of each row."""
    columns = {name: batch.column(name) for name in ("text", "slices", *TRUE_PROBABILITIES)}
    languages = find_languages(columns["text"].to_pylist())
    columns |= {"row": pa.array(numbers), "rating": batch.column("stars"), "language": pa.array(languages, pa.string())}
    return pa.table([columns[name] for name in review_parquet.SCHEMA.names], review_parquet.SCHEMA)
