import codecs
import gzip
import json
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import pytest

from src.core.errors import UserError
from src.formats.sources import file_name, find_files, local_copy
from src.tables.readers import read_table

REVIEWS = [("good, really", "5"), ('says "no"\nand leaves', "1"), ("schön 😀", "4")]


def write_csv(separator=","):
    lines = [("score", "id", "content"), *((stars, "7", text) for text, stars in REVIEWS)]
    quoted = (separator.join('"' + field.replace('"', '""') + '"' for field in line) for line in lines)
    return "\n".join(quoted) + "\n"


def write_jsonl():
    return "".join(json.dumps({"content": text, "score": stars}) + "\n" for text, stars in REVIEWS)


@pytest.fixture
def data(make_params):
    return make_params().data


def read(path, data):
    return [(row.text, row.rating) for row in read_table(path, data).rows]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zip"])
def test_separator_encoding_and_packing_are_found(tmp_path, data, separator, encoding, packing):
    content = write_csv(separator).encode(encoding)
    path = tmp_path / f"reviews.csv{packing}"
    if packing == ".gz":
        content = gzip.compress(content)
    if packing == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("reviews.csv", content)
    else:
        path.write_bytes(content)
    table = read_table(path, data)
    assert [(row.text, row.rating) for row in table.rows] == REVIEWS
    assert table.separator == separator


def test_json_lines_and_parquet_hold_the_same_reviews(tmp_path, data):
    (tmp_path / "a.jsonl").write_text(write_jsonl(), encoding="utf-8")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(write_jsonl().encode()))
    pd.DataFrame(REVIEWS, columns=["content", "score"]).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    for path in tmp_path.iterdir():
        assert read(path, data) == REVIEWS, path


def test_a_file_that_is_not_utf_8_is_read_as_cp1252(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_bytes("content,score\nschön,5\n".encode("cp1252"))
    table = read_table(path, data)
    assert table.encoding == "cp1252"
    assert next(table.rows).text == "schön"


def test_unreadable_rows_have_a_reason_and_keep_their_numbers(tmp_path, data):
    csv = tmp_path / "a.csv"
    csv.write_text("content,score\ngood,5\nbad,1,extra\n\nfine,4\n", encoding="utf-8")
    rows = list(read_table(csv, data).rows)
    problem = "wrong number of fields: 3 where the header has 2"
    assert [(row.number, row.problem) for row in rows] == [(1, None), (2, problem), (3, None)]
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"content": "good", "score": 5}\n{"content": \n[1]\n', encoding="utf-8")
    assert [row.problem for row in read_table(lines, data).rows] == [None, "not a JSON object", "not a JSON object"]


def test_a_missing_column_is_named_with_the_nearest_one(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_text("contents;stars\ngood;5\n", encoding="utf-8")
    message = r"no column content; set data\.text_column to one of: contents, stars; did you mean contents\?"
    with pytest.raises(UserError, match=message):
        read(path, data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"content,score,content\n", "2 columns are called content"),
        ("a.log", b"", r"unknown kind of file .*data\.format"),
        ("a.parquet", b"no parquet", "cannot be read"),
        ("a.csv.gz", b"not gzip", "cannot be read"),
        ("a.csv.gz", gzip.compress(write_csv().encode() * 100)[:-9], "cannot be read"),
        ("a.csv.zip", b"not zip", "cannot be read"),
        ("a.jsonl", b"broken\n", "no column content; the file has no columns"),
        ("a.jsonl", b'{"contents": "good", "score": 5}\n', r"no column content; .*did you mean contents\?"),
    ],
)
def test_an_unreadable_file_is_one_clear_line(tmp_path, data, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        read(path, data)
    assert "\n" not in str(error.value)


def test_a_record_may_lack_a_column(tmp_path, data):
    path = tmp_path / "a.jsonl"
    path.write_text('{"content": "good"}\n{"content": "bad", "score": 1}\n', encoding="utf-8")
    assert read(path, data) == [("good", None), ("bad", 1)]


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_line_of_an_open_quote_is_named(tmp_path, data, end):
    path = tmp_path / "a.csv"
    path.write_text('content,score\n"one\nline",5\nlast,"good\nbad,1' + end, encoding="utf-8")
    with pytest.raises(UserError, match="line 4: a quote is neither doubled"):
        read(path, data)
    path.write_text('content,score\ngood,"5"' + end, encoding="utf-8")
    assert read(path, data) == [("good", "5")]


def test_a_row_quoted_as_a_whole_is_split_into_its_fields(tmp_path, data):
    path = tmp_path / "a.csv"
    path.write_text('content,score,id;;\n"""good, really"",5,1";;\nbad,1,2;;\n', encoding="utf-8")
    table = read_table(path, data)
    assert [(row.text, row.rating) for row in table.rows] == [("good, really", "5"), ("bad", "1")]
    assert table.findings.repairs == {"row in quotes as a whole": 1}


@pytest.mark.parametrize(("start", "encoding"), [(codecs.BOM_UTF8, "utf-8-sig"), (b"", "cp1252")])
def test_a_broken_byte_does_not_overrule_the_byte_order_mark(tmp_path, data, start, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes(start + b"content,score\nsch\xf6n,1\n")
    assert read_table(path, data).encoding == encoding
    assert read(path, data)[0][1] == "1"


@pytest.mark.parametrize("name", ["reviews.csv", "reviews.jsonl", "reviews.parquet"])
def test_slice_columns_are_part_of_the_row_and_may_be_missing(tmp_path, make_params, name):
    table = pd.DataFrame({"at": ["2024-01-02", "2024-02-03"], "score": ["1", "5"], "content": ["bad", "good"]})
    path = tmp_path / name
    {
        ".csv": lambda: table.to_csv(path, index=False),
        ".jsonl": lambda: table.to_json(path, orient="records", lines=True),
        ".parquet": lambda: table.to_parquet(path),
    }[path.suffix]()
    rows = list(read_table(path, make_params({"data.slice_columns": ["country", "at", "score"]}).data).rows)
    assert [row.slices for row in rows] == [(None, "2024-01-02", "1"), (None, "2024-02-03", "5")]
    assert [(row.text, row.rating) for row in rows] == [("bad", "1"), ("good", "5")]


def test_true_probabilities_are_part_of_the_row(tmp_path, data):
    path = tmp_path / "a.csv"
    lines = ["0,0,0,.25,.75", ",,,,", "1,0,0,0,x", "nan,0,0,0,1", "2,-1,0,0,0", "0,0,0,0,.5"]
    header = "content,score,true_p1,true_p2,true_p3,true_p4,true_p5\n"
    path.write_text(header + "".join(f"good,5,{line}\n" for line in lines), encoding="utf-8")
    rows = list(read_table(path, data).rows)
    assert [row.true_probabilities for row in rows] == [(0, 0, 0, 0.25, 0.75), *[None] * 5]
    assert [row.problem for row in rows] == [None] * 2 + ["true probabilities are invalid or do not sum to 1"] * 4
    assert {row.text for row in rows} == {"good"}


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


def test_a_url_is_read_like_a_file(serve, data, tmp_path):
    body = gzip.compress(write_csv().encode())
    home = serve({"/new.csv.gz": (200, {}, body), "/old.csv.gz": (302, {"Location": "/new.csv.gz"}, b"")})
    for name in ("new", "old"):
        assert read(local_copy(f"{home}/{name}.csv.gz", tmp_path), data) == REVIEWS


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
