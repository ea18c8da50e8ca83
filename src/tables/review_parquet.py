"""Reviews between the stages: Parquet, written and read in parts so that memory stays flat."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from src.core.progress import progress_bar
from src.core.schema import TRUE_PROBABILITIES

ROWS_AT_ONCE = 50_000
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


class ReviewWriter:
    """Collects reviews and writes them part by part; use it in a with statement."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._part: list[tuple[Any, ...]] = []

    def __enter__(self) -> "ReviewWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(
        self, row: int, text: str, rating: int, slices: Sequence[str | None], true_probabilities: Sequence[float] | None
    ) -> None:
        """Add one review with what stands in its slice columns; `truth` is P(stars | text) where that is known."""
        self._part.append((row, text, rating, slices, *(true_probabilities or UNKNOWN_PROBABILITIES)))
        if len(self._part) == ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._part, strict=True)) or [()] * len(SCHEMA)
        self._writer.write_table(pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA))
        self._part = []


def part_path(path: Path, number: int) -> Path:
    """Where one part lies of a split that is a folder, as Spark and pandas know it; a split from one file is a file."""
    return path / f"{number:05}.parquet"


def list_parts(path: Path) -> list[Path]:
    """The files of a split."""
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def read_parts(path: Path) -> Iterator[pa.RecordBatch]:
    """Read the reviews of a split part by part, with a bar in a terminal."""
    files = list_parts(path)
    parts = sum(math.ceil(pq.read_metadata(file).num_rows / ROWS_AT_ONCE) for file in files)
    batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(ROWS_AT_ONCE))
    yield from progress_bar(batches, desc=path.stem, total=parts, leave=False)


def map_texts(source: Path, target: Path, change: Callable[[str], str]) -> None:
    """Write the reviews of a file to another with every text changed."""
    place = SCHEMA.get_field_index("text")
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        for part in read_parts(source):
            texts = pa.array([change(text) for text in part.column("text").to_pylist()], pa.string())
            writer.write_batch(part.set_column(place, SCHEMA.field(place), texts))
