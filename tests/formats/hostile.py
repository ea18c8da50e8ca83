"""Files that ask for far more memory or time than their size, as small as the test needs them."""

import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

GOOD = ["works fine on my phone", "crashes at the start", "could be better"]
FAR_CELL = "XFD1048576"


def dictionary_parquet(length: int, rows: int, good: int = 3) -> bytes:
    """One long text for many rows, which the file holds once, and some good rows behind them."""
    values = pa.array(["a" * length, *GOOD])
    places = pa.array([0] * rows + [1 + i % 3 for i in range(good)], pa.int32())
    scores = pa.array([1 + i % 5 for i in range(rows + good)])
    table = pa.table({"content": pa.DictionaryArray.from_arrays(places, values), "score": scores})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", store_schema=False, dictionary_pagesize_limit=1 << 30)
    return out.getvalue()


def large_page_parquet(length: int, claimed: int) -> bytes:
    """A page whose head claims another size than the footer: the reader believes the head."""
    out = io.BytesIO()
    table = pa.table({"content": ["a" * length], "score": [1]})
    pq.write_table(table, out, compression="zstd", use_dictionary=False, write_statistics=False)
    content = bytearray(out.getvalue())
    # The page begins behind the four letters of the format: type, then the size when unpacked, as varints.
    assert content[4:7] == b"\x15\x00\x15"
    end = next(place for place in range(7, 20) if content[place] < 128) + 1
    number = varint(claimed << 1, end - 7)
    content[7:end] = number
    return bytes(content)


def varint(number: int, width: int) -> bytes:
    """A number in the encoding of Thrift, in this many bytes."""
    parts = [(number >> 7 * i) & 127 for i in range(width)]
    assert number < 1 << 7 * width
    return bytes(part | 128 for part in parts[:-1]) + bytes(parts[-1:])


def table_with(text: str) -> bytes:
    """A CSV file with one text among good ones."""
    return f'content,score\ngood app,5\n"{text}",1\nbad app,1\n'.encode()


def packed_field(length: int) -> bytes:
    """A .csv.gz with one long field, written without holding it."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
        file.write(b'content,score\ngood app,5\n"')
        for _ in range(length >> 20):
            file.write(b"a" * (1 << 20))
        file.write(b'",1\nbad app,1\n')
    return out.getvalue()


def far_sheet(cells: dict[str, str]) -> bytes:
    """A spreadsheet with text in some cells."""
    from tests.formats.test_cases import xlsx, zipped

    found = zipfile.ZipFile(io.BytesIO(xlsx([["content", "score"]])))
    rows: dict[str, str] = {}
    for place, text in cells.items():
        row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        rows[row] = rows.get(row, "") + f'<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>'
    lines = "".join(f'<row r="{row}">{content}</row>' for row, content in rows.items())
    sheet = "xl/worksheets/s1.xml"
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    content = f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'.encode()
    members = [(name, found.read(name)) for name in found.namelist() if name != sheet]
    return zipped(*members, (sheet, content))


def many_members(count: int) -> bytes:
    """A zip archive with a long list of members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i}.csv", b"")
    return out.getvalue()


def long_name_tar(size: int) -> bytes:
    """A .tar.gz whose member has a name of this many bytes, in a header of its own."""
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, size
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(b"a" * size + bytes(-size % 512))
        file.write(tarfile.TarInfo("a.csv").tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    return out.getvalue()


def wide_xz(content: bytes, window: int) -> bytes:
    """A .xz that asks for a dictionary of this many bytes."""
    packed = bytearray(lzma.compress(content, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]))
    # The head of the block follows the head of the stream (12 bytes): size, flags, filter, size of its settings, these.
    size = (packed[12] + 1) * 4
    packed[16] = next(bits for bits in range(41) if (2 | (bits & 1)) << (bits // 2 + 11) >= window)
    packed[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(packed[12 : 12 + size - 4]))
    return bytes(packed)


def deep_json(depth: int) -> str:
    """A list in a list in a list ..."""
    return "[" * depth + "]" * depth


def hostile_file(random: Random) -> tuple[str, bytes]:
    """A file that asks for much, of a kind and a size that chance selects; some are damaged, too."""
    size = 10 ** random.randint(2, 6)
    text = random.choice(['a"', "a", "\n", ",", "\r", '","', "﻿", "🙂", "<b>", "\0", "=1+1"]) * size
    text = text[: 4 * size]
    record = json.dumps({"content": text, "score": 1})
    many = json.dumps({str(i): i for i in range(size // 50)} | {"content": "good", "score": 1})
    makers: list[Callable[[], tuple[str, bytes]]] = [
        lambda: ("a.csv", table_with(text)),
        lambda: ("a.csv.gz", packed_field(10 * size)),
        lambda: ("a.csv", b"content,score\n" + b"," * size + b"\ngood app,5\n"),
        lambda: ("a.csv", b"," * size + b"\n"),
        lambda: ("a.jsonl", f'{record}\n{many}\n{{"content": {deep_json(size)}, "score": 2}}\n'.encode()),
        lambda: ("a.json", f'[{record}, {many}, {deep_json(size)}, {{"content": "good", "score": 5}}]'.encode()),
        lambda: ("a.json", f'{{"reviews": [{record}, {many}]}}'.encode()),
        lambda: ("a.parquet", dictionary_parquet(size, 1000)),
        lambda: ("a.parquet", large_page_parquet(100_000, random.randrange(1 << 19))),
        lambda: (
            "a.xlsx",
            far_sheet({"A1": "content", "B1": "score", random.choice(["C9", "ZZ99999", FAR_CELL]): "x"}),
        ),
        lambda: ("a.zip", many_members(size // 1000)),
        lambda: ("a.tar.gz", long_name_tar(size)),
        lambda: ("a.csv.xz", wide_xz(table_with("good"), random.choice([1 << 20, 1 << 28, 1 << 31]))),
        lambda: ("a.csv.gz.gz", gzip.compress(packed_field(10 * size))),
    ]
    name, content = random.choice(makers)()
    if random.random() < 0.3 and content:
        changed = bytearray(content)
        for _ in range(random.randint(1, 4)):
            changed[random.randrange(len(changed))] = random.randrange(256)
        content = bytes(changed[: random.randint(1, len(changed))] if random.random() < 0.3 else changed)
    return name, content
