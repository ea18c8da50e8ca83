"""Answer an uploaded table with its rows, one JSON line each; neither the file nor its rows are held in memory."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from src.formats.record_files import FORMATS
from src.serving.bodies import LATE, limited_body
from src.serving.deadlines import Deadlines

ROOT = Path(__file__).parents[2]
READER = "src.serving.upload_reader"
CHUNK = 65_536
LINE = 1 << 20
"""Bytes of a line of the reader, which bounds the characters of a row."""
LAST_WORDS = 1.0
"""Seconds that a client gets to take the last line after the deadline."""
NAME = 80
"""Characters of a file name that a message shows."""
SUFFIX = 8
"""Characters of an extension that the temporary file keeps."""

QUERY = 8192
"""Bytes of a query, which becomes an argument of the reader."""
OPTIONS: dict[str, dict[str, Any]] = {
    "encoding": {"type": "string", "default": "auto"},
    "format": {"enum": ["auto", *sorted(set(FORMATS.values()))], "default": "auto"},
    "separator": {"type": "string", "default": "auto", "examples": [";"]},
    "quoting": {"enum": ["auto", "double", "none"], "default": "auto"},
}
"""How a file is written, for clients that know it; the reader finds it out otherwise."""
PARAMETERS = [
    {
        "name": "name",
        "in": "query",
        "required": True,
        "description": "The name of the file; its extension tells the format.",
        "schema": {"type": "string", "minLength": 1},
        "example": "reviews.csv",
    },
    {
        "name": "column",
        "in": "query",
        "description": "A column with the text; several are allowed. Default: those of the training table.",
        "schema": {"type": "array", "items": {"type": "string"}},
    },
    *({"name": name, "in": "query", "schema": schema} for name, schema in OPTIONS.items()),
]
"""The query of an upload, for OpenAPI."""


class UploadLimits(NamedTuple):
    """Limits of uploads: bytes, seconds from the start of a request to its end, rows, and uploads at once."""

    size: int
    seconds: int
    rows: int
    at_once: int


class Uploads:
    """Reads the tables that clients send, a few at once."""

    def __init__(self, limits: UploadLimits, columns: list[str], deadlines: Deadlines) -> None:
        """`columns` of a table hold its text where a request names none."""
        self.limits, self.columns, self.deadlines = limits, columns, deadlines
        self._in_progress = 0

    def response(self, request: Request) -> Response:
        """Return the response to a request; it receives the file when it is sent.

        Raises:
            HTTPException: the query is wrong.
        """
        query = request.query_params
        if len(request.scope["query_string"]) > QUERY:
            raise HTTPException(422, f"the query is longer than {QUERY} bytes")
        if unknown := set(query) - {"name", "column", *OPTIONS}:
            raise HTTPException(422, f"{len(unknown)} unknown parameters; known are name, column, {', '.join(OPTIONS)}")
        if len(names := query.getlist("name")) != 1 or not names[0]:
            raise HTTPException(422, "name: give the name of the file, such as ?name=reviews.csv")
        options = {name: query[name] for name in OPTIONS if name in query}
        for name, value in options.items():
            if value not in (allowed := OPTIONS[name].get("enum", [value])):
                raise HTTPException(422, f"{name}: use one of {', '.join(allowed)}")
        if len(separator := options.get("separator", ",")) != 1 and separator != "auto":
            raise HTTPException(422, "separator: use one character, or auto")
        return TableResponse(self, names[0], query.getlist("column"), options)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Count an upload while it lasts; refuse it if there are too many."""
        if self._in_progress >= self.limits.at_once:
            raise HTTPException(429, f"{self.limits.at_once} files are being read; try again", {"Retry-After": "1"})
        self._in_progress += 1
        try:
            yield
        finally:
            self._in_progress -= 1


