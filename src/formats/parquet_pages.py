"""Find out how large the pages of a Parquet file are once they are unpacked, before anything is unpacked.

The footer of a file says it, too, but the reader takes the memory that the head of each page asks for.
Source: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift, PageHeader; the encoding is
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from src.core.errors import UserError
from src.formats.bounds import UnpackLimit

if TYPE_CHECKING:  # the service does without it
    import pyarrow.parquet as pq

MAX_PAGE = 128_000_000
"""Bytes of a page above which a file is refused."""
MANY_VALUES = 50_000_000
VALUES_PER_BYTE = 8
"""Values of a column of lists that are too many, if they are also this many for each byte: they may all be one row."""
DEPTH = 8
"""Structures inside each other in the head of a page."""
TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, _MAP, STRUCT = range(1, 13)


class Page(NamedTuple):
    """The bytes of a page, packed and unpacked."""

    packed: int
    unpacked: int


def check_pages(file: IO[bytes], table: "pq.ParquetFile", limit: UnpackLimit) -> None:
    """Refuse a file with a page that is too large, or that unpacks to more than the limit.

    Raises:
        UserError: the message does not name the file.
    """
    total = 0
    for group in range(table.metadata.num_row_groups):
        for place in range(table.metadata.num_columns):
            chunk = table.metadata.row_group(group).column(place)
            unpacked = 0
            for page in _pages(file, chunk):
                if page.unpacked > MAX_PAGE:
                    problem = f"a page takes {page.unpacked // 1_000_000} MB, more than {MAX_PAGE // 1_000_000}"
                    raise UserError(f"column {chunk.path_in_schema}: {problem}; write it with smaller pages")
                unpacked += page.unpacked
                limit.check(total + unpacked)
            total += unpacked
            repeated = table.schema.column(place).max_repetition_level > 0
            if repeated and chunk.num_values > max(MANY_VALUES, VALUES_PER_BYTE * unpacked):
                raise UserError(f"column {chunk.path_in_schema}: {chunk.num_values} values are packed into a few bytes")


def _pages(file: IO[bytes], chunk: Any) -> Iterator[Page]:
    first = [place for place in (chunk.dictionary_page_offset, chunk.data_page_offset) if place]
    place = min(first, default=0)
    end = place + chunk.total_compressed_size
    while place < end:
        file.seek(place)
        page = read_head(file)
        yield page
        place = file.tell() + page.packed


def read_head(file: IO[bytes]) -> Page:
    """Read the head of a page, and stop after it."""
    head = _struct(file, DEPTH)
    unpacked, packed = head.get(2), head.get(3)
    if not isinstance(unpacked, int) or not isinstance(packed, int) or min(unpacked, packed) < 0:
        raise UserError("it is damaged: a page has no size")
    return Page(packed, unpacked)


def _struct(file: IO[bytes], depth: int) -> dict[int, int | None]:
    """Read a structure; of its fields only the integers are kept."""
    if not depth:
        raise UserError("it is damaged: the head of a page is nested too deeply")
    fields: dict[int, int | None] = {}
    number = 0
    while (head := _byte(file)) != 0:
        number = number + (head >> 4) if head >> 4 else _integer(file)
        fields[number] = _value(file, head & 15, depth)
    return fields


def _value(file: IO[bytes], kind: int, depth: int) -> int | None:
    if kind in (I16, I32, I64):
        return _integer(file)
    if kind in (BYTE, DOUBLE):
        file.seek(1 if kind == BYTE else 8, io.SEEK_CUR)
    elif kind == BINARY:
        file.seek(_unsigned(file), io.SEEK_CUR)
    elif kind == STRUCT:
        _struct(file, depth - 1)
    elif kind in (LIST, SET):
        head = _byte(file)
        for _ in range(head >> 4 if head >> 4 < 15 else _unsigned(file)):
            _value(file, BYTE if head & 15 in (TRUE, FALSE) else head & 15, depth)
    elif kind not in (TRUE, FALSE):
        raise UserError("it is damaged: the head of a page has a field of an unknown type")
    return None


def _byte(file: IO[bytes]) -> int:
    if not (byte := file.read(1)):
        raise EOFError
    return byte[0]


def _unsigned(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(file)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise UserError("it is damaged: the head of a page has a number that does not end")


def _integer(file: IO[bytes]) -> int:
    value = _unsigned(file)
    return (value >> 1) ^ -(value & 1)
