"""Start the service on a socket, and end it so that each request that has arrived is answered."""

import asyncio
import ctypes
import socket
import sys
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI

from src.serving.connections import LINGER, BoundedProtocol, Connections, most_connections

ARRIVAL = 0.3
"""Seconds after the signal to stop in which requests that are on their way can arrive."""
ANSWERS = 4
"""Seconds after that in which requests are answered with predictions; after them, with status 503."""

TICKS = 50
"""Ticks of Uvicorn, which are 0.1 seconds, between two releases of memory."""


class Server(uvicorn.Server):
    """Ends within 8 seconds of SIGTERM. `end_work` is called with the time of the loop when predictions must end."""

    def __init__(self, config: uvicorn.Config, end_work: Callable[[float], None]) -> None:
        super().__init__(config)
        self._end_work = end_work
        self._release = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    async def on_tick(self, counter: int) -> bool:
        """Every 5 seconds, give back to the system what requests have freed; the allocator of glibc would keep it."""
        if counter % TICKS == 0 and self._release:
            self._release(0)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what has arrived, also what the system has accepted but this process has not yet read."""
        await asyncio.sleep(ARRIVAL)
        self._end_work(asyncio.get_running_loop().time() + ANSWERS)
        await super().shutdown(sockets)


def serve(app: FastAPI, sock: socket.socket, connections: int, seconds: int, end_work: Callable[[float], None]) -> None:
    """Answer requests until SIGTERM or Ctrl-C. seconds: how long a client may take for anything."""
    config = uvicorn.Config(
        app,
        http=partial(BoundedProtocol, Connections(most_connections(connections))),  # type: ignore[arg-type]
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=seconds,
        timeout_graceful_shutdown=ANSWERS + LINGER + 1,
    )
    Server(config, end_work).run([sock])
