"""Read the cells of a row once: text, stars, split, slices, and why the row cannot be used."""

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.schema import SPLITS, read_review, read_text, text_problem
from src.tables.ratings import Read
from src.tables.readers import Row
from src.tables.review_parquet import BATCH_ROWS, BatchWriter

SPLIT_NAMES = {name: name for name in SPLITS} | {
    "training": "train",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
}
NO_TEXT = "no text"
BAD_RATING = "rating is not 1, 2, 3, 4 or 5"
EPOCH_SECONDS = range(10**9, 4 * 10**9)
"""Numbers that are read as a time: seconds (or milliseconds) since 1970, from 2001 to 2096."""


class ParsedRow(NamedTuple):
    """A row after it is read, as prepare keeps it until duplicates are resolved.

    text: the review; of a row with a problem its cells, joined. rating: the cell. stars, split: None if there are none.
    problem: why the row cannot be used, None if it can. slices: texts, None if missing.
    """

    text: str | None
    rating: str | None
    stars: int | None
    split: str | None
    problem: str | None
    slices: tuple[str | None, ...] = ()
    true_probabilities: tuple[float, ...] | None = None


class RowParser(NamedTuple):
    """How the cells of a row are read: whether there is a split column, ratings, and words that mean no text."""

    has_split: bool
    read_rating: Read
    missing: Collection[str] = ()

    def parse(self, row: Row) -> ParsedRow:
        """Read a row."""
        cells = row.text if isinstance(row.text, tuple) else (row.text,)
        text = read_review(cells, self.missing)
        stars = self.read_rating(row.rating)
        split = SPLIT_NAMES.get(str(row.split).strip().lower()) if self.has_split else None
        problem = row.problem or text_problem(text)
        if problem is None and stars is None:
            problem = BAD_RATING if self._has_content(row.rating) else "no rating"
        if problem is None and self.has_split and split is None:
            problem = "split is not train, valid or test"
        rating = None if row.rating is None else _as_text(row.rating)
        if problem is not None:
            shown = [_as_text(cell) for cell in cells if cell is not None]
            return ParsedRow("\n".join(shown) if shown else None, rating, stars, split, problem)
        return ParsedRow(text, rating, stars, split, None, tuple(map(slice_text, row.slices)), row.true_probabilities)

    def _has_content(self, rating: Any) -> bool:
        return rating is not None and rating == rating and str(rating).strip() not in ("", *self.missing)


def slice_text(value: Any) -> str | None:
    """Return the cell of a slice column as text, None if it has none; times become ISO text, so that months show."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):  # also a datetime
        return value.isoformat()
    text = read_text(value)
    if text and text.isdecimal() and text.isascii() and len(text) in (10, 13):
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
        ("split", pa.string()),
        ("problem", pa.string()),
        ("slices", pa.list_(pa.string())),
        ("true_probabilities", pa.list_(pa.float64())),
    ]
)
"""The file in which prepare keeps the parsed rows."""


def row_writer(path: Path) -> BatchWriter:
    """Open a file to write parsed rows to; it is read once, so it is neither small nor encoded."""
    return BatchWriter(path, SCHEMA, compression="lz4", use_dictionary=False, write_statistics=False)


def read_rows(path: Path) -> Iterator[ParsedRow]:
    """Read parsed rows."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
            columns = (batch.column(name).to_pylist() for name in SCHEMA.names)
            yield from map(ParsedRow._make, zip(*columns, strict=True))
