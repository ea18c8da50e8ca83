"""Say the stars of reviews over HTTP, and on a page to try it on.

python -m commands.serve
REVIEWS_TOKEN=... python -m commands.serve --host 0.0.0.0        others may ask too, if they know the token
"""

import argparse
import gc
import os
import socket
from pathlib import Path

import uvicorn

from src.core.errors import UserError, run
from src.serving.app import Limits, make_app
from src.serving.http_limits import BoundedProtocol
from src.serving.predictor import EXPORTED_MODEL, Predictor

TOKEN = "REVIEWS_TOKEN"
HELP = {
    "body": "bytes of a request's body",
    "reviews": "reviews of a request",
    "letters": "letters of a review",
    "seconds": "seconds that a request may take",
    "queue": "requests at once",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", type=Path, default=EXPORTED_MODEL, metavar="FOLDER", help=f"default: {EXPORTED_MODEL}"
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine alone")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000; 0 for any that is free")
    for name, default in Limits()._asdict().items():
        parser.add_argument(f"--{name}", type=positive, default=default, help=f"most {HELP[name]}; default: {default}")
    given = parser.parse_args()
    limits = Limits(*(getattr(given, name) for name in Limits._fields))
    app = make_app(Predictor(given.model), limits, read_token())
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.seconds,
        timeout_graceful_shutdown=limits.seconds + 1,
    )
    with listening(given.host, given.port) as sock:
        # What is there by now stays: looking through all of it again and again held up 1 of 100 answers for 50 ms.
        gc.collect()
        gc.freeze()
        print(f"serve: {address(sock)}", flush=True)
        uvicorn.Server(config).run([sock])


def read_token() -> str | None:
    """The token that clients must show, if the environment has one."""
    token = os.environ.get(TOKEN)
    if token == "":
        raise UserError(f"{TOKEN} is empty; give it a value, or unset it to serve without")
    return token


def listening(host: str, port: int) -> socket.socket:
    """Open the door before the service starts, so that what is wrong with it is one line."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise UserError(f"{host}:{port}: {reason}; choose others with --host and --port") from None


def address(sock: socket.socket) -> str:
    """Where the service is."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def positive(text: str) -> int:
    """A number of at least one."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


if __name__ == "__main__":
    run(main)
