"""Find and open the files of a table: local or at a URL, compressed or not, in any encoding."""

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
    """The files of a table (its partitions), and whether the table is a folder."""

    files: list[str]
    folder: bool


def find_files(location: str, option: str) -> Source:
    """Find the files at a path or URL: one file, or the data files of a folder in the order of their names.

    Raises:
        UserError: there is no such file or folder, or the folder has no files or has subfolders; the message names
            `option`, the setting that holds the location.
    """
    if location.startswith(WEB):
        return Source([location], folder=False)
    folder, found = _list_store(location) if "://" in location else _list_local(Path(location))
    kinds = {name: kind for name, kind in found.items() if not folder or is_data_file(file_name(name))}
    for name, kind in kinds.items():
        if kind != "file":
            problem = "a folder inside a folder is not read" if kind == "directory" else "no such file"
            raise UserError(f"{name}: {problem}; check {option}")
    if not kinds:
        raise UserError(f"{location}: no files in this folder; check {option}")
    return Source(sorted(kinds, key=file_name), folder)


def is_data_file(name: str) -> bool:
    """Return whether a file of a folder is data; Spark marks other files by a leading dot or _ in the name."""
    return name[0] not in "._"


def file_name(location: str) -> str:
    """Return the name of a file without its folder or URL."""
    return PurePosixPath(urlsplit(location).path if "://" in location else Path(location).name).name or "download"


def local_copy(location: str, folder: Path, timeout: float = 30.0, max_mb: float = math.inf) -> Path:
    """Return the local path of a file; a URL is downloaded into `folder` first.

    Raises:
        UserError: the download failed, or is too slow or too large.
    """
    if "://" not in location:
        return Path(location)
    path = folder / file_name(location)
    with atomic_write(path) as temporary:
        (_download if location.startswith(WEB) else _fetch)(location, temporary, timeout, max_mb)
    return path


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file, or the content of a .gz or .zip file; a .zip must contain exactly one file."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as file:
            yield io.BufferedReader(file)
    elif path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if len(names) != 1:
                raise UserError(f"{path}: contains {len(names)} files; it must contain exactly one")
            with archive.open(names[0]) as member:
                yield member
    else:
        with path.open("rb") as file:
            yield file


def find_encoding(path: Path) -> str:
    """Return a file's encoding: that of its byte-order mark, else utf-8 if the whole file is valid, else cp1252."""
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
    """Open a file as text with its original line ends; bytes that are invalid in the encoding become U+FFFD."""
    with open_bytes(path) as file:
        try:
            text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
        except LookupError:
            raise UserError(f"{encoding}: unknown encoding; use auto or a name such as utf-8 or latin-1") from None
        yield text


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors that a damaged file causes into a UserError."""
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, pa.ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({error}); is it complete, and its extension correct?") from None


def _list_local(path: Path) -> tuple[bool, dict[str, str]]:
    """Return whether a path is a folder, and the kind of each file there (or of the path itself)."""
    found = list(path.iterdir()) if path.is_dir() else [path]
    return path.is_dir(), {
        str(each): "file" if each.is_file() else "directory" if each.is_dir() else "nothing" for each in found
    }


def _list_store(url: str) -> tuple[bool, dict[str, str]]:
    with _reachable(url):
        store, path = _open_store(url)
        folder = store.isdir(path)
        infos = store.ls(path, detail=True) if folder else [store.info(path)]
        # Some stores also list the folder itself, as an empty object.
        inside = [info for info in infos if not folder or info["name"].strip("/") != path.strip("/")]
        return folder, {store.unstrip_protocol(info["name"]): info["type"] for info in inside}


def _download(url: str, path: Path, timeout: float, max_mb: float) -> None:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response, path.open("wb") as file:
            size = int(response.headers.get("Content-Length") or 0)
            _refuse_large(url, size, max_mb)
            while block := response.read(1 << 20):
                _refuse_large(url, file.tell() + len(block), max_mb)
                file.write(block)
            if size and file.tell() != size:
                raise UserError(f"{url}: download cut off after {file.tell()} of {size} bytes; try again")
    except (OSError, HTTPException) as error:
        raise UserError(f"{url}: cannot be downloaded ({error}); check the address") from None


def _fetch(url: str, target: Path, timeout: float, max_mb: float) -> None:
    with _reachable(url):
        store, path = _open_store(url)
        _refuse_large(url, store.size(path) or 0, max_mb)
        store.get_file(path, str(target))


def _open_store(url: str) -> tuple[Any, str]:
    import fsspec  # takes a tenth of a second, and is not installed where a model is only used

    return fsspec.core.url_to_fs(url)


@contextmanager
def _reachable(url: str) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{url}: {error}; pip install fsspec and its package for this kind of URL") from None
    except Exception as error:  # each kind of store raises its own errors
        raise UserError(f"{url}: cannot be read ({error}); check the address and your permissions") from None


def _refuse_large(url: str, size: int, max_mb: float) -> None:
    if size > max_mb * 1_000_000:
        raise UserError(f"{url}: larger than data.url_max_mb ({max_mb} MB); raise it, or download the file yourself")
