"""The service in its own process: predictions, limits, hostile clients, and its page in a browser."""

import csv
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection

import numpy as np
import pandas as pd
import psutil
import pytest

from src.serving.predictor import NO_KNOWN_WORD, NO_WORD
from tests.conftest import ROOT

STARS = [f"p{star}" for star in range(1, 6)]
SECRET = "zebra-crossing"
"""Part of every hostile request; it must never appear in a log or a response."""


class Service:
    """A running service."""

    def __init__(self, process, log):
        self.process = process
        self.log = log
        match = re.fullmatch(r"serve: http://127\.0\.0\.1:(\d+)\n", process.stdout.readline())
        assert match, log.read_text()
        self.port = int(match[1])

    def request(self, method, path, body=None, headers=None):
        """Return status and body of the response; check that an error is JSON with a reason."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if response.status != 200:
            assert list(json.loads(content)) == ["reason"]
        return response.status, content

    def predict(self, reviews, **options):
        status, content = self.request("POST", "/predict", json.dumps({"reviews": reviews, **options}))
        return json.loads(content)["reviews"] if status == 200 else (status, json.loads(content)["reason"])

    def send(self, content):
        """Send raw bytes and return the response, which is empty if the service closes the connection first."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock, suppress(OSError):
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))
        return b""


@contextmanager
def running(command, folder, log, **environment):
    """Run a service, stop it at the end, and check that its log quotes no review and has no traceback."""
    env = {name: value for name, value in os.environ.items() if name != "REVIEWS_TOKEN"} | environment
    with (
        log.open("w") as file,
        subprocess.Popen(command, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=file) as process,
    ):
        try:
            yield Service(process, log)
        finally:
            process.terminate()
    assert SECRET not in log.read_text()
    assert "Traceback" not in log.read_text()
    assert log.read_text().count("\n") < 5


def serving(project, log, *arguments, **environment):
    """Serve the small model on a free port."""
    command = [sys.executable, "-m", "commands.serve", "--port", "0", "--model", project.path / "models/export"]
    return running([*command, *arguments], ROOT, log, **environment)


@pytest.fixture(scope="module")
def service(project, tmp_path_factory):
    with serving(project, tmp_path_factory.mktemp("serve") / "log") as service:
        yield service


@contextmanager
def opened(browser, service, **settings):
    """Open the page; check at the end that it called only its own service and logged nothing."""
    page = browser.new_context(**settings).new_page()
    urls, messages = [], []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(f"http://127.0.0.1:{service.port}/")
    yield page
    page.context.close()
    assert {url.rsplit("/", 1)[0] for url in urls if not url.startswith("data:")} == {
        f"http://127.0.0.1:{service.port}"
    }
    assert messages == []


def predict_on_page(page, text):
    page.get_by_label("Review", exact=True).fill(text)
    page.keyboard.press("Control+Enter")
    page.locator("#result *").first.wait_for()


def test_evaluate_predict_service_and_page_predict_the_same(project, service, browser, tmp_path):
    evaluated = pd.read_parquet(project.path / "data/evaluate/predictions.parquet")
    table = evaluated[["text"]].rename(columns={"text": "content"})
    table.to_csv(tmp_path / "in.csv", index=False)
    arguments = [tmp_path / "in.csv", "--output", tmp_path / "out.csv", "--model", project.path / "models/export"]
    subprocess.run([sys.executable, "-m", "commands.predict", *arguments], cwd=ROOT, check=True)
    predicted = pd.read_csv(tmp_path / "out.csv")
    served = service.predict(evaluated.text.tolist())
    with opened(browser, service) as page:
        page.get_by_label("Choose a table").set_input_files(tmp_path / "in.csv")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save with predictions").click()
        shown = pd.read_csv(saved.value.path())
    rated = predicted.known_words > 0  # evaluate rates every test review
    assert [each["reason"] for each in served] == [None if known else NO_KNOWN_WORD for known in rated]
    for name in ("word_count", "known_words"):
        assert [each[name] for each in served] == predicted[name].tolist() == shown[name].tolist()
    stars = [each["predicted"] for each in served if each["predicted"]]
    expected = evaluated[rated].predicted.tolist()
    assert stars == expected == predicted[rated].predicted.tolist() == shown[rated].predicted.tolist()
    probabilities = [list(each["probabilities"].values()) for each in served if each["predicted"]]
    for each in (probabilities, predicted[rated][STARS], shown[rated][STARS]):
        np.testing.assert_allclose(each, evaluated[rated][STARS], rtol=0, atol=1e-5)
    pd.testing.assert_series_equal(shown.content, table.content)


