"""Print the rows of a spreadsheet as JSON lines, in a process whose memory is bounded.

A file of some hundred bytes can ask for a table of 17 thousand million cells, and the library that reads spreadsheets
then ends the process. A line is a row, or the name of the sheet whose rows follow.
"""

import io
import json
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from src.core.errors import UserError
from src.formats.bounds import LONGEST_LINE, UnpackLimit
from src.formats.sources import describe_error, open_bytes

MEMORY = 1 << 30
"""Bytes of memory of this process."""
HEADER_LINES = 30
"""Rows, below the first that is not empty, that are printed even if they are empty."""
USER_ERROR, DAMAGED, NO_MEMORY = 2, 3, 4
"""Exit codes."""


def main() -> None:
    """Print the file argv[1], which may unpack to argv[2] megabytes, as the setting argv[3] says."""
    limit_memory()
    try:
        for line in read_lines(Path(sys.argv[1]), UnpackLimit(float(sys.argv[2]), sys.argv[3])):
            sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except UserError as error:
        end(USER_ERROR, str(error))
    except MemoryError:
        end(NO_MEMORY, "")
    except Exception as error:  # whatever a damaged file causes
        end(DAMAGED, describe_error(error))
    except BaseException as error:  # a failure inside the library is no Exception
        end(DAMAGED, type(error).__name__)


def limit_memory() -> None:
    """Let the memory of this process end at MEMORY."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def end(code: int, message: str) -> None:
    """End with an exit code and a last line of standard error."""
    print(f"\n{message}", file=sys.stderr, flush=True)
    sys.exit(code)


def read_lines(path: Path, limit: UnpackLimit) -> Iterator[Any]:
    """Yield the name of each sheet that is not empty, and its rows from the first that is not empty."""
    from python_calamine import CalamineWorkbook

    with open_bytes(path, limit) as file:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(file.read()))
    for name in workbook.sheet_names:
        number = 0
        for row in workbook.get_sheet_by_name(name).iter_rows():
            filled = any(cell != "" for cell in row)
            if filled and not number:
                yield name
            if filled or 0 < number < HEADER_LINES:
                yield shortened(list(map(shown, row)))
            number += filled or number > 0


def shown(value: Any) -> Any:
    """Return a cell as it is shown: 5, not 5.0; times as ISO text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, date):
        return value.isoformat(*([" "] if isinstance(value, datetime) else []))
    return value if value is None or isinstance(value, str | int | float) else str(value)


def shortened(cells: list[Any]) -> Any:
    """Return the cells of a row, or a dictionary with the beginning of one that is too long."""
    room = LONGEST_LINE
    if sum(len(cell) for cell in cells if isinstance(cell, str)) <= room:
        return cells
    kept = []
    for cell in cells:
        kept.append(cell[:room] if isinstance(cell, str) else cell)
        room -= len(kept[-1]) if isinstance(cell, str) else 0
    return {"refused": kept}


if __name__ == "__main__":
    main()
