"""Read an uploaded table in a process of its own: the service bounds it, kills it, and keeps answering meanwhile."""

import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from src.core.errors import UserError
from src.formats.archives import COMPRESSED
from src.formats.cells import read_cells
from src.formats.record_files import FORMATS, FileFormat, require_column
from src.formats.sources import open_bytes, readable, table_name

COLUMNS = 1000
"""Columns of a table, and fields of a row that does not fit it."""
ROW = 100_000
"""Characters of a row; of a longer one, only a part of each field is answered."""
EXCERPT = 100
"""Characters of that part."""
EXPANSION = 5
"""Times the limit of an upload that its content may have, unpacked and as text: a small file can be huge inside."""
MEMORY = 1 << 30
"""Bytes of memory of the process."""
BLOCK = 1 << 20
MESSAGE = 500
"""Characters of a message."""


class Job(NamedTuple):
    """What to read.

    path: the file. name: what messages call it. columns: with the text. required: whether a table without them is
    refused. options: how the file is written, as far as the client says it. rows, size, seconds: limits of the rows, of
    the bytes of the upload, and of the processor time.
    """

    path: str
    name: str
    columns: list[str]
    required: bool
    options: dict[str, str]
    rows: int
    size: int
    seconds: int


def main() -> None:
    """Print the table as JSON lines: the columns, each row, and at the end the number of rows or what was wrong."""
    job = Job(**json.loads(sys.argv[1]))
    limit_process(job)
    report_places_only()
    try:
        for line in read_lines(job):
            _print(line)
    except UserError as error:
        _print({"reason": _message(error, job)})
    except MemoryError:
        _print({"reason": f"{job.name}: takes more than {MEMORY >> 20} MB of memory to read; split it"})
    sys.stdout.buffer.flush()


def limit_process(job: Job) -> None:
    """Bound the memory, the processor time and the files of this process; let the service's threads go first."""
    if sys.platform != "win32":
        import resource

        os.nice(10)
        resource.setrlimit(resource.RLIMIT_CPU, (job.seconds, job.seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * EXPANSION * job.size, 2 * EXPANSION * job.size))
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def report_places_only() -> None:
    """Report the type and the place of an internal error only: all else that libraries print can quote a review."""
    log = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)

    def report(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        print(f"{kind.__name__}\n{''.join(traceback.format_tb(trace))}", file=log, flush=True)

    sys.excepthook = report


def read_lines(job: Job) -> Iterator[dict[str, Any]]:
    """Yield what the service answers, line by line."""
    with readable(job.name):
        path = unpack(Path(job.path), job)
        file_format = FileFormat(**job.options, prefix="the parameter ")  # type: ignore[arg-type]
        table = read_cells(path, file_format, job.columns)
        columns = _find_columns(table.names, job)
        yield {"columns": table.names, "column": columns, "encoding": table.encoding, "separator": table.separator}
        number = characters = 0
        for number, (cells, problem) in enumerate(table.rows, 1):
            if number > job.rows:
                raise UserError(f"more than {job.rows} rows; split it, or use python -m commands.predict")
            if sum(map(len, cells)) > ROW or len(cells) > COLUMNS:
                cells = [cell[:EXCERPT] for cell in cells[:COLUMNS]]
                problem = f"more than {ROW} characters or {COLUMNS} fields; shown here in part"
            characters += sum(map(len, cells))
            if characters > EXPANSION * job.size:
                raise UserError(f"more than {EXPANSION * job.size} characters; split it")
            yield {"cells": cells} | ({"problem": problem} if problem else {})
    yield {"rows": number, "repaired": table.findings.repairs}


def unpack(path: Path, job: Job) -> Path:
    """Return the file itself, or its content in a file beside it; a file that unpacks to far more is refused."""
    if path.suffix.lower() not in COMPRESSED:
        return path
    unpacked = path.with_name(Path(table_name(path, FORMATS)).name)
    with open_bytes(path) as packed, unpacked.open("wb") as file:
        while block := packed.read(BLOCK):
            if file.tell() + len(block) > EXPANSION * job.size:
                raise UserError(f"unpacks to more than {EXPANSION * job.size} bytes; split it")
            file.write(block)
    return unpacked


def _find_columns(names: list[str], job: Job) -> list[str]:
    """Return the columns with the text; none if the table lacks one and the client named none."""
    if len(names) > COLUMNS or sum(map(len, names)) > ROW:
        raise UserError(f"the header has more than {COLUMNS} columns or {ROW} characters; is it a table?")
    for column in job.columns if job.required else []:
        require_column(column, names, "column", header=False)
    return job.columns if all(names.count(column) == 1 for column in job.columns) else []


def _message(error: UserError, job: Job) -> str:
    """Return a message on one line, short, and without the path of the temporary file."""
    text = " ".join(str(error).replace(f"{job.path}: ", "").split())
    return text if len(text) < MESSAGE else f"{text[:MESSAGE]}…"


def _print(line: dict[str, Any]) -> None:
    # A lone surrogate, which JSON can hold, has no bytes in UTF-8.
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    main()
