"""CSV in all its dialects: each table comes out as it was written, or ends with one line that names the place."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import UserError
from src.core.params import Data, Params
from src.tables.readers import Row, read_table
from tests.conftest import ROOT

CASES = ROOT / "tests/cases"
REVIEWS = [
    ("plain text", "5"),
    ('"fast" is not the word', "1"),
    ('a 24" screen', "4"),
    ("two lines\nin one; really, and\ta tab | too", "3"),
    ("naïve 😀 приложение アプリ", "2"),
    ('it says ""quoted""', "5"),
    (r"C:\new and \"escaped\"", "1"),
    ('ends with a quote"', "2"),
    ("", "3"),
    ("'single'", "4"),
] * 12


@pytest.fixture
def data(make_params: Callable[..., Params]) -> Data:
    return make_params().data


def read(path: Path, data: Data) -> list[Row]:
    return list(read_table(path, data).rows)


def pairs(rows: list[Row]) -> list[tuple[str, str]]:
    return [(str(row.text), str(row.rating)) for row in rows if row.problem is None]


@pytest.mark.parametrize(
    ("name", "rows", "rejected", "first"),
    [
        ("inch_mark.csv", 100, 0, None),
        ("stray_quote.tsv", 100, 0, None),
        ("quoted_row_with_line_end.csv", 2, 1, "fine app"),
        ("one_bad_byte.csv", 100, 0, None),
        ("cp1251.csv", 60, 0, "приложение не работает 0"),
        ("shift_jis.csv", 60, 0, "このアプリは使いやすい0"),
        ("space_in_header.csv", 100, 0, "the app works fine on my tablet 0"),
        ("trailing_separator.csv", 100, 0, "the app works fine on my tablet 0"),
        ("title_lines.csv", 100, 0, "the app works fine on my tablet 0"),
    ],
)
def test_tables_that_readers_stumble_over(data: Data, name: str, rows: int, rejected: int, first: str | None) -> None:
    found = read(CASES / name, data)
    assert len(pairs(found)) == rows
    assert len(found) - rows == rejected
    assert all(row.rating in "12345" for row in found if row.problem is None)
    if first:
        assert found[0].text == first


def test_a_table_without_quoting_keeps_each_line_and_its_quotes(data: Data) -> None:
    lines = (CASES / "inch_mark.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [f"{text};{rating}" for text, rating in pairs(read(CASES / "inch_mark.csv", data))] == lines


def test_a_bad_byte_costs_one_character(data: Data) -> None:
    table = read_table(CASES / "one_bad_byte.csv", data)
    texts = [row.text for row in table.rows]
    assert table.encoding == "utf-8"
    assert sum("schön" in text for text in texts) == 99
    assert sum("\ufffd" in text for text in texts) == 1
    assert table.findings.repairs["invalid character"] == 1


def written(reviews: list[tuple[str, str]], **how: object) -> str:
    file = io.StringIO()
    writer = csv.writer(file, **how)  # type: ignore[arg-type]
    writer.writerow(["content", "score"])
    writer.writerows(reviews)
    return file.getvalue()


DIALECTS = {
    "minimal": {},
    "all": {"quoting": csv.QUOTE_ALL},
    "nonnumeric": {"quoting": csv.QUOTE_NONNUMERIC},
    "semicolon": {"delimiter": ";"},
    "tab": {"delimiter": "\t", "quoting": csv.QUOTE_ALL},
    "pipe": {"delimiter": "|"},
    "unix": {"lineterminator": "\n"},
    "mac": {"lineterminator": "\r"},
    "backslash": {"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_ALL},
    "no quoting": {"quoting": csv.QUOTE_NONE, "escapechar": "\\"},
}
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_review_is_read_as_it_was_written(tmp_path: Path, data: Data, dialect: str, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(written(REVIEWS, **DIALECTS[dialect]).encode(encoding))
    assert pairs(read(path, data)) == REVIEWS


@pytest.mark.parametrize("above", ["sep=;\n", "Review export\n2024-05-01\n\n", "\ufeff"])
def test_lines_above_the_header_are_skipped(tmp_path: Path, data: Data, above: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(above + written(REVIEWS, delimiter=";"), encoding="utf-8", newline="")
    assert pairs(read(path, data)) == REVIEWS


def test_spaces_after_separators_belong_to_the_format(tmp_path: Path, data: Data) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"content", "score"\n"good, really", 5\n"bad", 1\n', encoding="utf-8")
    assert pairs(read(path, data)) == [("good, really", "5"), ("bad", "1")]


def test_what_quoting_says_is_obeyed(tmp_path: Path, data: Data) -> None:
    path = tmp_path / "a.csv"
    path.write_text('content,score\n"good",5\n"bad, really",1\n', encoding="utf-8")
    assert pairs(read(path, data)) == [("good", "5"), ("bad, really", "1")]
    assert pairs(read(path, data.model_copy(update={"quoting": "none"}))) == [('"good"', "5")]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
MODES = st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])


@settings(max_examples=300)
@given(st.lists(st.tuples(TEXT, st.sampled_from("12345")), min_size=1, max_size=12), MODES, st.sampled_from(",;\t|"))
def test_any_table_is_read_as_it_was_written_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    make_params: Callable[..., Params],
    reviews: list[tuple[str, str]],
    quoting: int,
    separator: str,
) -> None:
    path = tmp_path_factory.mktemp("any") / "a.csv"
    path.write_bytes(written(reviews, quoting=quoting, delimiter=separator).encode("utf-8"))
    try:
        rows = read(path, make_params().data)
    except UserError:
        return
    assert len(rows) == len(reviews)
    assert not Counter(pairs(rows)) - Counter(reviews)
