"""Open compressed files and archives of one table as streams; nothing is extracted to a path."""

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from src.core.errors import UserError, excerpt

SHORT_NAMES = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz"}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", *SHORT_NAMES)
"""The suffixes of compressed files and archives."""
SYSTEM_FILES = {"__macosx", "thumbs.db", "desktop.ini"}
"""Files and folders that operating systems add to archives, in lower case."""
MAX_LAYERS = 4
"""How often a table may be packed, for example a .gz in a .tar in a .zip."""
MAX_LISTED = 5
DEFLATE64 = 9
ENCRYPTED = 1
"""The bit of a zip member's flags that is set if it is encrypted."""

Opener = Callable[[], AbstractContextManager[IO[bytes]]]


def uncompressed_name(path: Path | str) -> str:
    """Return the name of a file without the suffixes of compression: reviews.csv.tar.gz is reviews.csv."""
    name = Path(path).name
    while (suffix := _suffix(name)) in COMPRESSED:
        name = name[: -len(suffix)]
    return name


def find_content(path: Path) -> tuple[Opener, str]:
    """Return what opens the content of a file, uncompressed, and the name of the content (of an archive: the member's).

    Raises:
        UserError: an archive does not contain exactly one table, is encrypted, or is packed in a way that is not read;
            the message does not name the file.
    """
    open_content: Opener = partial(_open_file, path)
    name = path.name
    for layer in range(MAX_LAYERS + 1):
        suffix = _suffix(name)
        if suffix not in COMPRESSED:
            return open_content, name
        if suffix == ".zip" and layer:
            raise UserError(f"a .zip inside another archive ({excerpt(name)}) is not read; unpack the outer one first")
        open_content, name = _unpack(open_content, name)
    raise UserError(f"compressed more than {MAX_LAYERS} times; unpack it first")


def _open_file(path: Path) -> IO[bytes]:
    return path.open("rb")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _unpack(open_packed: Opener, name: str) -> tuple[Opener, str]:
    """Remove the outermost layer: return what opens the next one, and its name."""
    suffix = _suffix(name)
    stem, full = name[: -len(suffix)], SHORT_NAMES.get(suffix, suffix)
    if full in (".zip", ".tar"):
        open_member, member = (_zip_member if full == ".zip" else _tar_member)(open_packed)
        return open_member, PurePosixPath(member.replace("\\", "/")).name
    inner, _, codec = full.rpartition(".")
    return partial(_decompressed, open_packed, codec), stem + inner


@contextmanager
def _decompressed(open_packed: Opener, codec: str) -> Iterator[IO[bytes]]:
    openers: dict[str, Callable[[IO[bytes]], Any]] = {
        "gz": gzip.open,
        "bz2": bz2.open,
        "xz": lzma.open,
        "zst": _zstandard,
    }
    with open_packed() as packed, openers[codec](packed) as file:
        yield io.BufferedReader(file)


def _zstandard(packed: IO[bytes]) -> Any:
    try:
        import pyarrow as pa  # the service reads no tables, and has no pyarrow
    except ImportError:
        raise UserError(".zst files need pyarrow; pip install -r requirements-predict.txt") from None
    return pa.CompressedInputStream(packed, "zstd")


def _zip_member(open_packed: Opener) -> tuple[Opener, str]:
    with _open_zip(open_packed) as archive:
        infos = [
            info for info in archive.infolist() if not info.is_dir() and not stat.S_ISLNK(info.external_attr >> 16)
        ]
        name = _only_table([info.filename for info in infos])
        info = archive.getinfo(name)
        if info.flag_bits & ENCRYPTED:
            raise UserError("it is encrypted; decrypt it first")
        try:
            archive.open(info).close()
        except NotImplementedError:
            method = "Deflate64" if info.compress_type == DEFLATE64 else f"number {info.compress_type}"
            raise UserError(f"its compression method ({method}) is not supported; compress it again as .gz") from None
    return partial(_open_zip_member, open_packed, name), name


@contextmanager
def _open_zip(open_packed: Opener) -> Iterator[zipfile.ZipFile]:
    with open_packed() as packed, zipfile.ZipFile(packed) as archive:
        yield archive


@contextmanager
def _open_zip_member(open_packed: Opener, name: str) -> Iterator[IO[bytes]]:
    with _open_zip(open_packed) as archive, archive.open(name) as member:
        yield member


def _tar_member(open_packed: Opener) -> tuple[Opener, str]:
    with open_packed() as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        name = _only_table([info.name for info in archive if info.isreg()])
        while packed.read(1 << 20):  # what compressed the archive checks its sum only at the end
            pass
    return partial(_open_tar_member, open_packed, name), name


@contextmanager
def _open_tar_member(open_packed: Opener, name: str) -> Iterator[IO[bytes]]:
    with open_packed() as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
        info = next(info for info in archive if info.name == name and info.isreg())
        member = archive.extractfile(info)
        assert member is not None  # it is a regular file
        yield io.BufferedReader(_Forward(member))


class _Forward(io.RawIOBase):
    """A stream that says that it cannot seek; that of tarfile fails when it is asked."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _only_table(names: list[str]) -> str:
    """Return the only name that is not a system file's."""
    tables = [name for name in names if not _is_system_file(name)]
    if len(tables) != 1:
        shown = ", ".join(excerpt(name, 40) for name in tables[:MAX_LISTED]) + ", ..." * (len(tables) > MAX_LISTED)
        advice = f" (it has {shown}); unpack it into a folder" if tables else ", not a link or a hidden file"
        raise UserError(f"contains {len(tables)} files; it must contain exactly one table{advice}")
    return tables[0]


def _is_system_file(name: str) -> bool:
    parts = [part for part in name.replace("\\", "/").lower().split("/") if part not in ("", ".", "..")]
    return any(part in SYSTEM_FILES or part.startswith(".") for part in parts)
