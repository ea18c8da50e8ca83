"""Find and open the files of a table: local or at a URL, compressed or not, in any encoding."""

import csv
import gzip
import lzma
import math
import re
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from src.core.errors import WRITE_ERRORS, UserError, excerpt, named_errors
from src.core.files import atomic_write, special_kind
from src.formats.archives import find_content, uncompressed_name
from src.formats.bounds import NO_LIMIT, BoundedText, UnpackLimit

WEB = ("http://", "https://")
BYTES = re.compile(r"""\bb(['"])(?:\\.|(?!\1).)*(?:\1|$)""", re.DOTALL)
CheckSize = Callable[[int], None]
"""Refuses a download with this many bytes if it is too large."""
DAMAGE: list[tuple[type[Exception] | tuple[type[Exception], ...], str]] = [
    (MemoryError, "it needs more memory than there is"),
    (RecursionError, "it is nested too deeply"),
    (OverflowError, "it has a number that is too large"),
    (UnicodeError, "its text does not fit its encoding"),
    (EOFError, "it ends too early"),
    (gzip.BadGzipFile, "it is damaged, or not gzip data"),
    ((zlib.error, lzma.LZMAError), "its compressed data is damaged"),
    (zipfile.BadZipFile, "it is damaged, or not a zip archive"),
    (tarfile.TarError, "it is damaged, or not a tar archive"),
]
"""What errors mean whose own words are unclear or contain bytes of the file."""


PROBLEMS = {"a folder": "a folder inside a folder is not read", "nothing": "no such file"}
PROBLEMS["directory"] = PROBLEMS["a folder"]
"""What is wrong with what is no file; stores call a folder a directory."""


class Source(NamedTuple):
    """The files of a table (its partitions), and whether the table is a folder."""

    files: list[str]
    folder: bool


def find_files(location: str, option: str, may_be_empty: bool = False) -> Source:
    """Find the files at a path or URL: one file, or the data files of a folder in the order of their names.

    Raises:
        UserError: there is no such file or folder, or the folder has subfolders, or no files and not `may_be_empty`;
            the message names `option`, the setting that holds the location.
    """
    if location.startswith(WEB):
        return Source([location], folder=False)
    folder, found = _list_store(location) if "://" in location else _list_local(local_path(location))
    kinds = {name: kind for name, kind in found.items() if not folder or is_data_file(file_name(name))}
    for name, kind in kinds.items():
        if kind != "file":
            problem = PROBLEMS.get(kind, f"is {kind}, not a file")
            raise UserError(f"{name}: {problem}; check {option}")
    if not kinds and not may_be_empty:
        raise UserError(f"{location}: no files in this folder; check {option}")
    return Source(sorted(kinds, key=file_name), folder)


def is_data_file(name: str) -> bool:
    """Return whether a file of a folder is data; Spark marks other files by a leading dot or _ in the name."""
    return name[0] not in "._"


def file_name(location: str) -> str:
    """Return the name of a file without its folder or URL."""
    if location.startswith(WEB):
        name = PurePosixPath(unquote(urlsplit(location).path).replace("\0", "")).name
    else:
        name = (PurePosixPath if "://" in location else Path)(location).name
    return "download" if name in ("", "..") else name


def local_path(location: str) -> Path:
    """Return a path with a leading ~ replaced by the home folder, for shells that do not do it."""
    path = Path(location)
    return path.expanduser() if path.parts[:1] == ("~",) else path


def table_name(path: Path, known: Collection[str] = (), limit: UnpackLimit = NO_LIMIT) -> str:
    """Return the name of the table in a file, without the suffixes of compression.

    If that name does not end in a `known` suffix, the name of the archive's member is used, if it has a suffix.
    """
    name = uncompressed_name(path)
    if Path(name).suffix.lower() in known:
        return name
    with readable(path):
        _, member = find_content(path, limit)
    return member if Path(member).suffix else name


def local_copy(
    location: str, folder: Path, timeout: float = 30.0, max_mb: float = math.inf, option: str = "data.url_max_mb"
) -> Path:
    """Return the local path of a file; a URL is downloaded into `folder` first.

    Raises:
        UserError: the download failed, or is too slow or too large; the message names `option`, the setting of max_mb.
    """
    if "://" not in location:
        return local_path(location)
    path = folder / file_name(location)
    with atomic_write(path) as temporary:
        check = partial(_refuse_large, location, max_mb, option)
        (_download if location.startswith(WEB) else _fetch)(location, temporary, timeout, check)
    return path


