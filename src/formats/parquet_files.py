"""Read Parquet files in batches whose decoded size is bounded, however small the file is.

A file of some hundred bytes can hold one long text for a million rows. Texts therefore stay in a dictionary, in which
each value is held once, and are copied for a few rows at a time.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from src.core.errors import UserError
from src.formats.archives import COMPRESSED
from src.formats.bounds import NO_LIMIT, UnpackLimit
from src.formats.parquet_pages import check_pages
from src.formats.sources import open_bytes

if TYPE_CHECKING:  # the service does without it
    import numpy as np
    import pyarrow as pa

ROWS = 1000
"""Rows of a batch, at most."""
BATCH_SIZE = 20_000_000
"""Bytes of a batch after decoding, unless a single row has more."""
MAX_ROW = 256_000_000
"""Bytes of a row after decoding above which a file is refused."""
TEXTS = ("STRING", "NONE", "JSON", "ENUM", "BSON", "UNKNOWN")
"""Logical types of columns that can be read as a dictionary."""


class ParquetRows:
    """The rows of an open Parquet file; `schema` is that of its columns."""

    def __init__(self, file: Any, limit: UnpackLimit) -> None:
        import pyarrow.parquet as pq

        plain = pq.ParquetFile(file)
        check_pages(file, plain, limit)
        self.schema, self._limit = plain.schema_arrow, limit
        leaves = [plain.schema.column(place) for place in range(len(plain.schema))]
        views = {field.name for field in self.schema if field.type.num_fields and "_view" in str(field.type)}
        texts = [
            leaf.path
            for leaf in leaves
            if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in TEXTS and _root(leaf.path) not in views
        ]
        fixed = sum(leaf.length or 0 for leaf in leaves if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY")
        # Arrow cannot decode views inside other columns from a dictionary.
        self._rows = 1 if views else max(1, min(ROWS, BATCH_SIZE // max(fixed, 1)))
        self._file: pq.ParquetFile = pq.ParquetFile(file, read_dictionary=texts) if texts else plain

    def encoded(self, columns: Sequence[str] | None = None) -> "Iterator[pa.RecordBatch]":
        """Yield batches in which the texts of columns that are not nested are in a dictionary."""
        for batch in self._batches(columns):
            yield from _pieces(batch, _row_sizes(batch, shared=True))

    def decoded(self) -> "Iterator[pa.RecordBatch]":
        """Yield batches as they are in the file.

        Raises:
            UserError: they have more bytes together than the limit.
        """
        import pyarrow as pa

        total = 0
        for batch in self._batches():
            sizes = _row_sizes(batch, shared=False)
            total += int(sizes.sum())
            self._limit.check(total)
            for piece in _pieces(batch, sizes):
                columns = map(_decoded, piece.columns, self.schema.types)
                yield pa.RecordBatch.from_arrays(list(columns), schema=self.schema)

    def check(self) -> int:
        """Refuse a file whose decoded rows have more bytes than the limit; return the number of rows."""
        total = 0
        for batch in self._batches():
            total += int(_row_sizes(batch, shared=False).sum())
            self._limit.check(total)
        return int(self._file.metadata.num_rows)

    def _batches(self, columns: Sequence[str] | None = None) -> "Iterator[pa.RecordBatch]":
        # An Arrow thread that still holds a Python file when the interpreter exits aborts it (apache/arrow#33975).
        return self._file.iter_batches(self._rows, columns=columns, use_threads=False)


@contextmanager
def parquet_file(path: Path, limit: UnpackLimit = NO_LIMIT) -> Iterator[ParquetRows]:
    """Open a Parquet file, also inside a compressed one.

    Raises:
        UserError: the file unpacks to more than the limit.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise UserError("Parquet needs a package: pip install -r requirements-predict.txt") from None
    with open_bytes(path, limit) as file:
        if path.suffix.lower() not in COMPRESSED:
            yield ParquetRows(file, limit)
            return
        # Reading Parquet starts at the end of the file; a compressed stream cannot seek there.
        with TemporaryFile() as unpacked:
            shutil.copyfileobj(file, unpacked, 1 << 20)
            yield ParquetRows(unpacked, limit)


def column_names(schema: "pa.Schema") -> list[str]:
    """List the columns of a Parquet file, and the fields of its nested columns by names with dots."""
    names = []
    for field in schema:
        names.append(field.name)
        if hasattr(field.type, "fields"):
            names += [f"{field.name}.{name}" for name in column_names(field.type.fields)]
    return names


def root_column(name: str, names: Sequence[str]) -> str:
    """Return the column of a Parquet file that holds a field with dots in its name."""
    return name if name in names else next(root for root in names if name.startswith(f"{root}."))


def cells_of(column: "pa.Array | pa.ChunkedArray") -> list[Any]:
    """Return the cells of a Parquet column; times as ISO text, since Python knows only the years 1 to 9999.

    Equal values of a dictionary are one Python object.
    """
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        return [cell for chunk in column.chunks for cell in cells_of(chunk)]
    if pa.types.is_dictionary(column.type):
        values = cells_of(column.dictionary)
        return [None if place is None else values[place] for place in column.indices.to_pylist()]
    if pa.types.is_temporal(column.type):
        # Of a time that no calendar has, Arrow writes "<value out of range: ...>".
        texts = column.cast(pa.string()).to_pylist()
        return [None if text is None or text.startswith("<") else text for text in texts]
    return column.to_pylist()


def _root(path: str) -> str:
    return path.partition(".")[0]


def _decoded(column: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    if column.type == kind:
        return column
    # There is no cast from a dictionary to a view.
    return (column.dictionary_decode() if pa.types.is_dictionary(column.type) else column).cast(kind)


def _pieces(batch: "pa.RecordBatch", sizes: "np.ndarray") -> "Iterator[pa.RecordBatch]":
    """Split a batch by the bytes of its rows."""
    start = total = 0
    for row, size in enumerate(sizes.tolist()):
        if size > MAX_ROW:
            raise UserError(f"a row has more than {MAX_ROW // 1_000_000} MB; split it")
        if total + size > BATCH_SIZE and row > start:
            yield batch.slice(start, row - start)
            start, total = row, 0
        total += size
    yield batch.slice(start)


def _row_sizes(batch: "pa.RecordBatch", shared: bool) -> "np.ndarray":
    """Return about how many bytes each row has: int64 [rows]; shared: without what a dictionary holds."""
    import numpy as np
    import pyarrow as pa

    sizes = np.zeros(len(batch), np.int64)
    for column in batch.columns:
        if not (shared and pa.types.is_dictionary(column.type)):
            sizes += _sizes(column)
    return sizes


def _sizes(column: "pa.Array") -> "np.ndarray":
    """Return about how many bytes each value has: int64 [values]."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind) and not pa.types.is_nested(kind.value_type):
        lengths = _sizes(column.dictionary)
        indices = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        return lengths[indices] if len(lengths) else np.zeros(len(column), np.int64)
    if pa.types.is_struct(kind):
        return sum(map(_sizes, column.flatten()), np.zeros(len(column), np.int64))
    if pa.types.is_map(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = _sizes(column.keys) + _sizes(column.items) if pa.types.is_map(kind) else _sizes(column.values)
        ends = np.concatenate([[0], (values + 16).cumsum()])[column.offsets.to_numpy()]
        return np.diff(ends)
    if pa.types.is_nested(kind) and hasattr(column, "flatten"):
        values = _sizes(column.flatten()) + 16
        ends = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).cumsum()
        return np.diff(np.concatenate([[0], values.cumsum()])[ends], prepend=0)
    if pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.full(len(column), column.nbytes // max(len(column), 1), np.int64)
