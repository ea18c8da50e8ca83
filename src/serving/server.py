"""Start the service on a socket, and end it so that each request that has arrived is answered."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI

from src.serving.connections import BoundedProtocol, Connections, most_connections

ARRIVAL = 0.3
"""Seconds after the signal to stop in which requests that are on their way can arrive."""
ANSWERS = 5
"""Seconds after that in which requests are answered with predictions; after them, with status 503."""


class Server(uvicorn.Server):
    """Ends within 8 seconds of SIGTERM. `end_work` is called with the time of the loop when predictions must end."""

    def __init__(self, config: uvicorn.Config, end_work: Callable[[float], None]) -> None:
        super().__init__(config)
        self._end_work = end_work

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
        timeout_graceful_shutdown=ANSWERS + 1,
    )
    Server(config, end_work).run([sock])
