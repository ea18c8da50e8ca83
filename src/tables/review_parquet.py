"""The Parquet files of reviews that stages exchange, written and read in batches so that memory stays flat."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.progress import progress_bar
from src.core.schema import TRUE_PROBABILITIES

BATCH_ROWS = 50_000
"""Reviews held in memory at a time."""

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("text", pa.string()),
        ("rating", pa.int8()),
        ("slices", pa.list_(pa.string())),
        *((name, pa.float64()) for name in TRUE_PROBABILITIES),
    ]
)
UNKNOWN_PROBABILITIES = (None,) * len(TRUE_PROBABILITIES)


class BatchWriter:
    """Collects rows and writes them to Parquet in batches; use it in a with statement."""

    def __init__(self, path: Path, schema: pa.Schema, **options: Any) -> None:
        self._writer, self._schema = pq.ParquetWriter(path, schema, **options), schema
        self._batch: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, row: tuple[Any, ...]) -> None:
        """Add one row: a value for each column."""
        self._batch.append(row)
        if len(self._batch) == BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        schema = self._schema
        columns = list(zip(*self._batch, strict=True)) or [()] * len(schema)
        self._writer.write_table(pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema))
        self._batch = []


class ReviewWriter(BatchWriter):
    """Writes the reviews of a split."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA, compression="zstd")

    def add(
        self, row: int, text: str, rating: int, slices: Sequence[str | None], true_probabilities: Sequence[float] | None
    ) -> None:
        """Add one review with the cells of its slice columns and, if known, its true P(stars | text)."""
        self.write((row, text, rating, slices, *(true_probabilities or UNKNOWN_PROBABILITIES)))


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
    batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS))
    yield from progress_bar(batches, desc=path.stem, total=total, leave=False)


def map_texts(source: Path, target: Path, change: Callable[[str], str]) -> None:
    """Copy a file of reviews and apply `change` to every text."""
    column = SCHEMA.get_field_index("text")
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        for batch in read_parts(source):
            texts = pa.array([change(text) for text in batch.column("text").to_pylist()], pa.string())
            writer.write_batch(batch.set_column(column, SCHEMA.field(column), texts))
