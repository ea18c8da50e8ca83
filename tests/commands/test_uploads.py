"""Tables sent to the service: read by the project's own reader, within bounds, in a process that ends."""

import csv
import gzip
import io
import json
import signal
import socket
import time
import zipfile
from contextlib import closing
from urllib.parse import quote

import psutil
import pytest

from src.core.spreadsheets import escape_formula
from src.serving.predictor import NO_KNOWN_WORD
from tests.commands.test_serve import SECRET, opened, serving

ROWS = [f"{text} {i}" for i in range(50) for text in ("works fine", "slow, and it crashes", 'my 24" screen')]
CSV = "content,score\n" + "".join('"{}",{}\n'.format(text.replace('"', '""'), 1 + i % 5) for i, text in enumerate(ROWS))
RUSSIAN = "content,score\n" + "приложение не работает,1\nочень хорошо,5\n" * 99  # noqa: RUF001
SMALL = ("--file", "100000", "--rows", "500", "--file-seconds", "8", "--files", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder for temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def service(project, folder, tmp_path_factory):
    with serving(project, tmp_path_factory.mktemp("uploads") / "log", *SMALL, TMPDIR=str(folder)) as service:
        yield service
    assert list(folder.iterdir()) == []


def upload(service, name, content, query=""):
    """Return the lines that the service answers, or its status and reason."""
    status, answer = service.request("POST", f"/rows?name={quote(name)}{query}", content)
    lines = [json.loads(line) for line in answer.splitlines()]
    return lines if status == 200 else (status, lines[0]["reason"])


def readers(service):
    return [each for each in psutil.Process(service.process.pid).children() if each.status() != psutil.STATUS_ZOMBIE]


def wait_until(check):
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


READ = {
    "csv": ("a.csv", CSV.encode(), "utf-8"),
    "utf-16": ("a.csv", CSV.encode("utf-16"), "utf-16"),
    "semicolons without quotes": ("a.txt", "\n".join(["content;score", *(f"{t};5" for t in ROWS)]).encode(), "utf-8"),
    "cp1251": ("a.csv", RUSSIAN.encode("cp1251"), "cp1251"),
    "json": ("a.json", json.dumps([{"content": text, "score": 5} for text in ROWS]).encode(), "utf-8"),
    "gzip": ("a.csv.gz", gzip.compress(CSV.encode()), "utf-8"),
}


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_as_prepare_reads_it(service, name):
    file, content, encoding = READ[name]
    head, *rows, end = upload(service, file, content)
    assert (head["columns"], head["column"], head["encoding"]) == (["content", "score"], ["content"], encoding)
    assert end["rows"] == len(rows)
    if name != "cp1251":
        assert [row["cells"][0] for row in rows] == ROWS
    assert readers(service) == []


def test_lines_behind_an_open_quote_stay_rows(service):
    lines = ["content,score", '"never closed,1', *(f"review {i},5" for i in range(200))]
    _, *rows, end = upload(service, "a.csv", "\n".join(lines).encode())
    assert end["rows"] == len(rows) == 201
    assert rows[1]["cells"] == ["review 0", "5"]


def test_a_row_that_does_not_fit_says_so(service):
    _, row, _, end = upload(service, "a.csv", b"content,score\ngood,5,more\nbad,1\n")
    assert row == {"cells": ["good", "5", "more"], "problem": "wrong number of fields: 3 where the header has 2"}
    assert end == {"rows": 2, "repaired": {}}


def test_a_table_of_other_columns_names_them_and_chooses_none(service):
    head, *_ = upload(service, "a.csv", b"text,score\ngood,5\n")
    assert (head["columns"], head["column"]) == (["text", "score"], [])
    assert upload(service, "a.csv", b"text,score\ngood,5\n", "&column=text")[0]["column"] == ["text"]


def archive(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name in names:
            packed.writestr(name, CSV)
    return file.getvalue()


HALF_LATIN = b"content\n" + bytes(range(128, 256)) * 9
REFUSED = {
    "no name": ("", CSV.encode(), 422, "name: give the name"),
    "too large": ("a.csv", b"content\n" + b"good\n" * 30_000, 413, "larger than 100000 bytes"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(999), 422, "a.csv: cannot be read: it is a PNG picture"),
    "an unknown kind": ("a.log", CSV.encode(), 422, "a.log: unknown kind of file"),
    "empty": ("a.csv", b"", 422, "a.csv: the file is empty"),
    "a bomb": ("a.csv.gz", gzip.compress(b"content\n" + b"good\n" * 999_999), 422, "unpacks to more than 500000 bytes"),
    "no such column": ("a.csv", b"text\ngood\n", 422, "a.csv: no column content"),
    "two tables": ("a.zip", archive("a.csv", "b.csv"), 422, "a.zip: contains 2 files"),
    "another encoding": ("a.csv", HALF_LATIN, 422, "set the parameter encoding"),
    "a path as name": ("../../etc/passwd", CSV.encode(), 422, "passwd: unknown kind of file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_in_one_line(service, name):
    file, content, status, reason = REFUSED[name]
    query = "&column=content" if name == "no such column" else ""
    found = upload(service, file, content, query)
    assert found[0] == status
    assert reason in found[1]
    assert "/tmp" not in found[1]
    assert readers(service) == []


QUERIES = {
    "encoding=latin-1&column=content": [["content"], ["ä"]],
    "separator=;": [["content,other"], ["ä,x"]],
    "encoding=nope": "nope: unknown encoding",
    "encoding=zlib": "zlib: unknown encoding",
    "separator=ab": "separator: use one character",
    "quoting=maybe": "quoting: use one of auto, double, none",
    "format=pickle": "format: use one of",
    f"{SECRET}=1": "1 unknown parameters",
    "column=" + "%22" * 3000: "the query is longer than 8192 bytes",
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_client_can_say_how_a_file_is_written(service, query):
    lines = upload(
        service, "a.csv", "content,other\nä,x\n".encode("latin-1" if "latin" in query else "utf-8"), f"&{query}"
    )
    expected = QUERIES[query]
    if isinstance(expected, str):
        assert lines[0] == 422
        assert expected in lines[1]
        assert SECRET not in lines[1]
    else:
        assert [lines[0]["columns"][:1], lines[1]["cells"][:1]] == expected


def test_a_table_with_too_many_rows_ends_with_a_reason(service):
    *_, last = upload(service, "a.csv", b"content\n" + b"good\n" * 501)
    assert "more than 500 rows" in last["reason"]


def test_a_client_that_goes_away_leaves_no_process(service, folder):
    body = "".join([f"content,score\n{'x' * 90_000},5\n"]).encode()
    head = f"POST /rows?name=a.csv HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for part in (body[:1000], body):
        with socket.create_connection(("127.0.0.1", service.port)) as sock:
            sock.sendall(head + part)
    wait_until(lambda: not readers(service) and not list(folder.iterdir()))
    assert len(upload(service, "a.csv", CSV.encode())) == len(ROWS) + 2


def test_a_client_that_takes_nothing_is_disconnected(project, folder, tmp_path):
    """The rows are more than the buffers on the way hold, so the reader waits for the client, and not for ever."""
    body = b"content\n" + (b"x" * 90_000 + b"\n") * 150
    head = f"POST /rows?name=a.csv HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with serving(project, tmp_path / "log", "--seconds", "1", TMPDIR=str(folder)) as service:
        with closing(socket.socket()) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", service.port))
            sock.sendall(head + body)
            wait_until(lambda: readers(service))
            wait_until(lambda: not readers(service) and not list(folder.iterdir()))
        assert psutil.Process(service.process.pid).memory_info().rss < 300e6


def test_a_file_in_progress_is_read_before_the_service_stops(project, tmp_path):
    with serving(project, tmp_path / "log") as service:
        body = CSV.encode()
        head = f"POST /rows?name=a.csv HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", service.port), timeout=60) as sock:
            sock.sendall(head + body[:99])
            time.sleep(0.5)
            service.process.send_signal(signal.SIGTERM)
            sock.sendall(body[99:])
            response = b"".join(iter(lambda: sock.recv(65536), b""))
        assert json.dumps({"rows": len(ROWS), "repaired": {}}, separators=(",", ":")).encode() in response
        assert service.process.wait(60) == -signal.SIGTERM


def test_uploads_are_counted_and_described(service):
    before = service.request("GET", "/metrics")[1].decode()
    upload(service, "a.csv", CSV.encode())
    upload(service, "a.log", CSV.encode())
    after = service.request("GET", "/metrics")[1].decode()
    for status in (200, 422):
        name = f'review_stars_requests_total{{path="/rows",status="{status}"}} '
        counts = [float(text.partition(name)[2].split("\n")[0] or 0) for text in (before, after)]
        assert counts[1] - counts[0] == 1
    described = json.loads(service.request("GET", "/openapi.json")[1])["paths"]["/rows"]["post"]
    assert [each["name"] for each in described["parameters"]][:2] == ["name", "column"]
    assert {"200", "401", "413", "422", "429"} <= set(described["responses"])


def test_predictions_go_on_while_a_slow_upload_holds_its_place(service):
    head = b"POST /rows?name=a.csv HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\ncontent\n"
    with socket.create_connection(("127.0.0.1", service.port)) as sock:
        sock.sendall(head)
        deadline = time.monotonic() + 5
        while (found := upload(service, "a.csv", CSV.encode()))[0] != 429 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found == (429, "1 files are being read; try again")
        assert service.predict("good")[0]["predicted"]


def test_the_page_shows_an_export_in_utf_16_and_lets_choose_columns(service, browser, tmp_path):
    table = "Title\tReview Text\tStars\n" + "".join(f'Title {i}\t"It works, {i}"\t5\n' for i in range(30)) + "alone\n"
    (tmp_path / "reviews.csv").write_bytes(table.encode("utf-16"))
    with opened(browser, service) as page:
        page.get_by_label("Choose a table").set_input_files(tmp_path / "reviews.csv")
        page.get_by_text("on a column that the file lacks").wait_for()
        page.get_by_label("Column with the reviews").select_option(["Title", "Review Text"])
        page.get_by_text("30 of 31 reviews predicted").wait_for()
        first = page.locator("#results table").nth(1).locator("tbody tr").first
        assert first.locator("td").first.text_content() == "Title 0\nIt works, 0"
        assert page.get_by_text("wrong number of fields: 1 where the header has 3").count() == 1


def test_the_page_asks_for_an_encoding_that_is_not_found(service, browser, tmp_path):
    (tmp_path / "odd.csv").write_bytes(HALF_LATIN + b"\ngr\xfcn\n")
    with closing(browser.new_page()) as page:
        page.goto(f"http://127.0.0.1:{service.port}/")
        page.get_by_label("Choose a table").set_input_files(tmp_path / "odd.csv")
        page.get_by_text("set the parameter encoding").wait_for()
        page.get_by_label("Encoding of the file").fill("latin-1")
        page.keyboard.press("Enter")
        page.get_by_text("Read as latin-1").wait_for()
        assert page.get_by_text("grün").count() == 1


def test_the_page_reads_a_large_table_and_saves_every_row_in_order(project, browser, tmp_path):
    texts = [f"{i} {'works fine and crashes ' * 40}" for i in range(10_000)]
    texts[3], texts[5], texts[7] = "=1+1", "long" * 6000, 'two\ncrashes; "quoted"'
    with (tmp_path / "large.csv").open("w", encoding="cp1252", newline="") as file:
        csv.writer(file, delimiter=";").writerows([["id", "content"], *enumerate(texts)])
    assert (tmp_path / "large.csv").stat().st_size > 9e6
    with serving(project, tmp_path / "log") as service, opened(browser, service) as page:
        page.set_default_timeout(120_000)
        page.get_by_label("Choose a table").set_input_files(tmp_path / "large.csv")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save with predictions").click()
        assert page.get_by_text("9998 of 10000 reviews predicted").count() == 1
        with saved.value.path().open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    assert [row["content"] for row in rows] == texts
    assert [row["reason"] for row in rows if row["reason"]] == [NO_KNOWN_WORD, "longer than 20000 characters"]


def test_a_row_that_is_too_long_is_a_reason_in_its_row(project, browser, tmp_path):
    (tmp_path / "long.csv").write_text(
        "content\ngreat\n" + "bad " * 24_000 + "\n" + "bad " * 26_000 + "\nfine\n", "utf-8"
    )
    with serving(project, tmp_path / "log") as service, opened(browser, service) as page:
        page.get_by_label("Choose a table").set_input_files(tmp_path / "long.csv")
        page.get_by_text("2 of 4 reviews predicted").wait_for()
        assert page.get_by_text("longer than 20000 characters").count() == 1
        assert page.get_by_text("more than 100000 characters or 1000 fields").count() == 1


def test_what_was_read_before_an_error_is_rated(service, browser, tmp_path):
    (tmp_path / "rows.csv").write_text("content\n" + "great\n" * 501, "utf-8")
    with opened(browser, service) as page:
        page.get_by_label("Choose a table").set_input_files(tmp_path / "rows.csv")
        page.get_by_text("500 of 500 reviews predicted").wait_for()
        assert page.get_by_text("The rest of the file was not read: rows.csv: more than 500 rows").count() == 1


def test_what_was_rated_before_an_error_can_be_saved(service, browser, tmp_path):
    (tmp_path / "rows.csv").write_text("content\n" + "great\n" * 250, "utf-8")
    requests = []

    def fail_the_third(route):
        requests.append(route)
        if len(requests) == 3:
            route.abort()
        else:
            route.continue_()

    with closing(browser.new_page()) as page:
        page.goto(f"http://127.0.0.1:{service.port}/")
        page.route("**/predict", fail_the_third)
        page.get_by_label("Choose a table").set_input_files(tmp_path / "rows.csv")
        page.get_by_text("200 of 250 reviews predicted").wait_for()
        assert page.get_by_text("The service does not respond. What was rated before can be saved.").count() == 1
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save with predictions").click()
        with saved.value.path().open(encoding="utf-8", newline="") as file:
            reasons = [row["reason"] for row in csv.DictReader(file)]
    assert reasons == [""] * 200 + ["not rated"] * 50


def test_the_page_escapes_formulas_on_request_as_predict_does(service, browser, tmp_path):
    (tmp_path / "a.csv").write_text("=x,content\n-5,=good app\n+1,bad app\n", encoding="utf-8")
    with opened(browser, service) as page:
        page.get_by_label("Choose a table").set_input_files(tmp_path / "a.csv")
        page.get_by_label("escape formulas").check()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save with predictions").click()
        with saved.value.path().open(encoding="utf-8", newline="") as file:
            rows = [row[:3] for row in csv.reader(file)]
        texts = [
            f"{before}{sign}"
            for before in ["", " ", "\u200b", "'", "\0", "a"]
            for sign in "=+-@\uff1d\uff0b\ufb29\t\nb"
        ]
        found = page.evaluate("texts => texts.map(text => FORMULA.test(text))", texts)
    assert [row[:2] for row in rows] == [["'=x", "content"], ["'-5", "'=good app"], ["'+1", "bad app"]]
    assert rows[1][2].isdecimal()
    assert found == [escape_formula(text) != text for text in texts]


def test_the_page_does_not_send_a_file_that_is_too_large(service, browser, tmp_path):
    (tmp_path / "large.csv").write_bytes(b"content\n" + b"good\n" * 30_000)
    with opened(browser, service) as page:
        page.get_by_label("Choose a table").set_input_files(tmp_path / "large.csv")
        page.get_by_text("The file is larger than 100000 bytes").wait_for()


def test_the_page_says_why_a_file_is_refused(service, browser, tmp_path):
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with closing(browser.new_page()) as page:
        page.goto(f"http://127.0.0.1:{service.port}/")
        page.get_by_label("Choose a table").set_input_files(tmp_path / "photo.csv")
        page.get_by_text("photo.csv: cannot be read: it is a PNG picture").wait_for()


def test_a_file_needs_the_token_too(project, browser, tmp_path):
    (tmp_path / "large.csv").write_text("content\n" + "works fine\n" * 500_000, encoding="utf-8")
    with serving(project, tmp_path / "log", "--rows", "9", REVIEWS_TOKEN="correct-horse") as service:
        assert upload(service, "a.csv", CSV.encode())[0] == 401
        with closing(browser.new_page()) as page:
            page.goto(f"http://127.0.0.1:{service.port}/")
            page.get_by_label("Choose a table").set_input_files(tmp_path / "large.csv")
            page.get_by_text("token is missing").wait_for()
            page.keyboard.type("correct-horse")
            page.keyboard.press("Tab")
            page.get_by_text("more than 9 rows").wait_for()
