"""The service, as a process of its own: the stars of evaluate, limits, hostile clients, and its page in a browser."""

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

from tests.conftest import ROOT

STARS = [f"p{star}" for star in range(1, 6)]
SECRET = "zebra-crossing"
"""Stands in every hostile request, and must stand in no log."""


class Service:
    """A service that runs."""

    def __init__(self, process, log):
        self.process = process
        self.log = log
        found = re.fullmatch(r"serve: http://127\.0\.0\.1:(\d+)\n", process.stdout.readline())
        assert found, log.read_text()
        self.port = int(found[1])

    def ask(self, method, path, body=None, headers=None):
        """The status and the body of an answer, and that it is JSON where it is no success."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        if answer.status != 200:
            assert list(json.loads(said)) == ["reason"]
        return answer.status, said

    def predict(self, reviews, **more):
        status, said = self.ask("POST", "/predict", json.dumps({"reviews": reviews, **more}))
        return json.loads(said)["reviews"] if status == 200 else (status, json.loads(said)["reason"])

    def send(self, content):
        """Send bytes that need not be HTTP; give what comes back, nothing if the service ends the connection first."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as sock, suppress(OSError):
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))
        return b""


@contextmanager
def running(command, folder, log, **environment):
    """A service; at the end it is asked to stop, and must have written no text of a review and no traceback."""
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


def serving(project, log, *arguments, **environment):
    """A service of the small model, on a free port."""
    command = [sys.executable, "-m", "commands.serve", "--port", "0", "--model", project.path / "models/export"]
    return running([*command, *arguments], ROOT, log, **environment)


@pytest.fixture(scope="module")
def service(project, tmp_path_factory):
    with serving(project, tmp_path_factory.mktemp("serve") / "log") as service:
        yield service


@contextmanager
def opened(browser, service, **settings):
    """The page; at the end it must have asked its own service alone, and complained of nothing."""
    page = browser.new_context(**settings).new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{service.port}/")
    yield page
    page.context.close()
    assert {url.rsplit("/", 1)[0] for url in asked if not url.startswith("data:")} == {
        f"http://127.0.0.1:{service.port}"
    }
    assert complaints == []


def rate_on_page(page, text):
    page.get_by_label("Review", exact=True).fill(text)
    page.keyboard.press("Control+Enter")
    page.locator("#answer *").first.wait_for()


def test_evaluate_predict_the_service_and_the_page_say_the_same_stars(project, service, browser, tmp_path):
    evaluated = pd.read_parquet(project.path / "data/evaluate/predictions.parquet")
    table = evaluated[["text"]].rename(columns={"text": "content"})
    table.to_csv(tmp_path / "in.csv", index=False)
    arguments = [tmp_path / "in.csv", "--output", tmp_path / "out.csv", "--model", project.path / "models/export"]
    subprocess.run([sys.executable, "-m", "commands.predict", *arguments], cwd=ROOT, check=True)
    predicted = pd.read_csv(tmp_path / "out.csv")
    served = service.predict(evaluated.text.tolist())
    with opened(browser, service) as page:
        page.get_by_label("A CSV file").set_input_files(tmp_path / "in.csv")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save with stars").click()
        shown = pd.read_csv(saved.value.path())
    stars = [each["predicted"] for each in served]
    assert stars == evaluated.predicted.tolist() == predicted.predicted.tolist() == shown.predicted.tolist()
    shares = [list(each["probabilities"].values()) for each in served]
    for found in (shares, predicted[STARS], shown[STARS]):
        np.testing.assert_allclose(found, evaluated[STARS], rtol=0, atol=1e-5)
    pd.testing.assert_series_equal(shown.content, table.content)


