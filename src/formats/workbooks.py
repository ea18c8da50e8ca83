"""Read the sheets of a spreadsheet as records; another process opens it, so that a hostile file ends only that."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from src.core.errors import UserError
from src.formats.bounds import TOO_LONG
from src.formats.dialects import visible
from src.formats.record_files import FileFormat, Findings, numbers
from src.formats.sources import not_readable
from src.formats.workbook_reader import DAMAGED, HEADER_LINES, MEMORY, USER_ERROR

ROOT = Path(__file__).parents[2]


class _Sheet(NamedTuple):
    """Where the rows of a sheet begin in the file of rows, and the first of them."""

    place: int
    first: list[list[Any]]


class _Part(NamedTuple):
    """A sheet with reviews, the names of its columns, and the number of the row below them."""

    names: list[str]
    sheet: _Sheet
    start: int


class Workbook:
    """The sheets of a spreadsheet with the same columns: their names and rows. A temporary file holds them."""

    separator = ","

    def __init__(self, path: Path, wanted: Sequence[str], file_format: FileFormat) -> None:
        """Read the sheets whose header, below title lines or not, holds the `wanted` columns.

        Raises:
            UserError: the package that reads spreadsheets is missing, there is no row, such sheets have different
                columns, or the file takes too much memory.
        """
        if find_spec("python_calamine") is None:
            problem = "a spreadsheet needs a package: pip install -r requirements-excel.txt, or save it as CSV"
            raise UserError(problem)
        self._rows = NamedTemporaryFile(suffix=".jsonl")  # noqa: SIM115, it is removed with this object
        _write_rows(path, file_format, self._rows)
        sheets = list(self._sheets())
        if not sheets:
            raise UserError("the file is empty")
        if file_format.header:
            found = [_Part(names, sheet, start) for sheet in sheets for names, start in _headers(sheet.first, wanted)]
            # Nothing is wanted where a file is only shown.
            self._parts = (found if wanted else found[:1]) or [_Part(_names(sheets[0].first[0]), sheets[0], 1)]
        else:
            self._parts = [_Part(numbers(len(sheet.first[0])), sheet, 0) for sheet in sheets]
        self.names = self._parts[0].names
        if any(part.names != self.names for part in self._parts):
            raise UserError("its sheets have different columns; save the sheet with the reviews as a file of its own")

    def _sheets(self) -> Iterator[_Sheet]:
        with Path(self._rows.name).open("rb") as file:
            sheet = None
            place = 0
            for line in file:
                place += len(line)
                if not line.startswith((b"[", b"{")):
                    sheet = _Sheet(place, [])
                    yield sheet
                elif sheet and len(sheet.first) < HEADER_LINES:
                    sheet.first.append(_cells(line)[0])

    def rows(self, findings: Findings) -> Iterator[tuple[list[Any], str | None]]:
        """Yield the cells of each row that is not empty, sheet by sheet, and why only its beginning was read."""
        for _, sheet, start in self._parts:
            findings.add_above(sum(map(_is_filled, sheet.first[: start - 1])) if start else 0)
            with Path(self._rows.name).open("rb") as file:
                file.seek(sheet.place)
                for number, line in enumerate(file):
                    if not line.startswith((b"[", b"{")):
                        break
                    cells, problem = _cells(line)
                    if number >= start and _is_filled(cells):
                        yield cells, problem


def _write_rows(path: Path, file_format: FileFormat, target: Any) -> None:
    """Write the rows of a spreadsheet as workbook_reader prints them.

    Raises:
        UserError: it is damaged, or takes too much memory.
    """
    limit = file_format.unpack_limit
    command = [sys.executable, "-m", "src.formats.workbook_reader"]
    arguments = [str(path.resolve()), str(limit.megabytes), limit.option]
    done = subprocess.run([*command, *arguments], cwd=ROOT, stdout=target, stderr=subprocess.PIPE, check=False)
    if not done.returncode:
        return
    message = done.stderr.decode("utf-8", "replace").rstrip("\n").rpartition("\n")[2]
    if done.returncode == USER_ERROR:
        raise UserError(message)
    if done.returncode == DAMAGED:
        raise UserError(not_readable(message))
    raise UserError(f"takes more than {MEMORY >> 20} MB of memory to read; save the sheet as CSV")


def _cells(line: bytes) -> tuple[list[Any], str | None]:
    row = json.loads(line)
    return (row["refused"], TOO_LONG) if isinstance(row, dict) else (row, None)


def _headers(rows: list[list[Any]], wanted: Sequence[str]) -> Iterator[tuple[list[str], int]]:
    """Yield the names in the header of a sheet with the wanted columns, and the number of the row after it."""
    for place, row in enumerate(rows):
        if set(wanted) <= set(names := _names(row)):
            yield names, place + 1
            return


def _names(row: list[Any]) -> list[str]:
    return [visible(str(name)) for name in row]


def _is_filled(row: list[Any]) -> bool:
    return any(cell != "" for cell in row)
