"""Predict the star ratings of reviews over HTTP and on a web page.

python -m commands.serve                                          for this machine only
REVIEWS_TOKEN=... python -m commands.serve --host 0.0.0.0         for every client that sends the token
"""

import argparse
import gc
import os
import socket
from pathlib import Path

from src.core.errors import UserError, run
from src.serving.app import Limits, Service, make_app
from src.serving.predictor import EXPORTED_MODEL, Predictor
from src.serving.server import serve

TOKEN = "REVIEWS_TOKEN"
HELP = {
    "body": "maximum bytes per request body",
    "reviews": "maximum reviews per request",
    "characters": "maximum characters per review",
    "seconds": "maximum seconds per request",
    "queue": "maximum requests that wait for predictions at once",
    "connections": "maximum connections at once, half of them from one address",
    "file": "maximum bytes of a file with a table",
    "file_seconds": "maximum seconds to receive and read a file",
    "rows": "maximum rows per file",
    "files": "maximum files in progress at once",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER", help=f"default: {EXPORTED_MODEL}"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 for any free port")
    for name, default in Limits()._asdict().items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=positive, default=default, help=f"{HELP[name]}; default: {default}")
    args = parser.parse_args()
    limits = Limits(*(getattr(args, name) for name in Limits._fields))
    service = Service(Predictor(args.model), limits, read_token())
    with open_socket(args.host, args.port) as sock:
        # Exempt all objects so far from garbage collection, which delayed 1 response in 100 by 50 ms.
        gc.collect()
        gc.freeze()
        print(f"serve: {address(sock)}", flush=True)
        serve(make_app(service), sock, limits.connections, limits.seconds, service.deadlines.end_by)


def read_token() -> str | None:
    """Return the token that clients must send, or None if the environment has none."""
    token = os.environ.get(TOKEN)
    if token == "":
        raise UserError(f"{TOKEN} is empty; set it to a token, or unset it to serve without one")
    return token


def open_socket(host: str, port: int) -> socket.socket:
    """Bind the socket before the service starts, so that a wrong address is reported in one line."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UserError(f"{host}:{port}: {reason}; choose another address with --host and --port") from None


def address(sock: socket.socket) -> str:
    """Return the URL of the service."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def positive(text: str) -> int:
    """Parse an integer of 1 or more."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


if __name__ == "__main__":
    run(main)
