"""Uvicorn's HTTP with bounds on the head of a request, which it takes of any size and in any time."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """Ends a connection whose next head is not complete after HEAD_BYTES, or in the time that it may lie idle."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._head = 0
        self._clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._clock:
            self._head += len(data)
            if self._head > HEAD_BYTES + len(data):
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._stop_clock()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._stop_clock()
        self._head = 0
        self._clock = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _stop_clock(self) -> None:
        if self._clock:
            self._clock.cancel()
            self._clock = None
