"""Measure uploads to the service: its memory around ten files, and how long predictions take meanwhile; print a table.

dvc repro export; python -m benchmarks.uploads --seconds 20
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import psutil

from src.serving.app import Limits
from src.serving.predictor import EXPORTED_MODEL

FILES = 10
ROW = b"the app works fine on my tablet and crashes sometimes,5\n"
HEADER = b"content,score\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement; default: 20")
    args = parser.parse_args()
    rows = (Limits().file - len(HEADER)) // len(ROW)
    command = [sys.executable, "-m", "commands.serve", "--port", "0", "--model", args.model, "--rows", str(rows)]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        port = int(process.stdout.readline().rpartition(":")[2])
        try:
            measure(port, psutil.Process(process.pid), HEADER + ROW * rows, args.seconds)
        finally:
            process.terminate()


def measure(port: int, service: psutil.Process, body: bytes, seconds: float) -> None:
    """Print the table; memory in MB, times in ms."""
    print("| uploads at once | requests | median, ms | 99 %, ms | largest, ms | memory of the service, MB |")
    print("|---|---|---|---|---|---|")
    predict(port, 1)
    for number in range(Limits().files + 1):
        with uploading(port, body, number):
            times = predict(port, seconds)
        median, slow = np.quantile(times, [0.5, 0.99])
        memory = service.memory_info().rss / 1e6
        print(
            f"| {number} | {len(times):,} | {median:.1f} | {slow:.1f} | {max(times):.0f} | {memory:.0f} |", flush=True
        )
    start, before = time.perf_counter(), service.memory_info().rss
    for _ in range(FILES):
        upload(port, body)
    took, grown = (time.perf_counter() - start) / FILES, (service.memory_info().rss - before) / 1e6
    print(f"\n{FILES} files of {len(body):,} bytes: {took:.1f} s each, memory of the service {grown:+.1f} MB")


def predict(port: int, seconds: float) -> list[float]:
    """Return how long predictions took, one after another, in ms."""
    connection = HTTPConnection("127.0.0.1", port)
    body, times, end = json.dumps({"reviews": "great app but it crashes"}), [], time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        connection.request("POST", "/predict", body)
        connection.getresponse().read()
        times.append(1000 * (time.perf_counter() - start))
        time.sleep(0.005)
    return times


def upload(port: int, body: bytes) -> None:
    """Send a file and read its rows; wait while the service still ends the uploads of clients that were killed."""
    connection = HTTPConnection("127.0.0.1", port)
    while True:
        connection.request("POST", "/rows?name=a.csv", body)
        response = connection.getresponse()
        if response.status != 429:
            break
        response.read()
        time.sleep(0.1)
    last = b""
    while chunk := response.read(1 << 16):
        last = chunk
    assert b'{"rows":' in last, last


@contextmanager
def uploading(port: int, body: bytes, number: int) -> Iterator[None]:
    """Upload without a pause, in some processes."""
    clients = [multiprocessing.Process(target=upload_forever, args=(port, body)) for _ in range(number)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        for client in clients:
            client.kill()
            client.join()


def upload_forever(port: int, body: bytes) -> None:
    """Upload until killed."""
    while True:
        upload(port, body)


if __name__ == "__main__":
    main()
