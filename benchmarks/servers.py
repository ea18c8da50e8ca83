"""Attack and load the same application behind several HTTP servers, each with its own limits; print a table.

dvc repro export; pip install granian==GRANIAN hypercorn==HYPERCORN; apt-get install wrk
python -m benchmarks.servers --seconds 5

A polite client asks beside each attack: its answers other than 200, its 99 % quantile in ms, and the memory in MB.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
from fastapi import FastAPI

from benchmarks.attack import ask, watch
from benchmarks.serving import measure
from commands.serve import open_socket
from src.serving.app import Limits, Service, make_app
from src.serving.predictor import EXPORTED_MODEL, Predictor
from src.serving.server import serve

HOST = "127.0.0.1"
ATTACKS = (
    "pipelined requests",
    "16,000 headers",
    "one endless header",
    "slow bodies",
    "bodies after a refusal",
    "1,000 connections",
)
LIMITS = Limits()


def make() -> FastAPI:
    """Make the application."""
    return make_app(Service(Predictor(EXPORTED_MODEL), LIMITS))


def ours(port: int) -> None:
    """Uvicorn with the connections of this project."""
    service = Service(Predictor(EXPORTED_MODEL), LIMITS)
    serve(make_app(service), open_socket(HOST, port), LIMITS.connections, LIMITS.seconds, service.deadlines.end_by)


def uvicorn_with(http: str) -> Callable[[int], None]:
    """Uvicorn with one of its own parsers and its own limits."""

    def run(port: int) -> None:
        import uvicorn

        limits = {"limit_concurrency": LIMITS.connections, "timeout_keep_alive": LIMITS.seconds}
        uvicorn.run(make(), host=HOST, port=port, http=http, ws="none", log_level="critical", **limits)

    return run


def hypercorn(port: int) -> None:
    """Hypercorn with its own limits."""
    from hypercorn.asyncio import serve as run
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"{HOST}:{port}"]
    config.keep_alive_timeout = config.read_timeout = LIMITS.seconds
    config.h11_max_incomplete_size = 16_384
    config.loglevel = "CRITICAL"
    asyncio.run(run(make(), config))  # type: ignore[arg-type]


def granian(port: int) -> None:
    """Granian with its own limits."""
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.server import Server

    settings = HTTP1Settings(header_read_timeout=1000 * LIMITS.seconds, max_buffer_size=65_536, pipeline_flush=False)
    Server(
        "benchmarks.servers:make", HOST, port, interface=Interfaces.ASGI, factory=True, backpressure=LIMITS.connections,
        http1_settings=settings, log_enabled=False,
    ).serve()  # fmt: skip


SERVERS: dict[str, Callable[[int], None]] = {
    "this project": ours,
    "uvicorn, httptools": uvicorn_with("httptools"),
    "uvicorn, h11": uvicorn_with("h11"),
    "hypercorn": hypercorn,
    "granian": granian,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5, help="of each attack and load; default: 5")
    parser.add_argument("--server", choices=SERVERS, help="be this server, and measure nothing")
    parser.add_argument("--only", nargs="+", choices=SERVERS, default=[*SERVERS], help="default: all")
    parser.add_argument("--port", type=int, default=8765)
    args = parser.parse_args()
    if args.server:
        SERVERS[args.server](args.port)
        return
    print(
        "| server | requests/s | 99 %, ms | " + " | ".join(ATTACKS) + " |\n|---|---|---" + "|---" * len(ATTACKS) + "|"
    )
    texts = pq.read_table("data/evaluate/predictions.parquet").column("text").to_pylist()
    for name in args.only:
        cells = [load(name, args.port, args.seconds, texts), *(one(name, attack, args) for attack in ATTACKS)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


class Running:
    """A server in a process of its own; memory is that of its whole family."""

    def __init__(self, name: str, port: int) -> None:
        command = [sys.executable, "-m", "benchmarks.servers", "--server", name, "--port", str(port)]
        self.process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while ask(port) != 200:
            time.sleep(0.2)

    def family(self) -> list[psutil.Process]:
        """Return the process and its children."""
        return [self.process, *self.process.children(recursive=True)]

    def largest(self) -> psutil.Process:
        """Return the process with the most memory, which is the one that serves."""
        return max(self.family(), key=lambda process: process.memory_info().rss)

    def stop(self) -> None:
        """End it at once."""
        for process in self.family():
            process.kill()
        self.process.wait()


def load(name: str, port: int, seconds: int, texts: list[str]) -> str:
    """Return the cells of 64 clients that ask without a pause."""
    server = Running(name, port)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(f"http://{HOST}:{port}", 64, seconds, Path(folder), texts)
    server.stop()
    return f"{found.speed:,.0f} | {found.slow:.0f}"


def one(name: str, attack: str, args: argparse.Namespace) -> str:
    """Return the cell of an attack."""
    server = Running(name, args.port)
    try:
        seen = watch(args.port, server.largest(), attack, args.seconds)
    except psutil.NoSuchProcess:
        return "ended"
    finally:
        server.stop()
    failed = len(seen.seconds) - seen.statuses[200]
    slow = 1000 * np.quantile(seen.seconds, 0.99)
    memory = " → ".join(f"{size / 1e6:,.0f}" for size in seen[:3])
    return f"{failed} of {len(seen.seconds)}; {slow:,.0f}; {memory}"


if __name__ == "__main__":
    main()
