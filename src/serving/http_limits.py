"""Limits on the size and the duration of HTTP requests, and on clients that take no response; Uvicorn has none."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi import HTTPException
from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection if the next headers exceed HEADER_BYTES or take longer than the keep-alive timeout.

    It also aborts one whose client takes nothing of a response for as long.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._write_timer = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._timer:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES + len(data):
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._expect_headers()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def _expect_headers(self) -> None:
        self._stop_timer()
        self._header_bytes = 0
        self._timer = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()
            self._write_timer = None


async def limited_body(request: Request, limit: int, deadline: float) -> AsyncIterator[bytes]:
    """Yield the body of a request. If it is too large, discard the rest, so that the client receives the error.

    Raises:
        HTTPException: the body is larger than `limit` bytes, or not there at `deadline`, a time of the event loop.
    """
    chunks, size = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise HTTPException(408, "the body did not arrive in time", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise HTTPException(400, "the client disconnected") from None
        if chunk is None:
            break
        size += len(chunk)
        if size <= limit:
            yield chunk
    if size > limit:
        raise HTTPException(413, f"the body is larger than {limit} bytes")