class TableResponse(Response):
    """Receives a file, has it read by another process and sends its rows as they come."""

    media_type = "application/jsonl"

    def __init__(self, uploads: Uploads, name: str, columns: list[str], options: dict[str, str]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._uploads, self._limits = uploads, uploads.limits
        self._name, self._columns, self._options = name, columns, options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deadline = asyncio.get_running_loop().time() + self._limits.seconds
        with self._uploads.slot(), temporary_folder() as folder:
            path = folder / temporary_name(self._name)
            try:
                async with self._uploads.deadlines.until(deadline):
                    await save(limited_body(Request(scope, receive), self._limits.size), path)
            except TimeoutError:
                raise HTTPException(408, LATE, {"Connection": "close"}) from None
            async with self._reading(path) as process:
                watch = asyncio.create_task(kill_when_disconnected(receive, process))
                try:
                    await self._send_rows(process, send, deadline)
                finally:
                    watch.cancel()

    @asynccontextmanager
    async def _reading(self, path: Path) -> AsyncIterator[Process]:
        """Start the process that reads the file; at the end it is gone, whatever happened."""
        columns = self._columns or self._uploads.columns
        job: dict[str, Any] = {
            "path": str(path),
            "name": shown(self._name),
            "columns": columns,
            "required": bool(self._columns),
        }
        job["options"] = {"kind" if name == "format" else name: value for name, value in self._options.items()}
        limits = {"rows": self._limits.rows, "size": self._limits.size, "seconds": self._limits.seconds}
        # The token is not for it, and threads of libraries would only take address space.
        env = {name: value for name, value in os.environ.items() if name != "REVIEWS_TOKEN"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", READER, json.dumps(job | limits)),
            cwd=ROOT,
            env=env | {"OPENBLAS_NUM_THREADS": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            limit=LINE,
        )
        try:
            yield process
        finally:
            kill(process)
            await process.wait()

    async def _send_rows(self, process: Process, send: Send, deadline: float) -> None:
        """Send what the process prints, whole lines only, so that the last line is always one that says how it ended.

        Reading stops while the client takes nothing: the pipe fills up, and the process waits.
        """
        assert process.stdout
        failure = f"{shown(self._name)}: needs more memory or time than a file may; split it"
        started = False
        try:
            async with self._uploads.deadlines.until(deadline):
                head = await process.stdout.readline()
                if not head.endswith(b"\n") or "reason" in (first := json.loads(head)):
                    raise HTTPException(422, first["reason"] if head.endswith(b"\n") else failure)
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                started = True
                await send(part(head))
                rest = b""
                while chunk := await process.stdout.read(CHUNK):
                    lines, _, rest = (rest + chunk).rpartition(b"\n")
                    if lines:
                        await send(part(lines + b"\n"))
                ended = await process.wait() == 0
        except TimeoutError:
            kill(process)
            failure, ended = f"{shown(self._name)}: not read within {self._limits.seconds} s; split it", False
        if not started:
            raise HTTPException(422, failure)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                last = b"" if ended else json.dumps({"reason": failure}).encode() + b"\n"
                await send(part(last, more=False))


def part(content: bytes, more: bool = True) -> dict[str, Any]:
    """Return the message that sends a part of a response."""
    return {"type": "http.response.body", "body": content, "more_body": more}


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it at the end."""
    try:
        folder = TemporaryDirectory(prefix="review-stars-")
    except OSError:
        raise HTTPException(503, "the service has no folder for temporary files; set TMPDIR to one") from None
    with folder as path:
        yield Path(path)


def temporary_name(name: str) -> str:
    """Return a file name with the extensions of another one and nothing else of it."""
    suffixes = [each for each in Path(name).suffixes[-3:] if each[1:].isalnum() and each.isascii()]
    return "table" + "".join(suffix[: SUFFIX + 1] for suffix in suffixes)


def shown(name: str) -> str:
    """Return a file name as messages show it: without its folder, short, and printable."""
    short = name.replace("\\", "/").rpartition("/")[2][-NAME:]
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in short) or "the file"


async def save(chunks: AsyncIterator[bytes], path: Path) -> None:
    """Write a body to a file, in a thread, since a disk can be slow.

    Raises:
        HTTPException: the body is too large or too slow, or the disk is full.
    """
    try:
        with path.open("wb") as file:
            async for chunk in chunks:
                await asyncio.to_thread(file.write, chunk)
    except OSError as error:
        raise HTTPException(503, f"the service cannot store the file ({error.strerror})") from None


async def kill_when_disconnected(receive: Receive, process: Process) -> None:
    """Kill a process when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    kill(process)


def kill(process: Process) -> None:
    """Kill a process that may have ended."""
    with suppress(ProcessLookupError):
        process.kill()
