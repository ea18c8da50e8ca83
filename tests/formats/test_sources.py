"""Compressed files, archives and stores; every fault is one clear line that names the file."""

import bz2
import csv
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from src.core.errors import UserError, excerpt
from src.formats.archives import COMPRESSED, uncompressed_name
from src.formats.file_kinds import UNREAD_SUFFIXES, describe_binary
from src.formats.record_files import FORMATS
from src.formats.sources import file_name, find_files, local_copy, open_bytes, open_text, readable, table_name
from tests.conftest import ROOT

TABLE = b"content,score\n" + b"".join(b"review number %d,%d\n" % (i, 1 + i % 5) for i in range(3000))
OTHER = b"Mac OS X"


def zstd(content: bytes) -> bytes:
    return pa.compress(content, codec="zstd", asbytes=True)


CODECS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two members of the same name
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(*members: tuple[str, bytes | None]) -> bytes:
    """Return a tar archive; a member without content is a link."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            elif name.endswith("/"):
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content or b""))
    return packed.getvalue()


def folder(name: str) -> tuple[str, bytes]:
    return name, b""


LINK = zipfile.ZipInfo("reviews.csv")
LINK.external_attr = 0o120777 << 16
SYSTEM = [
    ("__MACOSX/._reviews.csv", OTHER),
    (".DS_Store", OTHER),
    ("data/Thumbs.db", OTHER),
    ("desktop.ini", OTHER),
    (".git/config", OTHER),
    folder("data/"),
]
READ: dict[str, tuple[str, bytes]] = {
    "plain": ("a.csv", TABLE),
    **{suffix: (f"a.csv{suffix.upper()}", compress(TABLE)) for suffix, compress in CODECS.items()},
    **{
        f"two {suffix}": (f"a.csv{suffix}", compress(TABLE[:99]) + compress(TABLE[99:]))
        for suffix, compress in CODECS.items()
    },
    **{f".tar{suffix}": (f"a.tar{suffix}", compress(tarred(("a.csv", TABLE)))) for suffix, compress in CODECS.items()},
    ".tar": ("a.tar", tarred(("a.csv", TABLE))),
    ".tgz": ("a.tgz", gzip.compress(tarred(("a.csv", TABLE)))),
    ".tbz2": ("a.tbz2", bz2.compress(tarred(("a.csv", TABLE)))),
    ".txz": ("a.txz", lzma.compress(tarred(("a.csv", TABLE)))),
    ".zip": ("a.csv.zip", zipped(("a.csv", TABLE))),
    "zip of system files": ("a.zip", zipped(*SYSTEM, ("data/a.csv", TABLE))),
    "tar of system files": ("a.tar", tarred(*SYSTEM, ("./data/a.csv", TABLE))),
    "zip outside its folder": ("a.zip", zipped(("../../a.csv", TABLE))),
    "tar outside its folder": ("a.tar", tarred(("/a.csv", TABLE))),
    "zip made by Windows": ("a.zip", zipped(("data\\a.csv", TABLE))),
    "zip by LZMA": ("a.zip", zipped(("a.csv", TABLE), method=zipfile.ZIP_LZMA)),
    "gzip in zip": ("a.zip", zipped(("a.csv.gz", gzip.compress(TABLE)))),
    "xz in tar in zip": ("a.zip", zipped(("a.tar", tarred(("a.csv.xz", lzma.compress(TABLE)))))),
    "tar with a link beside": ("a.tar", tarred(("latest.csv", None), ("a.csv", TABLE))),
    "gzip with zeros behind": ("a.csv.gz", gzip.compress(TABLE) + bytes(500)),
}


@pytest.mark.parametrize("case", READ)
def test_the_content_and_its_name_are_found(tmp_path, case):
    name, content = READ[case]
    path = tmp_path / name
    path.write_bytes(content)
    with readable(path), open_bytes(path) as file:
        assert file.read(9) + file.read() == TABLE
    with readable(path), open_text(path, "utf-8") as text:
        assert sum(1 for _ in text) == 3001
    assert table_name(path, FORMATS) == "a.csv"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_zip_made_on_a_mac_is_read(tmp_path):
    path = tmp_path / "mac.csv.zip"
    path.write_bytes(zipped(("reviews.csv", TABLE), ("__MACOSX/._reviews.csv", OTHER)))
    with open_bytes(path) as file:
        assert file.readline() == b"content,score\n"


def encrypted() -> bytes:
    content = bytearray(zipped(("a.csv", TABLE)))
    for place in (6, content.index(b"PK\x01\x02") + 8):  # the flags of the member, and in the directory
        content[place] |= 1
    return bytes(content)


def deflate64() -> bytes:
    content = bytearray(zipped(("a.csv", TABLE)))
    for place in (8, content.index(b"PK\x01\x02") + 10):
        content[place] = 9
    return bytes(content)


def damaged(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes(byte ^ 0xA5 for byte in content[len(content) // 2 :])


def read_all(path):
    with readable(path), readable(path), open_bytes(path) as file:
        while file.read(1000):
            pass


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    **{
        f"truncated {suffix}": (f"a.csv{suffix}", compress(TABLE)[:-20], "cannot be read")
        for suffix, compress in CODECS.items()
    },
    **{
        f"damaged {suffix}": (f"a.csv{suffix}", damaged(compress(TABLE)), "cannot be read")
        for suffix, compress in CODECS.items()
    },
    **{f"text called {suffix}": (f"a.csv{suffix}", TABLE, "cannot be read") for suffix in COMPRESSED},
    "truncated zip": ("a.zip", zipped(("a.csv", TABLE))[:-30], "damaged, or not a zip archive"),
    "wrong sum in zip": (
        "a.zip",
        zipped(("a.csv", TABLE), method=zipfile.ZIP_STORED).replace(b"number 7,", b"number 8,", 1),
        "damaged, or not a zip archive",
    ),
    "truncated tar": ("a.tar", tarred(("a.csv", TABLE))[:2000], "damaged, or not a tar archive"),
    "truncated tar.gz": ("a.tgz", gzip.compress(tarred(("a.csv", TABLE)))[:-9], "it ends too early"),
    "wrong sum of tar.gz": ("a.tgz", gzip.compress(tarred(("a.csv", TABLE)))[:-8] + bytes(8), "not gzip data"),
    "gzip with more behind": ("a.csv.gz", gzip.compress(TABLE) + b"\xff tail", "damaged, or not gzip data"),
    "encrypted": ("a.zip", encrypted(), "it is encrypted; decrypt it first"),
    "Deflate64": ("a.zip", deflate64(), r"method \(Deflate64\) is not supported; compress it again"),
    "empty zip": ("a.zip", zipped(), "contains 0 files; it must contain exactly one table"),
    "zip of two": ("a.zip", zipped(("a.csv", b""), ("b.csv", b"")), r"contains 2 files; .* \(it has a.csv, b.csv\)"),
    "zip of nine": ("a.zip", zipped(*((f"{i}.csv", b"") for i in range(9))), r"9 files; .*4\.csv, \.\.\.\); unpack"),
    "zip of one twice": ("a.zip", zipped(("a.csv", b""), ("a.csv", b"")), "contains 2 files"),
    "link in zip": ("a.zip", zipped((LINK, b"/etc/passwd")), "contains 0 files; .*not a link or a hidden file"),
    "link in tar": ("a.tar", tarred(("a.csv", None)), "contains 0 files; .*not a link or a hidden file"),
    "tar of a folder": ("a.tar", tarred(folder("a.csv/")), "contains 0 files"),
    "zip in gzip": ("a.csv.zip.gz", gzip.compress(zipped(("a.csv", TABLE))), "unpack the outer one first"),
    "packed five times": ("a.csv" + ".gz" * 5, gzip.compress(TABLE), "compressed more than 4 times"),
    "nothing in xz": ("a.csv.xz", b"", "it ends too early"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_one_line_that_names_the_file_once(tmp_path, case):
    name, content, message = UNREADABLE[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        read_all(path)
    line = str(raised.value)
    assert line.startswith(f"{path}: ")
    assert line.count(str(path)) == 1
    assert line.isprintable()
    assert len(line) < len(str(path)) + 200
    assert "b'" not in line


def test_a_bomb_is_streamed(tmp_path):
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(400):
            file.write(bytes(1 << 20))
    code = "; ".join(
        [
            "import resource; from pathlib import Path; from src.formats.sources import open_bytes, readable",
            "resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20)); path = Path(__import__('sys').argv[1])",
            "stack = __import__('contextlib').ExitStack(); stack.enter_context(readable(path))",
            "file = stack.enter_context(open_bytes(path))",
            "print(sum(len(b) for b in iter(lambda: file.read(9999), b'')))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(400 << 20), done.stderr


def test_the_service_needs_no_pyarrow(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TABLE))
    (tmp_path / "a.csv.zst").write_bytes(zstd(TABLE))
    code = """
