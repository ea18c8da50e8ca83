"""Tables at URLs, in folders and in stores are found and copied."""

import gzip
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from src.core.errors import UserError
from src.formats.sources import file_name, find_files, local_copy


class Answers(BaseHTTPRequestHandler):
    """Answers each path with the response that the test defines for it: (status, headers, body)."""

    def __init__(self, answers, *rest):
        self.answers = answers
        super().__init__(*rest)

    def do_GET(self):
        status, headers, body = self.answers[self.path]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Return a function that serves the given answers on this machine and returns their address."""
    servers = []

    def start(answers):
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Answers, answers))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_url_is_read_like_a_file(serve, tmp_path):
    body = gzip.compress(b"content,score\ngood,5\n")
    home = serve({"/new.csv.gz": (200, {}, body), "/old.csv.gz": (302, {"Location": "/new.csv.gz"}, b"")})
    for name in ("new", "old"):
        path = local_copy(f"{home}/{name}.csv.gz", tmp_path)
        assert (path.name, path.read_bytes()) == (f"{name}.csv.gz", body)


def test_a_failing_url_is_one_clear_line(serve, tmp_path):
    answers = {"/gone.csv": (404, {}, b""), "/cut.csv": (200, {"Content-Length": "9"}, b"abc")}
    home = serve(answers | {"/a.csv": (200, {}, b"x" * 2_000_000)})
    for name, message in (("gone", "404"), ("cut", "cut off after 3 of 9 bytes"), ("a", r"larger than data\.url_max")):
        with pytest.raises(UserError, match=message):
            local_copy(f"{home}/{name}.csv", tmp_path, max_mb=1)
    assert list(tmp_path.iterdir()) == []


def test_the_files_of_a_folder_are_its_partitions(tmp_path):
    with pytest.raises(UserError, match=r"a\.csv: no such file; check data\.path"):
        find_files(str(tmp_path / "a.csv"), "data.path")
    for place in (str(tmp_path), tmp_path.as_uri()):
        with pytest.raises(UserError, match="no files in this folder"):
            find_files(place, "data.path")
    for name in ("b.csv", "a.jsonl", ".hidden"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / ".folder").mkdir()
    assert find_files(str(tmp_path), "") == ([str(tmp_path / name) for name in ("a.jsonl", "b.csv")], True)
    assert find_files(str(tmp_path / "b.csv"), "") == ([str(tmp_path / "b.csv")], False)
    (tmp_path / "c").mkdir()
    for place in (str(tmp_path), tmp_path.as_uri()):
        with pytest.raises(UserError, match="/c: a folder inside a folder is not read"):
            find_files(place, "data.path")


def test_an_fsspec_store_is_read_like_a_folder(tmp_path):
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe({"/reviews/b.csv": b"bbb", "/reviews/a.csv": b"a", "/reviews/.hidden": b""})
    found, folder = find_files("memory://reviews", "data.path")
    assert ([file_name(name) for name in found], folder) == (["a.csv", "b.csv"], True)
    assert local_copy(found[1], tmp_path).read_bytes() == b"bbb"
    assert find_files("memory://reviews/a.csv", "").files == ["memory:///reviews/a.csv"]
    with pytest.raises(UserError, match=r"larger than data\.url_max_mb"):
        local_copy(found[1], tmp_path, max_mb=1e-6)
    for url, message in (("memory://nowhere", "cannot be read"), ("nope://a", "pip install fsspec|Protocol not known")):
        with pytest.raises(UserError, match=message):
            find_files(url, "data.path")