def test_one_review_a_list_and_words(service):
    (one,) = service.predict("great app but it crashes")
    many = service.predict(["great app but it crashes", "", None, "  ", "\0 \u2028"])
    assert many[0] == one
    assert [each["reason"] for each in many] == [None, "no text", "no text", "no text", None]
    assert [each["predicted"] is None for each in many] == [False, True, True, True, False]
    assert one["expected"] == pytest.approx(sum(int(star) * share for star, share in one["probabilities"].items()))
    (explained,) = service.predict("great app but it crashes", explain=True)
    assert {each["word"] for each in explained["words"]} == {"great", "app", "but", "crash"}
    assert service.predict("", explain=True)[0]["words"] is None
    assert service.predict([]) == []


def test_every_answer_names_the_model(project, service):
    description = json.loads((project.path / "models/export/export.json").read_text(encoding="utf-8"))
    (version,) = project.run("md5sum", "models/export/export.json").split()[:1]
    model = {"version": version, "hash": description["files"]["model.onnx"]}
    assert json.loads(service.ask("POST", "/predict", '{"reviews": "good"}')[1])["model"] == model
    assert json.loads(service.ask("GET", "/healthz")[1]) == {"status": "ok", "model": model}
    assert json.loads(service.ask("GET", "/readyz")[1]) == {"status": "ready", "model": model}
    assert f'hash="{model["hash"]}",version="{version}"' in service.ask("GET", "/metrics")[1].decode()


