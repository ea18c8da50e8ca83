"""The Parquet files of reviews that stages exchange, written and read in batches so that memory stays flat."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.progress import progress_bar
from src.core.schema import PROBABILITIES, TRUE_PROBABILITIES

BATCH_ROWS = 50_000
"""Reviews held in memory at a time."""
BATCH_BYTES = 100_000_000
"""Bytes of reviews held in memory at a time, if they are so long that this is less."""

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("text", pa.string()),
        ("rating", pa.int8()),
        ("slices", pa.list_(pa.string())),
        ("language", pa.string()),
        *((name, pa.float64()) for name in TRUE_PROBABILITIES),
    ]
)


TRANSFER_SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("language", pa.string()),
        ("variation", pa.bool_()),
        *((name, pa.float32()) for name in PROBABILITIES),
    ]
)
"""The transfer set: reviews without stars, and whether they are variations of train reviews; the teacher's P(stars)."""


class ReviewWriter:
    """Writes reviews in batches of BATCH_ROWS, however they come; use it in a with statement."""

    def __init__(self, path: Path, schema: pa.Schema = SCHEMA) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._waiting = schema.empty_table()
        self._written = False

    def __enter__(self) -> "ReviewWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and (len(self._waiting) or not self._written):
            self._write(len(self._waiting))
        self._writer.close()

    def add(self, reviews: pa.Table) -> None:
        """Add reviews with the columns of the schema."""
        self._waiting = pa.concat_tables([self._waiting, reviews])
        while len(self._waiting) >= BATCH_ROWS:
            self._write(BATCH_ROWS)
        if self._waiting.nbytes > BATCH_BYTES:
            self._write(len(self._waiting))

    def _write(self, rows: int) -> None:
        self._writer.write_table(self._waiting[:rows].combine_chunks())
        self._waiting = self._waiting[rows:]
        self._written = True


def part_path(path: Path, number: int) -> Path:
    """Return the path of one part of a split that is a folder, in a layout that Spark and pandas can read."""
    return path / f"{number:05}.parquet"


def list_parts(path: Path) -> list[Path]:
    """Return the files of a split: its parts if it is a folder, else the file itself."""
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def read_parts(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the reviews of a split in batches, with a progress bar in a terminal."""
    files = list_parts(path)
    total = sum(math.ceil(pq.read_metadata(file).num_rows / BATCH_ROWS) for file in files)
    batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(_batch_rows(file)))
    yield from progress_bar(batches, desc=path.stem, total=total, leave=False)


def _batch_rows(file: Path) -> int:
    """Return how many reviews of a file are read at a time."""
    metadata = pq.read_metadata(file)
    size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, min(BATCH_ROWS, BATCH_BYTES * metadata.num_rows // max(size, 1)))


def map_texts(source: Path, target: Path, change: Callable[[str, str | None], str]) -> None:
    """Copy a file of reviews, with all its columns, and apply `change` to every text and its language."""
    schema = pq.read_schema(source).remove_metadata()
    column = schema.get_field_index("text")
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in read_parts(source):
            pairs = zip(*(batch.column(name).to_pylist() for name in ("text", "language")), strict=True)
            texts = pa.array([change(text, language) for text, language in pairs], pa.string())
            writer.write_batch(batch.set_column(column, schema.field(column), texts))
