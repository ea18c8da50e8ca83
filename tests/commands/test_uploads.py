"""Tables sent to the service: read by the project's own reader, within bounds, in a process that ends."""

import gzip
import json
import socket
import time
from contextlib import closing
from urllib.parse import quote

import psutil
import pytest

from tests.commands.test_serve import opened, serving

ROWS = [f"{text} {i}" for i in range(50) for text in ("works fine", "slow, and it crashes", 'my 24" screen')]
CSV = "content,score\n" + "".join('"{}",{}\n'.format(text.replace('"', '""'), 1 + i % 5) for i, text in enumerate(ROWS))
RUSSIAN = "content,score\n" + "приложение не работает,1\nочень хорошо,5\n" * 99  # noqa: RUF001
SMALL = ("--file", "100000", "--rows", "500", "--file-seconds", "8", "--files", "1")


@pytest.fixture(scope="module")
def service(project, tmp_path_factory):
    with serving(project, tmp_path_factory.mktemp("uploads") / "log", *SMALL) as service:
        yield service


def upload(service, name, content, query=""):
    """Return the lines that the service answers, or its status and reason."""
    status, answer = service.request("POST", f"/rows?name={quote(name)}{query}", content)
    lines = [json.loads(line) for line in answer.splitlines()]
    return lines if status == 200 else (status, lines[0]["reason"])


def readers(service):
    return [each for each in psutil.Process(service.process.pid).children() if each.status() != psutil.STATUS_ZOMBIE]


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


REFUSED = {
    "no name": ("", CSV.encode(), 422, "name: give the name"),
    "too large": ("a.csv", b"content\n" + b"good\n" * 30_000, 413, "larger than 100000 bytes"),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(999), 422, "a.csv: cannot be read: it is a PNG picture"),
    "an unknown kind": ("a.log", CSV.encode(), 422, "a.log: unknown kind of file"),
    "empty": ("a.csv", b"", 422, "a.csv: the file is empty"),
    "a bomb": ("a.csv.gz", gzip.compress(b"content\n" + b"good\n" * 999_999), 422, "unpacks to more than 500000 bytes"),
    "no such column": ("a.csv", b"text\ngood\n", 422, "a.csv: no column content"),
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


def test_a_table_with_too_many_rows_ends_with_a_reason(service):
    *_, last = upload(service, "a.csv", b"content\n" + b"good\n" * 501)
    assert "more than 500 rows" in last["reason"]


def test_a_client_that_goes_away_leaves_no_process(service):
    body = "".join([f"content,score\n{'x' * 90_000},5\n"]).encode()
    head = f"POST /rows?name=a.csv HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for part in (body[:1000], body):
        with socket.create_connection(("127.0.0.1", service.port)) as sock:
            sock.sendall(head + part)
    deadline = time.monotonic() + 20
    while (readers(service) or upload(service, "a.csv", CSV.encode())[0] == 429) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert readers(service) == []
    assert len(upload(service, "a.csv", CSV.encode())) == len(ROWS) + 2


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


def test_the_page_says_why_a_file_is_refused(service, browser, tmp_path):
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    with closing(browser.new_page()) as page:
        page.goto(f"http://127.0.0.1:{service.port}/")
        page.get_by_label("Choose a table").set_input_files(tmp_path / "photo.csv")
        page.get_by_text("photo.csv: cannot be read: it is a PNG picture").wait_for()


def test_a_file_needs_the_token_too(project, tmp_path):
    with serving(project, tmp_path / "log", REVIEWS_TOKEN="correct-horse-battery") as service:
        assert upload(service, "a.csv", CSV.encode())[0] == 401
