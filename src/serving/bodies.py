"""Receive the bodies of requests in bounded memory, so that slow clients do not keep out others."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import HTTPException
from starlette.requests import ClientDisconnect, Request

from src.serving.deadlines import Deadlines

LATE = "the body did not arrive in time"


class Bodies:
    """The bodies that arrive at present; they take at most `most` bytes. If they take more, the oldest is given up."""

    def __init__(self, most: int, deadlines: Deadlines) -> None:
        self._most, self._deadlines = most, deadlines
        self._sizes: dict[asyncio.Timeout, int] = {}  # the oldest first

    async def read(self, request: Request, limit: int, deadline: float) -> bytes:
        """Return the body of a request.

        Raises:
            HTTPException: the body is larger than `limit` bytes, or not there at `deadline`, a time of the event loop,
                or it was given up for others.
        """
        chunks: list[bytes] = []
        try:
            async with self._deadlines.until(deadline) as arrival:
                self._sizes[arrival] = 0
                try:
                    async for chunk in limited_body(request, limit):
                        chunks.append(chunk)
                        self._grow(arrival, len(chunk))
                finally:
                    self._sizes.pop(arrival, None)
        except TimeoutError:
            raise HTTPException(408, LATE, {"Connection": "close"}) from None
        return b"".join(chunks)

    def _grow(self, arrival: asyncio.Timeout, size: int) -> None:
        if arrival in self._sizes:
            self._sizes[arrival] += size
        while sum(self._sizes.values()) > self._most:
            oldest = next(iter(self._sizes))
            del self._sizes[oldest]
            oldest.reschedule(0)


async def limited_body(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body of a request.

    Raises:
        HTTPException: the body is larger than `limit` bytes, or the client disconnected.
    """
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes", {"Connection": "close"})
            yield chunk
    except ClientDisconnect:
        raise HTTPException(400, "the client disconnected") from None
