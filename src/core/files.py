"""Writing that is never half done: everything is written aside and renamed when complete."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from src.core.errors import UserError

if TYPE_CHECKING:  # half a second that most stages need not wait
    import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file or folder to; rename it when the block ends well.

    On any exception what was written aside is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_by_a_killed_run in path.parent.glob(f".{path.name}.*.partial"):
        _remove(left_by_a_killed_run)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        if path.is_dir():
            _remove(path)
        temporary.replace(path)
    finally:
        _remove(temporary)


@contextmanager
def resumable_parts(path: Path, work: str, resume: bool, keep: bool = False, wait: bool = False) -> Iterator[Path]:
    """Give a folder beside `path` for its parts, to one process at a time; it is removed when the block ends.

    A process that was killed or interrupted leaves it behind. With `resume` it is taken up again if it was for the same
    `work`, a name for all that decides what the parts hold. With `keep` an error leaves it behind too.

    Raises:
        UserError: another process is at it, and this one is not to `wait`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.partial")
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise UserError(f"{path}: another process is writing it; wait for it, or name another file") from None
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


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON with sorted keys and a final newline: same value, same bytes."""
    with atomic_write(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table with text in quotes and \\n at its line ends on every platform."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def spreadsheet_safe(cell: Any) -> Any:
    """Put ' before a text that a spreadsheet would run as a formula.

    Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell


def parse_yaml(text: str, name: str) -> Any:
    """Parse YAML text safely: it can only hold plain values, and 1e-3 is a number.

    Raises:
        UserError: the text is not YAML; the message names `name`.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UserError(f"{name}: not valid YAML: {error}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage of this project wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def _remove(path: Path) -> None:
    if path.is_dir():
        # A task of a lost cluster may still write there; what stays is met by whoever needs the place.
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
