"""Where a table comes from: files or URLs, packed or not, in one encoding or another."""

import codecs
import gzip
import io
import math
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from src.core.errors import UserError
from src.core.files import atomic_write

WEB = ("http://", "https://")


class Source(NamedTuple):
    """The files of a table, each of them a partition, and whether they lie in a folder."""

    files: list[str]
    folder: bool


def find_files(location: str, option: str) -> Source:
    """Find what lies at a path or URL: a file, or a folder's files in the order of their names.

    Those that begin with a dot or _ are left out: Spark marks so what is no data.

    Raises:
        UserError: there is nothing, or no file in it; `option` is what names the place.
    """
    if location.startswith(WEB):
        return Source([location], folder=False)
    folder, found = _listed_store(location) if "://" in location else _listed(Path(location))
    kinds = {name: kind for name, kind in found.items() if not folder or is_data_file(file_name(name))}
    for name, kind in kinds.items():
        if kind != "file":
            problem = "a folder, whose files are not looked for" if kind == "directory" else "no such file"
            raise UserError(f"{name}: {problem}; {option} names the table of reviews")
    if not kinds:
        raise UserError(f"{location}: no file in it; {option} names the table of reviews")
    return Source(sorted(kinds, key=file_name), folder)


def is_data_file(name: str) -> bool:
    """Tell whether a file of a folder holds data: Spark marks others by a dot or _ before the name."""
    return name[0] not in "._"


def file_name(location: str) -> str:
    """The name of a file without the folder or URL before it."""
    return PurePosixPath(urlsplit(location).path if "://" in location else Path(location).name).name or "download"


def local_copy(location: str, folder: Path, timeout: float = 30.0, max_mb: float = math.inf) -> Path:
    """Give a local path for a file: its own, or that of a download of its URL into a folder.

    Raises:
        UserError: the download fails, is too slow or too large.
    """
    if "://" not in location:
        return Path(location)
    path = folder / file_name(location)
    with atomic_write(path) as temporary:
        (_download if location.startswith(WEB) else _fetch)(location, temporary, timeout, max_mb)
    return path


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


def _listed(place: Path) -> tuple[bool, dict[str, str]]:
    """Tell whether a place is a folder, and the kinds of what is there."""
    paths = list(place.iterdir()) if place.is_dir() else [place]
    return place.is_dir(), {
        str(path): "file" if path.is_file() else "directory" if path.is_dir() else "nothing" for path in paths
    }


def _listed_store(url: str) -> tuple[bool, dict[str, str]]:
    with _reachable(url):
        system, place = _open_store(url)
        folder = system.isdir(place)
        infos = system.ls(place, detail=True) if folder else [system.info(place)]
        # Some stores list an empty object that stands for the folder itself.
        inside = [info for info in infos if not folder or info["name"].strip("/") != place.strip("/")]
        return folder, {system.unstrip_protocol(info["name"]): info["type"] for info in inside}


def _download(url: str, path: Path, timeout: float, max_mb: float) -> None:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer, path.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            _refuse_large(url, size, max_mb)
            while block := answer.read(1 << 20):
                _refuse_large(url, file.tell() + len(block), max_mb)
                file.write(block)
            if size and file.tell() != size:
                raise UserError(f"{url}: cut off after {file.tell()} of {size} bytes; try again")
    except (OSError, HTTPException) as error:
        raise UserError(f"{url}: cannot be downloaded ({error}); check the address") from None


def _fetch(url: str, path: Path, timeout: float, max_mb: float) -> None:
    with _reachable(url):
        system, place = _open_store(url)
        _refuse_large(url, system.size(place) or 0, max_mb)
        system.get_file(place, str(path))


def _open_store(url: str) -> tuple[Any, str]:
    import fsspec  # a tenth of a second, and not there where a model is only used

    return fsspec.core.url_to_fs(url)


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{url}: {error}; pip install fsspec and its package for this kind of URL") from None
    except Exception as error:  # each kind of store has errors of its own
        raise UserError(f"{url}: cannot be read ({error}); check the address and what may read it") from None


def _refuse_large(url: str, size: int, max_mb: float) -> None:
    if size > max_mb * 1_000_000:
        raise UserError(f"{url}: more than data.url_max_mb allows ({max_mb} MB)")