def test_one_review_a_list_and_words(service):
    (one,) = service.predict("great app but it crashes")
    many = service.predict(["great app but it crashes", "", None, "  ", "\0 \u2028"])
    assert many[0] == one
    assert [each["reason"] for each in many] == [None, "no text", "no text", "no text", NO_WORD]
    assert [each["predicted"] is None for each in many] == [False, True, True, True, True]
    assert (one["word_count"], one["known_words"]) == (4, 4)
    expected = sum(int(star) * p for star, p in one["probabilities"].items())  # of rounded probabilities
    assert one["expected"] == pytest.approx(expected, abs=1e-5)
    (explained,) = service.predict("great app but it crashes", explain=True)
    assert {each["word"] for each in explained["words"]} == {"great", "app", "but", "crash"}
    assert service.predict("", explain=True)[0]["words"] is None
    assert service.predict([]) == []


def test_a_text_that_cannot_be_rated_harms_no_other(service):
    hostile = ["a" + "ed" * 5000, "a" * 20_001, "&#" + "9" * 5000, "\u0f73" * 20_000, "good"]
    served = service.predict(hostile)
    assert served[-1] == service.predict("good")[0]
    assert served[1]["reason"] == "longer than 20000 characters"
    body = rb'{"reviews": ["\ud800 good", "\ud83d\ude00 good", "\\ud800 good", "good \udc00\ud800", "good"]}'
    status, content = service.request("POST", "/predict", body)
    assert status == 200
    whole = service.predict(["? good", "\U0001f600 good", "\\ud800 good", "good ??", "good"])
    assert json.loads(content)["reviews"] == whole


def test_every_response_names_the_model(project, service):
    description = json.loads((project.path / "models/export/export.json").read_text(encoding="utf-8"))
    (version,) = project.run("md5sum", "models/export/export.json").split()[:1]
    model = {"version": version, "hash": description["files"]["model.onnx"]}
    assert json.loads(service.request("POST", "/predict", '{"reviews": "good"}')[1])["model"] == model
    assert json.loads(service.request("GET", "/healthz")[1]) == {"status": "ok", "model": model}
    assert json.loads(service.request("GET", "/readyz")[1]) == {"status": "ready", "model": model}
    assert f'hash="{model["hash"]}",version="{version}"' in service.request("GET", "/metrics")[1].decode()


def test_metrics_count_requests_and_reviews(service):
    def read_counts():
        lines = service.request("GET", "/metrics")[1].decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line[0] != "#"}

    before = read_counts()
    stars = [each["predicted"] for each in service.predict(["great app", "bad app", ""])]
    service.request("GET", f"/{SECRET}")
    now = read_counts()
    grown = {name for name in now if now[name] > before.get(name, 0) and "_total" in name and "review" in name}
    assert grown == {
        'review_stars_requests_total{path="/predict",status="200"}',
        'review_stars_requests_total{path="/metrics",status="200"}',
        'review_stars_requests_total{path="other",status="404"}',
        *(f'review_stars_reviews_total{{stars="{star or "none"}"}}' for star in stars),
    }
    assert SECRET not in str(now)
    name = 'review_stars_request_seconds_count{path="/predict"}'
    assert now[name] - before[name] == 1


