"""Writing that is never half done: everything is written aside and renamed when complete."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # half a second that most stages need not wait
    import pandas as pd

FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write a file or folder to; rename it when the block ends well.

    On any exception what was written aside is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_by_a_killed_run in path.parent.glob(f".{path.name}.*.partial"):
        _remove(left_by_a_killed_run)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield aside
        if path.is_dir():
            _remove(path)
        aside.replace(path)
    finally:
        _remove(aside)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON with sorted keys and a final newline: same value, same bytes."""
    with replacing(path) as aside:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        aside.write_text(text + "\n", encoding="utf-8", newline="\n")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write a table with text in quotes and \\n at its line ends on every platform."""
    with replacing(path) as aside:
        table.to_csv(aside, index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")


def spreadsheet_safe(cell: Any) -> Any:
    """Put ' before a text that a spreadsheet would run as a formula.

    Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell


def read_json(path: Path) -> Any:
    """Read a JSON file that a stage of this project wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
