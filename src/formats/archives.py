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
from src.core.files import require_file
from src.formats.bounds import NO_LIMIT, CountedStream, UnpackLimit

SHORT_NAMES = {".tgz": ".tar.gz", ".tbz2": ".tar.bz2", ".txz": ".tar.xz"}
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", *SHORT_NAMES)
"""The suffixes of compressed files and archives."""
SYSTEM_FILES = {"__macosx", "thumbs.db", "desktop.ini"}
"""Files and folders that operating systems add to archives, in lower case."""
END_OF_ZIP = (1 << 16) + 22
"""Bytes at the end of a zip archive in which the record that ends it begins."""
MAX_LAYERS = 4
"""How often a table may be packed, for example a .gz in a .tar in a .zip."""
MAX_LISTED = 5
BLOCK = 1 << 16
MAX_MEMBERS = 10_000
"""Members of an archive above which it is refused."""
MAX_DIRECTORY = 4 << 20
"""Bytes of the list of the members of a zip archive."""
MAX_HEADER = 1 << 16
"""Bytes of the header of a member of a tar archive, such as a long name."""
MAX_WINDOW = 256 << 20
"""Bytes of memory that unpacking .xz and .zip may take."""
LARGE_WINDOW = f"takes more than {MAX_WINDOW >> 20} MB of memory to unpack; compress it again as .gz"
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


def find_content(path: Path, limit: UnpackLimit = NO_LIMIT) -> tuple[Opener, str]:
    """Return what opens the content of a file, uncompressed, and the name of the content (of an archive: the member's).

    Raises:
        UserError: an archive does not contain exactly one table, is encrypted, or is packed in a way that is not read,
            or the content is larger than the limit, also while it is read; the message does not name the file.
    """
    open_content: Opener = partial(_open_file, path)
    name = path.name
    for layer in range(MAX_LAYERS + 1):
        suffix = _suffix(name)
        if suffix not in COMPRESSED:
            return open_content, name
        if suffix == ".zip" and layer:
            raise UserError(f"a .zip inside another archive ({excerpt(name)}) is not read; unpack the outer one first")
        open_content, name = _unpack(open_content, name, limit)
    raise UserError(f"compressed more than {MAX_LAYERS} times; unpack it first")


def _open_file(path: Path) -> IO[bytes]:
    require_file(path)
    return path.open("rb")


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _unpack(open_packed: Opener, name: str, limit: UnpackLimit) -> tuple[Opener, str]:
    """Remove the outermost layer: return what opens the next one, and its name."""
    suffix = _suffix(name)
    stem, full = name[: -len(suffix)], SHORT_NAMES.get(suffix, suffix)
    if full in (".zip", ".tar"):
        open_member, member = (_zip_member if full == ".zip" else _tar_member)(open_packed)
        return partial(_counted, open_member, limit), PurePosixPath(member.replace("\\", "/")).name
    inner, _, codec = full.rpartition(".")
    return partial(_counted, partial(_decompressed, open_packed, codec), limit), stem + inner


@contextmanager
def _counted(open_unpacked: Opener, limit: UnpackLimit) -> Iterator[IO[bytes]]:
    with open_unpacked() as file:
        yield io.BufferedReader(CountedStream(file, limit))


@contextmanager
def _decompressed(open_packed: Opener, codec: str) -> Iterator[IO[bytes]]:
    openers: dict[str, Callable[[IO[bytes]], Any]] = {
        "gz": gzip.open,
        "bz2": bz2.open,
        "xz": _Xz,
        "zst": _zstandard,
    }
    with open_packed() as packed, openers[codec](packed) as file:
        yield file


