"""Attack the service in ways that one client can, and see what another, polite client and the memory do meanwhile.

dvc repro export; python -m benchmarks.attack --seconds 20

Starts the service itself; nothing leaves this machine. Each attack runs in a process of its own. Prints a table: memory
in MB, response times of the polite client's single reviews, each on a new connection, in ms.
"""

import argparse
import asyncio
import json
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import psutil

from src.serving.predictor import EXPORTED_MODEL
from tests.text.hostile_texts import hostile_text

PAUSE = 0.02
"""Seconds between two polite requests."""
RECOVERY = 15
"""Seconds in which the memory must be back."""
Attack = Callable[[int], Awaitable[None]]


class Seen(NamedTuple):
    """What was seen during an attack: bytes before, at most and after; statuses and seconds of the polite client."""

    before: int
    peak: int
    after: int
    statuses: Counter[int]
    seconds: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=20, help="of each attack; default: 20")
    args = parser.parse_args()
    with serving(args.model) as (port, process):
        print("| attack | memory before | peak | after | polite requests | statuses | median, ms | 99 %, ms |")
        print("|---|---|---|---|---|---|---|---|")
        for name in ATTACKS:
            seen = watch(port, process, name, args.seconds)
            memory = " | ".join(f"{size / 1e6:.0f}" for size in seen[:3])
            statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(seen.statuses.items()))
            median, slow = 1000 * np.quantile(seen.seconds, [0.5, 0.99])
            print(f"| {name} | {memory} | {len(seen.seconds):,} | {statuses} | {median:.0f} | {slow:.0f} |", flush=True)


@contextmanager
def serving(model: Path, *options: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run the service; yield its port and process."""
    command = [sys.executable, "-m", "commands.serve", "--port", "0", "--model", str(model), *options]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline().rpartition(":")[2]), psutil.Process(process.pid)
        finally:
            process.terminate()


def watch(port: int, process: psutil.Process, name: str, seconds: float) -> Seen:
    """Attack for some seconds; ask politely meanwhile, and wait until the memory is back, at most RECOVERY."""
    for _ in range(20):
        ask(port)
    before = peak = process.memory_info().rss
    statuses: Counter[int] = Counter()
    times: list[float] = []
    attacker = multiprocessing.get_context("spawn").Process(target=attack, args=(name, port))
    attacker.start()
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        statuses[ask(port)] += 1
        times.append(time.perf_counter() - start)
        peak = max(peak, process.memory_info().rss)
        time.sleep(PAUSE)
    attacker.kill()
    attacker.join()
    end = time.perf_counter() + RECOVERY
    while process.memory_info().rss > before + 10e6 and time.perf_counter() < end:
        time.sleep(0.5)
    return Seen(before, peak, process.memory_info().rss, statuses, times)


def ask(port: int) -> int:
    """Return the status of the answer to a single review; 0 if there was none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", json.dumps({"reviews": "great app but it crashes"}))
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def attack(name: str, port: int) -> None:
    """Attack until killed."""
    clients, client = ATTACKS[name]

    async def forever(number: int) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await client(port, number)
            await asyncio.sleep(0.01)

    async def run() -> None:
        await asyncio.gather(*map(forever, range(clients)))

    asyncio.run(run())


async def send(port: int, content: bytes, read: bool = True) -> None:
    """Send bytes, then read until the service closes the connection; unless `read`, read nothing."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(content)
        await writer.drain()
        if read:
            while await reader.read(1 << 16):
                pass
        else:
            await asyncio.sleep(60)
    finally:
        writer.close()


async def trickle(port: int, start: bytes, rest: bytes, seconds: float) -> None:
    """Send the start at once and the rest byte by byte."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(start)
        for byte in rest:
            await writer.drain()
            await asyncio.sleep(seconds)
            writer.write(bytes([byte]))
        await reader.read()
    finally:
        writer.close()


def post(body: bytes, length: int = -1, headers: bytes = b"") -> bytes:
    """Return a predict request."""
    size = len(body) if length < 0 else length
    return b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n%b" % (size, headers, body)


def reviews(texts: list[str] | str, explain: bool = False) -> bytes:
    """Return a predict request that closes its connection."""
    body = json.dumps({"reviews": texts, "explain": explain}).encode("utf-8", "replace")
    return post(body, headers=b"Connection: close\r\n")


WORDS = "great app but it crashes when the phone sleeps and support never answers my mail about login".split()
GET = b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
PAGE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def explain(port: int, number: int) -> None:
    random = Random(f"{number}/{time.monotonic_ns()}")
    await send(port, reviews(" ".join(random.choices(WORDS, k=60)), explain=True))


async def long_explain(port: int, number: int) -> None:
    await send(port, reviews(" ".join(f"{word} {number}" for word in WORDS * 90), explain=True))


async def hostile_reviews(port: int, number: int) -> None:
    random = Random(f"{number}/{time.monotonic_ns()}")
    await send(port, reviews([hostile_text(random, 15_000) for _ in range(6)]))


async def many_idle(port: int, number: int) -> None:
    await asyncio.gather(*(trickle(port, b"", b"x" * 30, 1) for _ in range(40)), return_exceptions=True)


ATTACKS: dict[str, tuple[int, Callable[[int, int], Awaitable[None]]]] = {
    "pipelined requests": (4, lambda port, _: send(port, GET * 500_000)),
    "pipelined pages, nothing read": (200, lambda port, _: send(port, PAGE * 1000, read=False)),
    "16,000 headers": (50, lambda port, _: send(port, b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 16_000 + b"\r\n")),
    "one endless header": (50, lambda port, _: send(port, b"GET / HTTP/1.1\r\na: " + b"b" * 3_000_000)),
    "slow headers": (300, lambda port, _: trickle(port, b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 20, 0.5)),
    "slow bodies": (300, lambda port, _: trickle(port, post(b" " * 240_000, 250_000), b" " * 60, 1)),
    "bodies after a refusal": (
        200,
        lambda port, _: trickle(port, post(b"", 10**9).replace(b"predict", b"no"), b" " * 60, 0.2),
    ),
    "too large bodies": (20, lambda port, _: send(port, post(b" " * 5_000_000))),
    "answers that nobody reads": (200, lambda port, _: send(port, reviews(WORDS * 15), read=False)),
    "1,000 connections": (25, many_idle),
    "small explains": (40, explain),
    "long explains": (40, long_explain),
    "large lists": (40, lambda port, _: send(port, reviews([" ".join(WORDS * 3)] * 250))),
    "hostile texts": (20, hostile_reviews),
    "not HTTP": (20, lambda port, _: send(port, b"\x16\x03\x01\x02\x00" * 1000)),
}
"""Clients at once and what each does again and again, with the port and its number."""


if __name__ == "__main__":
    main()