import sys
from pathlib import Path
sys.modules["pyarrow"] = None
from src.formats.sources import open_bytes, readable
with open_bytes(Path(sys.argv[1])) as file:
    print(len(file.read()))
try:
    with readable("a"), open_bytes(Path(sys.argv[1]).with_suffix(".zst")) as file:
        pass
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        str(len(TABLE)),
        "a: .zst files need pyarrow; pip install -r requirements-predict.txt",
    ]


def test_names_without_compression(tmp_path):
    names = {"a.csv.tar.gz": "a.csv", "a.tgz": "a", "a.b.CSV.Zst": "a.b.CSV", "a.csv": "a.csv", ".gz": ".gz"}
    assert {name: uncompressed_name(tmp_path / name) for name in names} == names
    named = tmp_path / "a.csv.zip"
    named.write_bytes(zipped(("b.jsonl", TABLE)))
    assert table_name(named, FORMATS) == "a.csv"
    bare = tmp_path / "export.v2.zip"
    bare.write_bytes(zipped(("b.jsonl.gz", gzip.compress(TABLE))))
    assert table_name(bare, FORMATS) == "b.jsonl"
    bare.write_bytes(zipped(("part", TABLE)))
    assert table_name(bare, FORMATS) == "export.v2"
    bare.write_bytes(b"")
    with pytest.raises(UserError, match=r"export\.v2\.zip: cannot be read"):
        table_name(bare, FORMATS)