@contextmanager
def open_bytes(path: Path, limit: UnpackLimit = NO_LIMIT) -> Iterator[IO[bytes]]:
    """Open a file, or the content of a compressed file or of an archive that contains exactly one table.

    Raises:
        UserError: the archive cannot be read, or is larger than the limit, also while it is read; only `readable` adds
            the name of the file.
    """
    open_content, _ = find_content(path, limit)
    with open_content() as file:
        yield file


@contextmanager
def open_text(path: Path, encoding: str, limit: UnpackLimit = NO_LIMIT) -> Iterator[IO[str]]:
    """Open a file as text with its original line ends; bytes that are invalid in the encoding become U+FFFD.

    Of lines that are too long, only the beginning is read.
    """
    with open_bytes(path, limit) as file:
        try:
            text = BoundedText(file, encoding=encoding, errors="replace", newline="")
        except LookupError:
            raise UserError(f"{encoding}: unknown encoding; use auto or a name such as utf-8 or latin-1") from None
        yield text


@contextmanager
def readable(name: object) -> Iterator[None]:
    """Turn any error while a file is read into a UserError that begins with the file's name."""
    try:
        yield
    except UserError as error:
        message = str(error)
        after = message.removeprefix(str(name))
        if after != message and after[:1] in ("", ":", ",", " ", "/"):
            raise
        raise UserError(f"{name}: {message}") from error
    except Exception as error:  # whatever a damaged file causes in one of many libraries
        raise UserError(f"{name}: {not_readable(describe_error(error))}") from error


def not_readable(problem: str) -> str:
    """Return the message for a file that is damaged."""
    return f"cannot be read ({problem}); is it complete, and its extension correct?"


def describe_error(error: Exception) -> str:
    """Return a short description of an error, without bytes of the file."""
    for kinds, description in DAMAGE:
        if isinstance(error, kinds):
            return description
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename and error.errno in WRITE_ERRORS else ""
        return excerpt(place + error.strerror)
    # A quoted key or number says nothing without the kind of error.
    kind = "" if isinstance(error, OSError) else "not valid CSV: " if isinstance(error, csv.Error) else _kind(error)
    return excerpt(kind + BYTES.sub("some bytes", str(error)))


def _kind(error: Exception) -> str:
    return f"{type(error).__name__}: " if str(error) else type(error).__name__


def _list_local(path: Path) -> tuple[bool, dict[str, str]]:
    """Return whether a path is a folder, and the kind of each file there (or of the path itself)."""
    found = list(path.iterdir()) if path.is_dir() else [path]
    return path.is_dir(), {str(each): special_kind(each) or ("file" if each.is_file() else "nothing") for each in found}


def _list_store(url: str) -> tuple[bool, dict[str, str]]:
    with _reachable(url):
        store, path = _open_store(url)
        folder = store.isdir(path)
        infos = store.ls(path, detail=True) if folder else [store.info(path)]
        # Some stores also list the folder itself, as an empty object.
        inside = [info for info in infos if not folder or info["name"].strip("/") != path.strip("/")]
        return folder, {store.unstrip_protocol(info["name"]): info["type"] for info in inside}


def _download(url: str, path: Path, timeout: float, check: CheckSize) -> None:
    try:
        # Browsers also accept an address with spaces or letters beyond ASCII.
        address = quote(url, safe=":/?#[]@!$&'()*+,;=%~")
        with urllib.request.urlopen(address, timeout=timeout) as response, path.open("wb") as file:
            size = int(response.headers.get("Content-Length") or 0)
            check(size)
            while block := response.read(1 << 20):
                check(file.tell() + len(block))
                with named_errors(path):
                    file.write(block)
            if size and file.tell() != size:
                raise UserError(f"{url}: download cut off after {file.tell()} of {size} bytes; try again")
    except (OSError, HTTPException, ValueError) as error:
        if getattr(error, "errno", None) in WRITE_ERRORS:
            raise
        raise UserError(f"{url}: cannot be downloaded ({excerpt(str(error))}); check the address") from error


def _fetch(url: str, target: Path, timeout: float, check: CheckSize) -> None:
    with _reachable(url):
        store, path = _open_store(url)
        check(store.size(path) or 0)
        with store.open(path, "rb") as source, target.open("wb") as file:
            while block := source.read(1 << 20):
                check(file.tell() + len(block))
                file.write(block)


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
        problem = f"cannot be read ({excerpt(str(error))}); check the address and your permissions"
        raise UserError(f"{url}: {problem}") from error


def _refuse_large(url: str, max_mb: float, option: str, size: int) -> None:
    if size > max_mb * 1_000_000:
        raise UserError(f"{url}: larger than {option} ({max_mb} MB); raise it, or download the file yourself")
