"""Feed random hostile input to what reads the input of strangers, for as long as you like; every finding ends it.

python -m benchmarks.fuzz text --seconds 3600 --seed 1     cleaning, comparison and detection of texts
python -m benchmarks.fuzz files --seconds 3600 --seed 1    the reading of tables
dvc repro export; python -m benchmarks.fuzz http --seconds 3600 --seed 1     the HTTP front of the service

A finding is an error, more than 0.1 s of CPU time for a text or 10 s for a file, 1 GB of memory, an answer of status
500, or a service that does not answer. The seed of the input is printed.
"""

import argparse
import json
import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks.attack import ask, serving
from src.core.errors import UserError
from src.core.params import read_params
from src.core.schema import letters_and_digits, normalised_text
from src.formats.cells import read_cells
from src.formats.record_files import FileFormat
from src.formats.sources import readable
from src.serving.predictor import EXPORTED_MODEL
from src.text.cleaning import make_cleaner
from src.text.languages import SUPPORTED, detect
from src.text.stop_words import find_stop_words
from tests.formats.hostile import hostile_file
from tests.text.hostile_texts import UNITS, hostile_text

LONGEST = 20_000
MOST_SECONDS = 0.1
MOST_SECONDS_OF_A_FILE = 10
PIECES = (
    *(
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"PUT ",
        b"/predict",
        b"/rows?name=a.csv",
        b"/",
        b"/metrics",
        b" HTTP/1.1",
        b" HTTP/1.0",
    ),
    *(
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b": ",
        b"Host: x",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
    ),
    *(
        b"Connection: close",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Content-Length: 20",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
    ),
    *(
        b'{"reviews": "good"}',
        b'{"reviews": ["good", null, ""]}',
        b'"explain": true',
        b"\\ud800",
        b"[[[[",
        b"\xff",
        b"\0",
        b"7",
        b"a" * 5000,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60, help="default: 60")
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    args = parser.parse_args()
    print(f"fuzz: {TARGETS[args.target](args.seconds, args.seed)}, no finding")


def fuzz_text(seconds: float, seed: int) -> str:
    """Clean, compare and detect hostile texts."""
    settings = read_params(Path("params.yaml")).clean
    languages = sorted(SUPPORTED)
    number, end, slowest = 0, time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        number += 1
        random = Random(f"{seed}/{number}")
        language = random.choice(languages)
        cleaners = [make_cleaner(language, settings, find_stop_words(language)) for _ in range(2)]
        text = hostile_text(random, random.randint(1, LONGEST))
        try:
            taken = min(cpu_seconds(clean, text) for clean in cleaners)
            letters_and_digits(normalised_text(text))
            detect([text])
        except Exception as error:
            raise SystemExit(f"fuzz: finding: seed {seed}/{number}, {language}: {error!r}") from error
        if taken > MOST_SECONDS:
            raise SystemExit(f"fuzz: finding: seed {seed}/{number}, {language}: {taken:.2f} s")
        slowest = max(slowest, taken)
    return f"{number:,} texts, the slowest took {slowest:.3f} s"


def cpu_seconds(clean: Callable[[str], str], text: str) -> float:
    """Return the CPU time of cleaning a text."""
    clean("loading the stemmer")
    start = time.process_time()
    clean(text)
    return time.process_time() - start


def fuzz_files(seconds: float, seed: int) -> str:
    """Read hostile files; each is read to its end or refused by a message."""
    number, end, slowest, refused = 0, time.monotonic() + seconds, 0.0, 0
    with TemporaryDirectory() as folder:
        while time.monotonic() < end:
            number += 1
            name, content = hostile_file(Random(f"{seed}/{number}"))
            path = Path(folder) / name
            path.write_bytes(content)
            start = time.process_time()
            try:
                with readable(path):
                    for _ in read_cells(path, FileFormat(max_unpacked_mb=100), ["content"]).rows:
                        pass
            except UserError:
                refused += 1
            except Exception as error:
                raise SystemExit(f"fuzz: finding: seed {seed}/{number}, {name}: {error!r}") from error
            slowest = max(slowest, time.process_time() - start)
            path.unlink()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            if slowest > MOST_SECONDS_OF_A_FILE or memory > 1:
                raise SystemExit(f"fuzz: finding: seed {seed}/{number}, {name}: {slowest:.1f} s, {memory:.1f} GB")
    return f"{number:,} files, {refused:,} of them refused, the slowest took {slowest:.1f} s, at most {memory:.2f} GB"


def fuzz_http(seconds: float, seed: int) -> str:
    """Send random bytes to the service; in between, a polite request must be answered."""
    number, end, answered = 0, time.monotonic() + seconds, 0
    with serving(EXPORTED_MODEL) as (port, _):
        while time.monotonic() < end:
            number += 1
            answer = send(port, random_request(Random(f"{seed}/{number}")))
            answered += answer.startswith(b"HTTP/1.1 ")
            if b" 500 " in answer[:16] or (number % 20 == 0 and ask(port) != 200):
                raise SystemExit(f"fuzz: finding: seed {seed}/{number}: {answer[:200]!r}")
    return f"{number:,} requests, {answered:,} of them answered"


def random_request(random: Random) -> bytes:
    """Draw the bytes of a request: pieces of HTTP in any order, or a hostile body, some bytes changed."""
    if random.random() < 0.5:
        return b"".join(random.choices(PIECES, k=random.randint(1, 30)))
    texts = [hostile_text(random, random.randint(1, 500)) for _ in range(random.randint(1, 3))]
    body = json.dumps({"reviews": texts, random.choice(["explain", *UNITS]): random.random() < 0.5}).encode()
    content = bytearray(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    for _ in range(random.randint(0, 5)):
        content[random.randrange(len(content))] = random.randrange(256)
    return bytes(content)


def send(port: int, content: bytes) -> bytes:
    """Send bytes, some of them after the rest was taken, and return the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock, suppress(OSError):
        sock.sendall(content)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))
    return b""


TARGETS: dict[str, Callable[[float, int], str]] = {"text": fuzz_text, "files": fuzz_files, "http": fuzz_http}


if __name__ == "__main__":
    main()