BINARY = {
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR": "PNG picture",
    b"\xff\xd8\xff\xe0\0\x10JFIF": "JPEG picture",
    b"%PDF-1.7\n%\xe2": "PDF document",
    zipped(("a.csv", b"a")): "ZIP archive",
    zipped(("[Content_Types].xml", b""), ("xl/workbook.xml", b"")): "Excel workbook: give it the extension .xlsx",
    zipped(("[Content_Types].xml", b""), ("word/document.xml", b"")): "Word document",
    zipped(("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), method=0): "OpenDocument spreadsheet",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0": "old Excel workbook",
    gzip.compress(b"a"): "gzip data",
    bz2.compress(b"a"): "bzip2 data",
    bz2.compress(b""): "bzip2 data",
    lzma.compress(b"a"): "xz data",
    zstd(b"a"): "zstd data",
    tarred(("a.csv", TABLE)): "tar archive",
    b"PAR1\x15\x04\x15": "Parquet file",
    b"ARROW1\0\0\xff\xff": "Arrow or Feather file",
    b"ORC\x0a\x03\0\0": "ORC file",
    b"Obj\x01\x04\x14avro": "Avro file",
    b"SQLite format 3\0\x10\0": "SQLite database",
    b"\x80\x04\x95\x0b\0\0\0\0\0\0\0]": "pickle",
    b"\x93NUMPY\x01\0v\0{'descr'": "NumPy array",
    b"\x7fELF\x02\x01\x01\0": "program",
    b"\n <!DOCTYPE html><html>": "a web page, not a table: the address may need a login",
    b'\xef\xbb\xbf<?xml version="1.0"?>\n<html xmlns="a">': "web page",
    b'<?xml version="1.0"?>\n<reviews>': "XML file",
    bytes(range(256)) * 4: "binary data",
    b"".join(i.to_bytes(4, "little") for i in range(500)): "binary data",
}
TEXT = [
    b"",
    TABLE[:4000],
    b"PAR1,ORC\n1,2\n",
    b"ORC,score\ngood,1\n",
    "€,score\ngood,1\n".encode("cp1252"),
    *("content,score\nschön — 本当に良い\u3000😀,5\n".encode(each) for each in ("utf-8", "utf-16-le", "utf-16-be")),
    *("content,score\nschön 😀,5\n".encode(each) for each in ("utf-16", "utf-32", "utf-32-le", "utf-32-be")),
    "content,score\nschön 😀".encode("utf-16-le")[:-2],
    TABLE[:500] + b"\0" + TABLE[:500],
    b'{"content": "<html> tags", "score": 1}\n',
]


@pytest.mark.parametrize("start", BINARY, ids=BINARY.get)
def test_what_is_no_table_is_named(start):
    assert BINARY[start] in (describe_binary(start) or "")


@pytest.mark.parametrize("start", TEXT)
def test_text_is_not_taken_for_something_else(start):
    assert describe_binary(start) is None


def test_every_unread_suffix_has_advice():
    assert set(UNREAD_SUFFIXES).isdisjoint(FORMATS)
    for description in UNREAD_SUFFIXES.values():
        assert description.startswith(("a ", "an "))
        assert ":" in description or "never read" in description


ERRORS = [
    (MemoryError(), "it needs more memory than there is"),
    (RecursionError("maximum recursion depth"), "it is nested too deeply"),
    (OverflowError("too large"), "a number that is too large"),
    (UnicodeDecodeError("utf-8", b"\xff\xfe", 0, 1, "invalid start byte"), "its text does not fit its encoding"),
    (csv.Error("line contains NUL"), "not valid CSV: line contains NUL"),
    (PermissionError(13, "Permission denied", "/a"), r"\(Permission denied\)"),
    (gzip.BadGzipFile(r"Not a gzipped file (b'\x89P')"), "not gzip data"),
    (KeyError("stars"), "KeyError: 'stars'"),
    (ValueError("odd " + repr(b"\xff'\"" * 999)), r"\(ValueError: odd some bytes\)"),
    (ValueError("x\x1b[2J\n\0" * 99), "ValueError: x"),
    (pa.ArrowInvalid("no footer"), "ArrowInvalid: no footer"),
    (StopIteration(), r"\(StopIteration\)"),
]


@pytest.mark.parametrize(("error", "message"), ERRORS, ids=lambda value: type(value).__name__)
def test_any_error_becomes_one_line(error, message):
    with pytest.raises(UserError, match=message) as raised, readable("a.csv"):
        raise error
    line = str(raised.value)
    assert line.isprintable()
    assert len(line) < 80 + len("a.csv: cannot be read (); is it complete, and its extension correct?") + 1
    assert raised.value.__cause__ is error


def test_the_file_is_named_once_and_an_interrupt_passes():
    for message, shown in [
        ("no column", "a.csv: no column"),
        ("a.csv: no column", "a.csv: no column"),
        ("a.csv, line 3: bad", "a.csv, line 3: bad"),
        ("a.csvs: no column", "a.csv: a.csvs: no column"),
    ]:
        with pytest.raises(UserError) as raised, readable("a.csv"):
            raise UserError(message)
        assert str(raised.value) == shown
    with pytest.raises(KeyboardInterrupt), readable("a.csv"):
        raise KeyboardInterrupt


def test_an_excerpt_is_short_and_printable():
    assert excerpt("a\n\tb\x1b\x00c\ud800") == "a b\ufffd\ufffdc\ufffd"
    assert excerpt("x" * 1000, 10) == "xxxxxxx..."
    assert excerpt("x" * 10, 10) == "x" * 10


@pytest.mark.parametrize(("debug", "traceback"), [("1", True), ("", False), ("0", False)])
def test_the_traceback_and_its_cause_are_shown_on_request(debug, traceback):
    code = """
from src.core.errors import run
from src.formats.sources import readable
def main():
    with readable("a.csv"):
        raise ValueError("the cause")
run(main)
"""
    env = os.environ | {"REVIEWS_DEBUG": debug}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    *before, line = done.stderr.splitlines()
    assert line.startswith("error: a.csv: cannot be read (ValueError: the cause)")
    assert bool(before) == traceback
    assert ("ValueError: the cause" in before) == traceback


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "a.csv").write_bytes(TABLE)
    assert find_files("~/a.csv", "data.path").files == [str(tmp_path / "a.csv")]
    assert find_files("~", "data.path") == ([str(tmp_path / "a.csv")], True)
    assert local_copy("~/a.csv", tmp_path / "other") == tmp_path / "a.csv"
    monkeypatch.chdir(tmp_path)
    Path("~a.csv").write_bytes(TABLE)  # not a user's home folder
    assert find_files("~a.csv", "data.path").files == ["~a.csv"]


ODD_NAMES = ["a b.csv", "a#1.csv", "a%20c.csv", "a?d.csv.gz"]


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_a_store_may_have_odd_names_and_mixed_compression(tmp_path, protocol):
    url = f"{protocol}://{tmp_path}/my #1 %41"
    store, root = fsspec.core.url_to_fs(url)
    store.makedirs(root)
    for name in ODD_NAMES:
        store.pipe_file(f"{root}/{name}", gzip.compress(TABLE) if name.endswith(".gz") else TABLE)
    files = find_files(url, "data.path").files
    assert [file_name(file) for file in files] == sorted(ODD_NAMES)
    for i, file in enumerate(files):
        with open_bytes(local_copy(file, tmp_path / f"copy {i}")) as opened:
            assert opened.read() == TABLE


def test_a_folder_of_mixed_compression(tmp_path):
    for name, content in READ.values():
        (tmp_path / f"{len(list(tmp_path.iterdir()))} {name}").write_bytes(content)
    files = find_files(str(tmp_path), "data.path").files
    assert len(files) == len(READ)
    for file in files:
        with open_bytes(Path(file)) as opened:
            assert opened.read() == TABLE


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/my%20reviews.csv?raw=1#top", "my reviews.csv"),
        ("https://a.org/o/reviews%2Fa.csv?alt=media", "a.csv"),
        ("https://a.org/x/%2e%2e", "download"),
        ("https://a.org/", "download"),
        ("s3://bucket/a#1 %20?.csv", "a#1 %20?.csv"),
        ("/tmp/a%20b.csv", "a%20b.csv"),
    ],
)
def test_the_name_of_a_file_at_a_url(url, name):
    assert file_name(url) == name
