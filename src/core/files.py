"""Read and write files. Every output is written under a temporary name and renamed when it is complete."""

import csv
import io
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from src.core.errors import UserError, named_errors
from src.core.spreadsheets import escape_formula

if TYPE_CHECKING:  # some stages choose the kernels of NumPy before it is imported; pandas takes half a second
    import numpy as np
    import pandas as pd

KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
"""What a path can be beside a file."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path` for a file or folder; rename it to `path` when the block succeeds.

    If the block raises an exception, the temporary file is removed and `path` is unchanged. A full disk is reported
    with the path. A link is replaced by the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{path.name}.*.partial"):  # of a killed run
        _remove(leftover)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with named_errors(path):
            yield temporary
            if path.is_dir():
                _remove(path)
            temporary.replace(path)
    finally:
        _remove(temporary)


@contextmanager
def resumable_parts(path: Path, work: str, resume: bool, keep: bool = False, wait: bool = False) -> Iterator[Path]:
    """Yield a locked folder next to `path` for the parts of an output; remove it when the block ends.

    If the process is killed or interrupted, the folder stays. With `resume`, the next run reuses it if it was made for
    the same `work`, a string that identifies everything the parts depend on. With `keep`, it also stays after an error.

    Raises:
        UserError: another process holds the folder, and `wait` is false.
    """
    from filelock import FileLock, Timeout  # not a requirement of the service, which writes no file

    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.partial")
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise UserError(f"{path}: another process is writing it; wait until it ends, or choose another name") from None
    try:
        label = folder / "work"
        if not (resume and label.exists() and label.read_text(encoding="utf-8") == work):
            _remove(folder)
            folder.mkdir()
            label.write_text(work, encoding="utf-8")
        try:
            yield folder
        except Exception:
            if not keep:
                _remove(folder)
            raise
        _remove(folder)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def special_kind(path: Path) -> str | None:
    """Return what a path is that is no file: a folder, a named pipe, a socket or a device; None if it is a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return next((kind for test, kind in KINDS if test(mode)), None)


def require_file(path: Path) -> None:
    """Refuse a path that is no file: to open a named pipe would wait for ever, and a device may never end."""
    if kind := special_kind(path):
        raise UserError(f"{path}: is {kind}, not a file")


def file_state(path: Path) -> tuple[int, ...]:
    """Return what is different after a file was changed or replaced."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON with sorted keys and a final newline: equal values give equal bytes."""
    with atomic_write(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table with quoted text and \\n as the line end on every platform; texts never run as formulas."""
    texts = {name: values.map(escape_formula) for name, values in table.items() if values.dtype.kind not in "biuf"}
    safe = table.assign(**texts).rename(columns=escape_formula)
    with atomic_write(path) as temporary:
        safe.to_csv(temporary, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def parse_yaml(text: str, name: str) -> Any:
    """Parse YAML text into plain values only; 1e-3 is a number.

    Raises:
        UserError: the text is not YAML; the message starts with `name` and contains the line.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{name}: not valid YAML: {error.problem}, line {line}") from None
    except YAMLError as error:
        raise UserError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage of this project wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def _remove(path: Path) -> None:
    if path.is_dir():
        # A task of a lost cluster may still be writing here. If files remain, the next write to this path fails.
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_array(path: Path, values: "np.ndarray") -> None:
    """Write an array as .npy; the error names the path if the disk is full, which np.save does not."""
    import numpy as np

    packed = io.BytesIO()
    np.save(packed, values, allow_pickle=False)
    with atomic_write(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def read_array(path: Path) -> "np.ndarray":
    """Memory-map an array."""
    import numpy as np

    return np.load(path, mmap_mode="r", allow_pickle=False)
