"""Where a table comes from: a file or a URL, packed or not, in one encoding or another."""

import codecs
import gzip
import io
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO
from urllib.parse import urlsplit

import pyarrow as pa

from src.errors import UserError
from src.params import Data


@contextmanager
def local_copy(location: str, data: Data) -> Iterator[Path]:
    """Give a local path for `location`: itself, or a temporary download of an http(s) URL.

    Raises:
        UserError: the file does not exist, or the download fails, is too slow or too large.
    """
    if not location.startswith(("http://", "https://")):
        path = Path(location)
        if not path.is_file():
            kind = "a folder, not a file" if path.is_dir() else "no such file"
            raise UserError(f"{location}: {kind}; data.path names the table of reviews")
        yield path
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / (PurePosixPath(urlsplit(location).path).name or "download")
        _download(location, path, data)
        yield path


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, or what is packed in a .gz or .zip file; a .zip must hold one file."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as file:
            yield io.BufferedReader(file)
    elif path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if len(names) != 1:
                raise UserError(f"{path}: {len(names)} files inside; one is expected")
            with archive.open(names[0]) as member:
                yield member
    else:
        with path.open("rb") as file:
            yield file


def find_encoding(path: Path) -> str:
    """Find a file's encoding: the byte-order mark's encoding, else utf-8 where the whole file is, else cp1252."""
    with open_bytes(path) as file:
        start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if start.startswith(codecs.BOM_UTF8):
            return "utf-8-sig"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(start)
            while block := file.read(1 << 20):
                decoder.decode(block)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[IO[str]]:
    """Open a file as text, line ends as they are; what the encoding does not know becomes U+FFFD."""
    with open_bytes(path) as file:
        try:
            text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
        except LookupError:
            raise UserError(f"{encoding}: unknown encoding; set data.encoding") from None
        yield text


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what a damaged file does to its reader into a UserError."""
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({error}); is it complete, and what its name says?") from None


def _download(url: str, path: Path, data: Data) -> None:
    limit = data.url_max_mb * 1_000_000
    try:
        with urllib.request.urlopen(url, timeout=data.url_timeout) as answer, path.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            if size > limit:
                raise UserError(f"{url}: {size} bytes; data.url_max_mb allows {limit}")
            while block := answer.read(1 << 20):
                if file.tell() + len(block) > limit:
                    raise UserError(f"{url}: more than data.url_max_mb allows ({limit} bytes)")
                file.write(block)
            if size and file.tell() != size:
                raise UserError(f"{url}: cut off after {file.tell()} of {size} bytes; try again")
    except (OSError, HTTPException) as error:
        raise UserError(f"{url}: cannot be downloaded ({error}); check data.path") from None
