"""Let many tasks of an event loop end in time, and all of them sooner when the program stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf


class Deadlines:
    """Time limits that can all be brought forward. Times are those of the event loop."""

    def __init__(self) -> None:
        self._last = inf
        self._running: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def until(self, deadline: float) -> AsyncIterator[asyncio.Timeout]:
        """Limit a block to a time, or to that of `end_by` if it comes first.

        Raises:
            TimeoutError: the block has not ended in time.
        """
        async with asyncio.timeout_at(min(deadline, self._last)) as timeout:
            self._running.add(timeout)
            try:
                yield timeout
            finally:
                self._running.discard(timeout)

    def end_by(self, deadline: float) -> None:
        """Let every block end by then."""
        self._last = deadline
        for timeout in self._running:
            if not timeout.expired():
                timeout.reschedule(min(timeout.when() or inf, deadline))