def test_metrics_count_requests_and_reviews(service):
    def counted():
        lines = service.ask("GET", "/metrics")[1].decode().splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line[0] != "#"}

    before = counted()
    stars = [each["predicted"] for each in service.predict(["great app", "bad app", ""])]
    service.ask("GET", f"/{SECRET}")
    now = counted()
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
    "half a surrogate": (posted(b'{"reviews": "%b \\ud800"}' % SECRET_BYTES), 422),
    "a long number": (posted(b'{"reviews": ' + b"9" * 100_000 + b"}"), 422),
    "long": (posted(b'{"reviews": "' + b"a" * 20_001 + b'"}'), 422),
    "many": (posted(b'{"reviews": [' + b'"",' * 250 + b'""]}'), 422),
    "huge": (posted(b" " * 250_001), 413),
    "huge in chunks": (
        post(b"10000\r\n%b\r\n" % (b" " * 65536) * 40 + b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
        413,
    ),
    "no such path": (b"GET /%b HTTP/1.0\r\n\r\n" % SECRET_BYTES, 404),
    "out of the house": (b"GET /../../../../etc/passwd HTTP/1.0\r\n\r\n", 404),
    "out of the house, hidden": (b"GET /%2e%2e/%2e%2e/etc/passwd%00 HTTP/1.0\r\n\r\n", 404),
    "a slash too many": (b"GET //predict HTTP/1.0\r\n\r\n", 404),
    "wrong method": (b"GET /predict HTTP/1.0\r\n\r\n", 405),
    "another wrong method": (b"DELETE / HTTP/1.0\r\n\r\n", 405),
    "no method": (b"%b / HTTP/1.0\r\n\r\n" % SECRET_BYTES, 400),
    "no HTTP": (b"\x16\x03\x01\x02\x00" + SECRET_BYTES, 400),
    "two lengths": (post(b"{}", b"Content-Length: 2", b"Content-Length: 3"), 400),
    "a length below zero": (post(b"{}", b"Content-Length: -1"), 400),
    "a chunk without a size": (post(b"zz\r\n", b"Transfer-Encoding: chunked"), 400),
    "a web socket": (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "a head without end": (b"GET / HTTP/1.1\r\n" + b"a: %b\r\n" % (b"b" * 1000) * 1000, None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused(service, name):
    content, status = HOSTILE[name]
    answer = service.send(content)
    assert answer[9:12] == (b"" if status is None else b"%d" % status), answer
    if status in (413, 422, 404, 405):
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"]
    assert SECRET_BYTES not in answer


def test_hostile_requests_take_no_memory(service):
    """A thousand of them: what the first hundreds needed is enough for the others."""
    sizes = []
    for _ in range(3):
        for content, _ in list(HOSTILE.values()) * 11:
            service.send(content)
        sizes.append(psutil.Process(service.process.pid).memory_info().rss)
    assert sizes[2] - sizes[0] < 10e6
    assert service.predict("good")[0]["predicted"]
    assert 'status="500"' not in service.ask("GET", "/metrics")[1].decode()


def test_who_is_slow_is_not_waited_for(project, tmp_path):
    starts = [b"", b"POST /pre", post(b'{"rev', b"Content-Length: 100"), post(b"5\r\n", b"Transfer-Encoding: chunked")]
    with serving(project, tmp_path / "log", "--seconds", "1") as service:
        socks = [socket.create_connection(("127.0.0.1", service.port), timeout=60) for _ in starts]
        for sock, start in zip(socks, starts, strict=True):
            sock.sendall(start)
        answers = [b"".join(iter(lambda sock=sock: sock.recv(65536), b"")) for sock in socks]
        assert [answer[9:12] for answer in answers] == [b"", b"", b"408", b"408"]


def test_more_than_the_service_can_take_is_refused_and_no_more(project, tmp_path):
    """Reviews of hundreds of words, each of which is taken out: the heaviest request there is."""
    words = (project.path / "models/export/vocabulary.txt").read_text(encoding="utf-8").split()
    heavy = " ".join(words[:400])
    with serving(project, tmp_path / "log", "--seconds", "60", "--queue", "3") as service:
        with ThreadPoolExecutor(12) as clients:
            found = list(clients.map(lambda _: service.predict(heavy, explain=True), range(36)))
        reasons = {answer for answer in found if isinstance(answer, tuple)}
        assert (429, "3 requests are waiting already") in reasons
        assert reasons <= {(429, "3 requests are waiting already"), (503, "no answer within 60 s")}
        assert any(isinstance(answer, list) for answer in found)
        assert service.predict("good")[0]["predicted"]


def test_only_who_shows_the_token_is_answered(project, browser, tmp_path):
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
        for given in wrong:
            assert service.ask("POST", "/predict", body, {"Authorization": given})[0] == 401
            assert service.ask("GET", "/metrics", headers={"Authorization": given})[0] == 401
        right = {"Authorization": f"Bearer {SECRET}"}
        assert service.ask("POST", "/predict", body, right)[0] == 200
        assert service.ask("GET", "/metrics", headers=right)[0] == 200
        assert service.ask("GET", "/readyz")[0] == 200
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{service.port}/")
        rate_on_page(page, "good")
        assert "token is missing" in page.locator("#answer").inner_text()
        page.keyboard.type(SECRET)  # the page asks for it
        page.get_by_role("button", name="Rate it").click()
        page.locator("#answer .stars").wait_for()
        page.close()


def test_who_was_taken_is_answered_when_the_service_is_told_to_stop(project, tmp_path):
    words = (project.path / "models/export/vocabulary.txt").read_text(encoding="utf-8").split()
    with serving(project, tmp_path / "log") as service:
        with ThreadPoolExecutor(8) as clients:
            waiting = [clients.submit(service.predict, " ".join(words[:400]), explain=True) for _ in range(8)]
            reads = psutil.Process(service.process.pid)
            while len(reads.net_connections()) < 9:
                time.sleep(0.01)
            # One more that is half sent: the service hears of it before it hears that it should stop.
            body = b'{"reviews": "good"}'
            with socket.create_connection(("127.0.0.1", service.port), timeout=60) as sock:
                sock.sendall(post(body[:5], b"Content-Length: %d" % len(body)))
                time.sleep(0.2)
                service.process.send_signal(signal.SIGTERM)
                sock.sendall(body[5:])
                answer = b"".join(iter(lambda: sock.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert all(each.result()[0]["words"] for each in waiting)
        assert service.process.wait(60) == -signal.SIGTERM
        with pytest.raises(ConnectionRefusedError):
            service.predict("good")
    assert service.log.read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--model", "nowhere"], {}, "nowhere/export.json: no such file; dvc repro export makes it"),
        (["--host", "192.0.2.1"], {}, "192.0.2.1:0: Cannot assign requested address; choose others with --host"),
        (["--port", "99999"], {}, "127.0.0.1:99999: .*0-65535"),
        ([], {"REVIEWS_TOKEN": ""}, "REVIEWS_TOKEN is empty"),
    ],
)
def test_what_is_wrong_at_the_start_is_one_line(project, arguments, environment, says):
    command = [sys.executable, "-m", "commands.serve", "--model", project.path / "models/export", "--port", "0"]
    env = os.environ | environment
    done = subprocess.run([*command, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.match(f"error: {says}", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


def test_no_framework_is_imported_to_serve(project):
    program = """
import sys
from pathlib import Path
import commands.serve
from src.serving.predictor import Scorer
from src.serving.app import Limits, make_app
make_app(Scorer(Path(sys.argv[1])), Limits())
names = ("tensorflow", "torch", "pandas", "sklearn", "scipy", "onnx", "pyarrow", "tqdm", "filelock")
print([name for name in names if name in sys.modules])
"""
    command = [sys.executable, "-c", program, project.path / "models/export"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_image_holds_what_serving_needs(project, tmp_path):
    """The lines of the Dockerfile that copy and start, carried out: as near to Docker as it gets without its engine."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    for *sources, target in (line.split()[1:] for line in lines if line.startswith("COPY")):
        for source in sources:
            found = (project.path if source.startswith("models") else ROOT) / source
            if found.is_dir():
                shutil.copytree(found, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (tmp_path / target).mkdir(exist_ok=True)
                shutil.copy(found, tmp_path / target)
    (start,) = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD")]
    assert start[0] == "python"
    command = [sys.executable, *start[1:], "--port", "0", "--host", "127.0.0.1"]
    with running(command, tmp_path, tmp_path / "log", PYTHONPATH="") as service:
        assert service.predict("good")[0]["predicted"]


EVIL = '"><script>document.title = "owned"</script><img src=x onerror="document.title=1"> & <b>great</b> app'


def test_a_review_with_markup_stays_text_on_the_page(service, browser, tmp_path):
    with opened(browser, service, color_scheme="dark", viewport={"width": 390, "height": 844}) as page:
        rate_on_page(page, EVIL)
        page.locator("#answer .stars").wait_for()
        rating = service.predict(EVIL)[0]
        assert f"{rating['predicted']} star" in page.locator("#answer").inner_text()
        assert page.locator("#answer tbody").first.locator("tr").count() == 5
        rows = io.StringIO()
        csv.writer(rows).writerows([[EVIL, "content"], ["1", EVIL], ["2", 'two\nlines, "quoted"'], ["3", ""]])
        drop = f"""() => {{
            const data = new DataTransfer();
            data.items.add(new File([{json.dumps(rows.getvalue())}], "new.csv"));
            dispatchEvent(new DragEvent("drop", {{ dataTransfer: data, cancelable: true }}));
        }}"""
        page.evaluate(drop)
        listed = page.locator("#answers table").nth(1).locator("tbody tr")
        listed.nth(2).wait_for()
        assert page.get_by_text("2 of 3 reviews rated").count() == 1
        assert listed.nth(0).locator("td").first.inner_text() == EVIL
        assert listed.nth(1).locator("td").first.text_content() == 'two\nlines, "quoted"'
        assert "no text" in listed.nth(2).inner_text()
        assert page.title() == "Review stars"
        assert page.locator("img, b b, main script").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_page_runs_no_script_but_its_own(service, browser):
    page = browser.new_page()
    answer = page.goto(f"http://127.0.0.1:{service.port}/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert page.title() == "Review stars"
    page.close()
