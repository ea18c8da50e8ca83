"""Bounds on what a connection may hold and how long it may take, in number, bytes and seconds; Uvicorn has none."""

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_BYTES = 16_384
HEADERS = 100
LIFETIME = 600
"""Seconds after which a connection takes no further request."""
LINGER = 2
"""Seconds that a connection stays open after its last answer, in which what the client sends is ignored."""
SPARE_FILES = 24
"""Open files that are left for the reading of tables."""


def most_connections(wanted: int) -> int:
    """Return how many connections there may be: as wanted, or as many as the limit on open files allows."""
    if sys.platform == "win32":
        return wanted
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len([*Path("/proc/self/fd").iterdir()]) if sys.platform == "linux" else 32
    return max(1, min(wanted, files - used - SPARE_FILES))


class Connections:
    """The open connections. One address has at most half of them.

    If there is no room for a new one, the one that has waited longest for a request, or for the rest of one, makes
    room: slow clients cannot keep others out.
    """

    def __init__(self, most: int) -> None:
        self._most, self._most_of_address = most, max(1, most // 2)
        self._open: dict[BoundedProtocol, str] = {}  # in the order in which their last request began
        self._counts: Counter[str] = Counter()

    def add(self, protocol: "BoundedProtocol", address: str) -> bool:
        """Take in a connection; return whether there is room for it."""
        if self._counts[address] >= self._most_of_address:
            return self._make_room(address) and self.add(protocol, address)
        if len(self._open) >= self._most:
            [(largest, _)] = self._counts.most_common(1)
            return self._make_room(largest) and self.add(protocol, address)
        self._open[protocol] = address
        self._counts[address] += 1
        return True

    def begin_request(self, protocol: "BoundedProtocol") -> None:
        """Note that a connection is the last that began a request."""
        if protocol in self._open:
            self._open[protocol] = self._open.pop(protocol)

    def discard(self, protocol: "BoundedProtocol") -> None:
        """Note that a connection has ended."""
        address = self._open.pop(protocol, None)
        if address is not None:
            self._counts[address] -= 1
            self._counts += Counter()  # without the addresses that have none

    def _make_room(self, address: str) -> bool:
        for protocol, its_address in self._open.items():
            if its_address == address and protocol.waits_for_client():
                self.discard(protocol)
                protocol.abort()
                return True
        return False


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 for one connection, a request at a time.

    If more than a request has arrived, the answer closes the connection: each waiting request would take memory. So
    does an answer to a request whose body has not arrived in full. A connection ends if the headers exceed HEADERS or
    HEADER_BYTES, or do not arrive within the keep-alive timeout, or if its client takes nothing of an answer for as
    long, or in the first pause after LIFETIME. It logs nothing: clients could fill the log.
    """

    def __init__(self, open_connections: Connections, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._open_connections = open_connections
        self._header_bytes = 0
        self._in_message = False
        self._last = False
        self._finishing = False
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._lifetime: asyncio.TimerHandle | None = None

    def waits_for_client(self) -> bool:
        """Return whether the next thing to happen is up to the client."""
        return self._in_message or self._finishing or not self._answering()

    def abort(self) -> None:
        """End the connection at once."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_FinishedByProtocol(self, transport))  # type: ignore[arg-type]
        if not self._open_connections.add(self, self.client[0] if self.client else ""):
            self.abort()
            return
        self._lifetime = self.loop.call_later(LIFETIME, self._end_soon)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.discard(self)
        for timer in (self._timer, self._write_timer, self._lifetime):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._write_timer = self.loop.call_later(self.timeout_keep_alive, self.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._write_timer:
            self._write_timer.cancel()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._finishing or self._last:
            return
        self._unset_keepalive_if_required()
        if self._timer:
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES + len(data):
                self._refuse()
                return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._last = True  # no other protocol is spoken here
        except httptools.HttpParserError:
            self._refuse()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep a connection open whose client sends no more and waits for an answer."""
        if not self._answering() or self._in_message:
            return None
        self._answer_and_end()
        return True

    def shutdown(self) -> None:
        self.timeout_keep_alive = LINGER
        super().shutdown()

    def on_message_begin(self) -> None:
        if self._answering():
            raise ValueError  # ends the parsing of all that has arrived
        self._in_message = True
        self._open_connections.begin_request(self)
        self._expect_headers()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= HEADERS:
            raise ValueError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_message or self._last:
            self.finish()

    def finish(self) -> None:
        """Close the connection once its client has taken what was written, or after the keep-alive timeout.

        If the client still sends, the connection stays open for LINGER: closing it would take the answer away.
        """
        if self._finishing:
            return
        self._finishing = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        transport = self.transport.transport  # type: ignore[attr-defined]
        taken = transport.get_write_buffer_size() == 0
        self._timer = self.loop.call_later(LINGER if taken else self.timeout_keep_alive, self.abort)
        if (self._in_message or self._last) and not transport.is_closing():
            transport.write_eof()
            transport.resume_reading()
        else:
            transport.close()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _end_soon(self) -> None:
        if not self._answering():
            self.finish()
        elif self._in_message:
            self.cycle.keep_alive = False
        else:
            self._answer_and_end()

    def _answer_and_end(self) -> None:
        self._last = True
        self.cycle.keep_alive = False

    def _refuse(self) -> None:
        """Answer what cannot be read with status 400, or end the answering of requests with the present one."""
        if self._answering() and not self._in_message:
            self._answer_and_end()
            self.flow.pause_reading()
        elif self._answering() and self.cycle.response_started:
            self.abort()
        else:
            self._in_message = True  # so that the rest of it does not take the answer away
            self.send_400_response("Invalid HTTP request received.")
            if self._answering():
                self.cycle.disconnected = True
                self.cycle.message_event.set()

    def _expect_headers(self) -> None:
        self._stop_timer()
        self._header_bytes = 0
        self._timer = self.loop.call_later(self.timeout_keep_alive, self.finish)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


class _FinishedByProtocol:
    """A transport that is closed by `finish`, also where Uvicorn closes it."""

    def __init__(self, protocol: BoundedProtocol, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def close(self) -> None:
        self._protocol.finish()

    def is_closing(self) -> bool:
        return self._protocol._finishing or self.transport.is_closing()