class _Xz(io.RawIOBase):
    """Unpacks .xz in bounded memory; lzma.open lets a file ask for gigabytes."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed, self._unread = packed, b""
        self._decompressor: lzma.LZMADecompressor | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._decompressor is None or self._decompressor.eof:
                if not self._find_stream():
                    if self._decompressor is None:
                        raise EOFError
                    return 0
                self._decompressor = lzma.LZMADecompressor(memlimit=MAX_WINDOW)
            elif self._decompressor.needs_input:
                self._unread = self._packed.read(BLOCK)
                if not self._unread:
                    raise EOFError
            try:
                block, self._unread = self._decompressor.decompress(self._unread, len(buffer)), b""
            except lzma.LZMAError as error:
                raise UserError(LARGE_WINDOW) if "limit" in str(error) else error from None
            if block:
                buffer[: len(block)] = block
                return len(block)

    def _find_stream(self) -> bool:
        """Go to the next stream; tell whether there is one. Zeros may stand between two."""
        self._unread = self._decompressor.unused_data.lstrip(b"\0") if self._decompressor else b""
        while not self._unread:
            if not (block := self._packed.read(BLOCK)):
                return False
            self._unread = block.lstrip(b"\0") if self._decompressor else block
        return True


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
        if info.compress_type == zipfile.ZIP_LZMA and _lzma_window(archive, info) > MAX_WINDOW:
            raise UserError(LARGE_WINDOW)
        try:
            archive.open(info).close()
        except NotImplementedError:
            method = "Deflate64" if info.compress_type == DEFLATE64 else f"number {info.compress_type}"
            raise UserError(f"its compression method ({method}) is not supported; compress it again as .gz") from None
    return partial(_open_zip_member, open_packed, name), name


def _lzma_window(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Return the bytes of memory that unpacking a member takes, from the header of its data."""
    file = archive.fp
    assert file is not None  # the archive is open
    file.seek(info.header_offset + 26)
    lengths = file.read(4)
    file.seek(sum(int.from_bytes(lengths[place : place + 2], "little") for place in (0, 2)) + 5, io.SEEK_CUR)
    return int.from_bytes(file.read(4), "little")


@contextmanager
def _open_zip(open_packed: Opener) -> Iterator[zipfile.ZipFile]:
    with open_packed() as packed:
        _check_directory(packed)
        with zipfile.ZipFile(packed) as archive:
            yield archive


def _check_directory(packed: IO[bytes]) -> None:
    """Refuse a zip archive with too long a list of members, which zipfile would hold in memory."""
    size = packed.seek(0, io.SEEK_END)
    packed.seek(max(0, size - END_OF_ZIP))
    end = packed.read()
    place = len(end) - 22 if end[-22:-18] == b"PK\5\6" and end.endswith(b"\0\0") else end.rfind(b"PK\5\6")
    length = int.from_bytes(end[place + 12 : place + 16], "little") if place >= 0 else 0
    large = end.rfind(b"PK\6\6", 0, max(place, 0))
    if large >= 0:
        length = int.from_bytes(end[large + 40 : large + 48], "little")
    if length > MAX_DIRECTORY:
        raise UserError(f"contains more than {MAX_MEMBERS} files; it must contain exactly one table")
    packed.seek(0)


@contextmanager
def _open_zip_member(open_packed: Opener, name: str) -> Iterator[IO[bytes]]:
    with _open_zip(open_packed) as archive, archive.open(name) as member:
        yield member


def _tar_member(open_packed: Opener) -> tuple[Opener, str]:
    with open_packed() as packed, _open_tar(packed) as archive:
        names = []
        for number, info in enumerate(archive):
            if number >= MAX_MEMBERS:
                raise UserError(f"contains more than {MAX_MEMBERS} files; it must contain exactly one table")
            names += [info.name] if info.isreg() else []
        name = _only_table(names)
        while packed.read(1 << 20):  # what compressed the archive checks its sum only at the end
            pass
    return partial(_open_tar_member, open_packed, name), name


@contextmanager
def _open_tar_member(open_packed: Opener, name: str) -> Iterator[IO[bytes]]:
    with open_packed() as packed, _open_tar(packed) as archive:
        info = next(info for info in archive if info.name == name and info.isreg())
        member = archive.extractfile(info)
        assert member is not None  # it is a regular file
        yield io.BufferedReader(_Forward(member))


class _TarInfo(tarfile.TarInfo):
    """The header of a member, if it is not too large to be held in memory."""

    LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_TarInfo":
        info = super().frombuf(buf, encoding, errors)
        if info.type in (*cls.LONG, tarfile.SOLARIS_XHDTYPE) and info.size > MAX_HEADER:
            raise UserError("it is a tar archive with too long a name of a file; pack the table again")
        return info


def _open_tar(packed: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=packed, mode="r|", tarinfo=_TarInfo)


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