def post(body, *headers):
    return b"\r\n".join([b"POST /predict HTTP/1.1", b"Host: x", *headers, b"", body])


def posted(body, *headers):
    return post(body, b"Content-Length: %d" % len(body), b"Connection: close", *headers)


SECRET_BYTES = SECRET.encode()
DEEP = b'{"reviews":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HOSTILE = {
    "not JSON": (posted(SECRET_BYTES), 422),
    "nothing": (posted(b""), 422),
    "half": (posted(b'{"reviews": ["' + SECRET_BYTES), 422),
    "no reviews": (posted(b"{}"), 422),
    "a number": (posted(b'{"reviews": 1e999}'), 422),
    "an object": (posted(b'{"reviews": {"%b": 1}}' % SECRET_BYTES), 422),
    "wrong in a list": (posted(b'{"reviews": ["%b", 1]}' % SECRET_BYTES), 422),
    "another key": (posted(b'{"reviews": "a", "%b": 1}' % SECRET_BYTES), 422),
    "explain is no boolean": (posted(b'{"reviews": "a", "explain": "%b"}' % SECRET_BYTES), 422),
    "explain a list": (posted(b'{"reviews": ["a", "b"], "explain": true}'), 422),
    "deep": (posted(DEEP), 422),
    "deep array": (posted(b"[" * 200_000), 422),
    "bad UTF-8": (posted(b'{"reviews": "%b \xff\xfe"}' % SECRET_BYTES), 422),
    "UTF-16": (posted(f'{{"reviews": "{SECRET}"}}'.encode("utf-16")), 422),
    "a long number": (posted(b'{"reviews": ' + b"9" * 100_000 + b"}"), 422),
    "many": (posted(b'{"reviews": [' + b'"",' * 250 + b'""]}'), 422),
    "huge": (posted(b" " * 250_001), 413),
    "huge in chunks": (
        post(b"10000\r\n%b\r\n" % (b" " * 65536) * 40 + b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
        413,
    ),
    "no such path": (b"GET /%b HTTP/1.0\r\n\r\n" % SECRET_BYTES, 404),
    "outside the folder": (b"GET /../../../../etc/passwd HTTP/1.0\r\n\r\n", 404),
    "outside the folder, hidden": (b"GET /%2e%2e/%2e%2e/etc/passwd%00 HTTP/1.0\r\n\r\n", 404),
    "a slash too many": (b"GET //predict HTTP/1.0\r\n\r\n", 404),
    "wrong method": (b"GET /predict HTTP/1.0\r\n\r\n", 405),
    "another wrong method": (b"DELETE / HTTP/1.0\r\n\r\n", 405),
    "no method": (b"%b / HTTP/1.0\r\n\r\n" % SECRET_BYTES, 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00" + SECRET_BYTES, 400),
    "two lengths": (post(b"{}", b"Content-Length: 2", b"Content-Length: 3"), 400),
    "a length below zero": (post(b"{}", b"Content-Length: -1"), 400),
    "a chunk without a size": (post(b"zz\r\n", b"Transfer-Encoding: chunked"), 400),
    "a web socket": (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "endless headers": (b"GET / HTTP/1.1\r\n" + b"a: %b\r\n" % (b"b" * 1000) * 1000, 400),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(service, name):
    content, status = HOSTILE[name]
    response = service.send(content)
    assert response[9:12] == (b"" if status is None else b"%d" % status), response
    if status in (413, 422, 404, 405):
        assert json.loads(response.partition(b"\r\n\r\n")[2])["reason"]
    assert SECRET_BYTES not in response


def test_hostile_requests_take_no_memory(service):
    """About 1,000 requests: after the first third, memory no longer grows."""
    sizes = []
    for _ in range(3):
        for content, _ in list(HOSTILE.values()) * 11:
            service.send(content)
        sizes.append(psutil.Process(service.process.pid).memory_info().rss)
    assert sizes[2] - sizes[0] < 10e6
    assert service.predict("good")[0]["predicted"]
    assert 'status="500"' not in service.request("GET", "/metrics")[1].decode()


def test_slow_clients_are_disconnected(project, tmp_path):
    starts = [b"", b"POST /pre", post(b'{"rev', b"Content-Length: 100"), post(b"5\r\n", b"Transfer-Encoding: chunked")]
    with serving(project, tmp_path / "log", "--seconds", "1") as service:
        socks = [socket.create_connection(("127.0.0.1", service.port), timeout=60) for _ in starts]
        for sock, start in zip(socks, starts, strict=True):
            sock.sendall(start)
        responses = [b"".join(iter(lambda sock=sock: sock.recv(65536), b"")) for sock in socks]
        assert [response[9:12] for response in responses] == [b"", b"", b"408", b"408"]


def test_a_connection_answers_one_request_at_a_time(service):
    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert service.send(get * 3).count(b"HTTP/1.1 200") == 1
    predict = posted(b'{"reviews": "good"}').replace(b"Connection: close\r\n", b"")
    response = service.send(predict + get)
    assert response.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in response
    assert b'"predicted"' in response


def test_an_answer_reaches_a_client_that_still_sends(project, tmp_path):
    refused = {
        b"GET /nope HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n": b"404",
        post(b"", b"Content-Length: 9000000"): b"413",
    }
    with serving(project, tmp_path / "log") as service:
        for head, status in refused.items():
            assert service.send(head + b" " * 9_000_000)[9:12] == status


def test_connections_that_wait_for_their_client_make_room(project, tmp_path):
    """Half of 20 connections may come from one address: those that are slow lose theirs to new ones."""
    half = post(b'{"rev', b"Content-Length: 100")
    with serving(project, tmp_path / "log", "--connections", "20") as service:
        slow = [socket.create_connection(("127.0.0.1", service.port), timeout=60) for _ in range(30)]
        for number, sock in enumerate(slow):
            with suppress(OSError):
                sock.sendall([b"", b"GET / HT", half][number % 3])
        for _ in range(5):
            assert service.predict("good")[0]["predicted"]
        assert len(psutil.Process(service.process.pid).net_connections()) <= 11


def test_few_open_files_bound_the_connections(project, tmp_path):
    """With 64 descriptors, 200 idle connections do not keep a request out."""
    command = [sys.executable, "-m", "commands.serve", "--port", "0", "--model", project.path / "models/export"]
    limited = ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", *command]
    with running(limited, ROOT, tmp_path / "log") as service:
        idle = [socket.create_connection(("127.0.0.1", service.port), timeout=60) for _ in range(200)]
        for _ in range(5):
            assert service.predict("good")[0]["predicted"]
        assert len(idle) == 200
    assert service.log.read_text() == ""


def test_head_works_where_get_does(service):
    for path in ("/", "/healthz", "/readyz", "/metrics"):
        response = service.send(b"HEAD %b HTTP/1.1\r\nConnection: close\r\n\r\n" % path.encode())
        assert response[9:12] == b"200"
        assert response.endswith(b"\r\n\r\n")


def test_the_host_that_a_client_names_is_not_reflected(service):
    for path in (b"/healthz/", b"//evil.example/", b"/predict/"):
        response = service.send(b"GET %b HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n" % path)
        assert response[9:12] == b"404"
        assert b"evil" not in response


def test_an_unread_answer_does_not_delay_the_end(project, tmp_path):
    body = json.dumps({"reviews": ["great app"] * 250}).encode()
    request = post(body, b"Content-Length: %d" % len(body))
    with serving(project, tmp_path / "log") as service:
        with socket.socket() as unread, socket.create_connection(("127.0.0.1", service.port)) as half:
            unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            unread.connect(("127.0.0.1", service.port))
            unread.sendall(request)
            half.sendall(request[:100])
            time.sleep(0.5)
            start = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(60) == -signal.SIGTERM
        assert time.monotonic() - start < 10
    assert service.log.read_text() == ""


def test_requests_that_arrive_with_the_signal_to_stop_are_answered(project, tmp_path):
    request = posted(b'{"reviews": "good"}')
    with serving(project, tmp_path / "log") as service:
        service.predict("good")
        socks = [socket.create_connection(("127.0.0.1", service.port), timeout=60) for _ in range(24)]
        service.process.send_signal(signal.SIGSTOP)  # what is sent now has arrived, but is not yet read
        late = [socket.create_connection(("127.0.0.1", service.port), timeout=60) for _ in range(24)]
        for sock in [*socks, *late]:
            sock.sendall(request)
        service.process.send_signal(signal.SIGTERM)
        service.process.send_signal(signal.SIGCONT)
        responses = [b"".join(iter(lambda sock=sock: sock.recv(65536), b"")) for sock in [*socks, *late]]
        assert [response[9:12] for response in responses] == [b"200"] * 48
        assert service.process.wait(60) == -signal.SIGTERM
    assert service.log.read_text() == ""


def test_only_requests_beyond_the_queue_limit_are_rejected(project, tmp_path):
    """The most expensive request: to explain a review of hundreds of words."""
    words = (project.path / "models/export/vocabulary.txt").read_text(encoding="utf-8").split()
    heavy = " ".join(words[:400])
    full = (429, "3 requests are in progress; try again")
    with serving(project, tmp_path / "log", "--seconds", "60", "--queue", "3") as service:
        with ThreadPoolExecutor(12) as clients:
            results = list(clients.map(lambda _: service.predict(heavy, explain=True), range(36)))
        errors = {result for result in results if isinstance(result, tuple)}
        assert full in errors
        assert errors <= {full, (503, "no prediction within 60 s")}
        assert any(isinstance(result, list) for result in results)
        assert service.predict("good")[0]["predicted"]


def test_requests_need_the_token(project, browser, tmp_path):
    with serving(project, tmp_path / "log", REVIEWS_TOKEN=SECRET) as service:
        body = '{"reviews": "good"}'
        wrong = (
            "",
            "Bearer",
            "Bearer ",
            f"Bearer {SECRET}x",
            f"Bearer {SECRET[:-1]}",
            SECRET,
            f"Basic {SECRET}",
            "\xff",
        )
        for header in wrong:
            assert service.request("POST", "/predict", body, {"Authorization": header})[0] == 401
            assert service.request("GET", "/metrics", headers={"Authorization": header})[0] == 401
        right = {"Authorization": f"Bearer {SECRET}"}
        assert service.request("POST", "/predict", body, right)[0] == 200
        assert service.request("POST", "/predict", body, {"Authorization": f"bEARER {SECRET}"})[0] == 200
        assert service.request("GET", "/metrics", headers=right)[0] == 200
        assert service.request("GET", "/readyz")[0] == 200
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{service.port}/")
        predict_on_page(page, "good")
        assert "token is missing" in page.locator("#result").inner_text()
        page.keyboard.type(SECRET)  # the page has focused the field
        page.get_by_role("button", name="Predict").click()
        page.locator("#result .stars").wait_for()
        page.close()


def test_requests_in_progress_are_answered_before_the_service_stops(project, tmp_path):
    words = (project.path / "models/export/vocabulary.txt").read_text(encoding="utf-8").split()
    with serving(project, tmp_path / "log") as service:
        with ThreadPoolExecutor(8) as clients:
            waiting = [clients.submit(service.predict, " ".join(words[:400]), explain=True) for _ in range(8)]
            process = psutil.Process(service.process.pid)
            while len(process.net_connections()) < 9:
                time.sleep(0.01)
            # One more request, half of which arrives before the signal to stop.
            body = b'{"reviews": "good"}'
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as sock:
                sock.sendall(post(body[:5], b"Content-Length: %d" % len(body)))
                time.sleep(0.2)
                service.process.send_signal(signal.SIGTERM)
                sock.sendall(body[5:])
                response = b"".join(iter(lambda: sock.recv(65536), b""))
        assert response.startswith(b"HTTP/1.1 200")
        assert all(each.result()[0]["words"] for each in waiting)
        assert service.process.wait(60) == -signal.SIGTERM
        with pytest.raises(ConnectionRefusedError):
            service.predict("good")
    assert service.log.read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--model", "nowhere"], {}, "nowhere/export.json: no such file; run dvc repro export"),
        (["--host", "192.0.2.1"], {}, "192.0.2.1:0: Cannot assign requested address; choose another address"),
        (["--port", "99999"], {}, "127.0.0.1:99999: .*0-65535"),
        ([], {"REVIEWS_TOKEN": ""}, "REVIEWS_TOKEN is empty"),
    ],
)
def test_an_error_at_the_start_is_one_line(project, arguments, environment, message):
    command = [sys.executable, "-m", "commands.serve", "--model", project.path / "models/export", "--port", "0"]
    env = os.environ | environment
    done = subprocess.run([*command, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.match(f"error: {message}", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_is_served_without_importing_a_framework(project):
    program = """
import sys
from pathlib import Path
import commands.serve
from src.serving.predictor import Predictor
from src.serving.app import Limits, Service, make_app
make_app(Service(Predictor(Path(sys.argv[1])), Limits()))
names = ("tensorflow", "torch", "pandas", "sklearn", "scipy", "onnx", "pyarrow", "tqdm", "filelock")
print([name for name in names if name in sys.modules])
"""
    command = [sys.executable, "-c", program, project.path / "models/export"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_image_contains_what_serving_needs(project, tmp_path):
    """Run the COPY and CMD lines of the Dockerfile, because tests cannot build the image."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    for *sources, target in (line.split()[1:] for line in lines if line.startswith("COPY")):
        for source in sources:
            path = (project.path if source.startswith("models") else ROOT) / source
            if path.is_dir():
                shutil.copytree(path, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(path, tmp_path / target)
    (start,) = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD")]
    assert start[0] == "python"
    command = [sys.executable, *start[1:], "--port", "0", "--host", "127.0.0.1"]
    with running(command, tmp_path, tmp_path / "log", PYTHONPATH="") as service:
        assert service.predict("good")[0]["predicted"]


EVIL = '"><script>document.title = "owned"</script><img src=x onerror="document.title=1"> & <b>great</b> app'


def test_a_review_with_markup_stays_text_on_the_page(service, browser, tmp_path):
    with opened(browser, service, color_scheme="dark", viewport={"width": 390, "height": 844}) as page:
        predict_on_page(page, EVIL)
        page.locator("#result .stars").wait_for()
        prediction = service.predict(EVIL)[0]
        assert f"{prediction['predicted']} star" in page.locator("#result").inner_text()
        assert page.locator("#result tbody").first.locator("tr").count() == 5
        rows = io.StringIO()
        csv.writer(rows).writerows([[EVIL, "content"], ["1", EVIL], ["2", 'two\nlines, "quoted"'], ["3", ""]])
        drop = f"""() => {{
            const data = new DataTransfer();
            data.items.add(new File([{json.dumps(rows.getvalue())}], "new.csv"));
            dispatchEvent(new DragEvent("drop", {{ dataTransfer: data, cancelable: true }}));
        }}"""
        page.evaluate(drop)
        listed = page.locator("#results table").nth(1).locator("tbody tr")
        listed.nth(2).wait_for()
        assert page.get_by_text("2 of 3 reviews predicted").count() == 1
        assert listed.nth(0).locator("td").first.inner_text() == EVIL
        assert listed.nth(1).locator("td").first.text_content() == 'two\nlines, "quoted"'
        assert "no text" in listed.nth(2).inner_text()
        assert page.title() == "Review stars"
        assert page.locator("img, b b, main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_runs_only_its_own_script(service, browser):
    page = browser.new_page()
    response = page.goto(f"http://127.0.0.1:{service.port}/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert page.title() == "Review stars"
    page.close()
