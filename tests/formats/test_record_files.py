"""Files of each kind become the same rows; one that cannot be read is one clear line."""

import codecs
import gzip
import json
import zipfile

import pandas as pd
import pytest

from src.core.errors import UserError
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
    assert [(row.number, row.problem) for row in rows] == [
        (1, None),
        (2, "wrong number of fields: 3 where the header has 2"),
        (3, None),
    ]
    lines = tmp_path / "a.jsonl"
    lines.write_text('{"content": "good", "score": 5}\n{"content": \n[1]\n', encoding="utf-8")
    assert [row.problem for row in read_table(lines, data).rows] == [None, "not a JSON object", "not a JSON object"]


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
