"""Any table of any texts, however written: each used text is the one that was written, and each row is counted."""

import csv
import io
import os
import re
import tempfile
from collections.abc import Callable, Collection
from html import escape
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import UserError
from src.core.params import check_params
from tests.conftest import changed_params
from tests.formats.conftest import prepare_file
from tests.formats.test_cases import CHINESE, JAPANESE, RUSSIAN, xlsx

EXAMPLES = int(os.environ.get("REVIEWS_EXAMPLES", "100"))
WORDS = [
    "good",
    "not",
    'my 24" screen',
    "приложение",
    "не работает",
    "アプリ",
    "使いやすい",
    "很好用",
    "schön",
    "łatwa",
    "😀",
    "👍🏽",
]
MARKS = [
    '"',
    "'",
    '""',
    ",",
    ";",
    "\t",
    "|",
    "\\",
    "\n",
    "\r\n",
    "\\N",
    "{",
    "[",
    "#",
    "=",
    "\u00a0",
    "\u200b",
    "N/A",
    "<br>",
]
TEXT = st.one_of(
    st.lists(st.sampled_from([*WORDS, *MARKS]), max_size=12).map(" ".join),
    st.lists(st.sampled_from([*WORDS, *MARKS]), max_size=6).map("".join),
    st.text(max_size=30),
)
TABLE = st.lists(st.tuples(TEXT, st.integers(1, 5)), min_size=1, max_size=40)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1251", "shift_jis", "gb18030"])
QUOTING = st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
SEPARATORS = st.sampled_from(",;\t|")
LEGACY = {"cp1251": RUSSIAN, "shift_jis": JAPANESE, "gb18030": CHINESE}
PARAMS = check_params(changed_params({}), "params.yaml")
Rows = list[tuple[str, int]]


def check(
    name: str,
    content: bytes,
    rows: Rows,
    data: dict[str, Any] | None = None,
    others: Callable[[str], Collection[str]] = lambda _: (),
) -> bool:
    """Check a file against the rows written into it; return False if it was refused.

    others: what a text may be read as, too, where its file does not tell which reading is right.
    """
    params = PARAMS.model_copy(update={"data": PARAMS.data.model_copy(update=data or {})})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            found = prepare_file(path, params)
        except UserError as error:
            if not str(error).startswith(str(path)):
                raise
            return False
    counts = found.summary["rows"]
    assert counts["read"] == len(rows)
    assert len(found.used) + counts["rejected"] + counts["duplicates"] + counts["textless"] == len(rows)
    for number, text, stars, _ in found.used:
        # Two tables of Shift-JIS differ in the width of a few signs.
        written, read = (normalize("NFKC", each.strip()) for each in (rows[number - 1][0], text))
        assert stars == rows[number - 1][1]
        assert read == written or read in others(written)
    return True


def told(encoding: str) -> dict[str, Any]:
    """Return the setting for an encoding that nobody could recognise by texts without sense."""
    return {"encoding": encoding} if encoding in LEGACY else {}


def other_readings(rows: Rows) -> Callable[[str], set[str]]:
    """Return what the texts of lines without quoting may be read as, where their file does not tell.

    Quotes around a text may be those of the format; in a file with a NULL of a database, backslashes may escape.
    """
    database = any(text == "\\N" for text, _ in rows)

    def readings(text: str) -> set[str]:
        found = {text}
        if text.startswith('"') and text.endswith('"'):
            found.add(text[1:-1].replace('""', '"').strip())
        return found | {re.sub(r'\\([\\"])', r"\1", each) for each in found if database}

    return readings


def encodable(rows: Rows, encoding: str) -> Rows:
    """Leave out what an encoding lacks, and NUL."""
    return [(text.encode(encoding, "ignore").decode(encoding).replace("\0", ""), stars) for text, stars in rows]


@settings(max_examples=EXAMPLES)
@given(TABLE, QUOTING, SEPARATORS, ENCODINGS, st.sampled_from(["\n", "\r\n"]))
def test_csv_with_quotes(rows: Rows, quoting: Any, separator: str, encoding: str, end: str) -> None:
    rows = encodable(rows, encoding)
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerows([("content", "score"), *rows])
    check("a.csv", out.getvalue().encode(encoding), rows, told(encoding))


@settings(max_examples=EXAMPLES)
@given(TABLE, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONE]), SEPARATORS, ENCODINGS)
def test_csv_with_backslashes(rows: Rows, quoting: Any, separator: str, encoding: str) -> None:
    # Without such a row, a small table may be read in two ways.
    rows = encodable([*rows, ('said "no", yes; and\tso | on', 3)], encoding)
    if quoting == csv.QUOTE_NONE:  # csv.writer leaves a carriage return as it is
        rows = [(text.replace("\r", " "), stars) for text, stars in rows]
    out = io.StringIO(newline="")
    how: dict[str, Any] = {"quoting": quoting, "doublequote": False, "escapechar": "\\", "lineterminator": "\n"}
    csv.writer(out, delimiter=separator, **how).writerows([("score", "content"), *((n, text) for text, n in rows)])
    check("a.csv", out.getvalue().encode(encoding), rows, told(encoding))


@settings(max_examples=EXAMPLES)
@given(TABLE, SEPARATORS, ENCODINGS, st.booleans())
def test_lines_joined_without_quotes(rows: Rows, separator: str, encoding: str, text_last: bool) -> None:
    # Whether quotes belong to the texts of a few rows, their file alone cannot tell: most rows have none.
    rows = [*rows, *((f"a plain review {number}", 3) for number in range(2 * len(rows)))]
    rows = [(" ".join(text.replace(separator, " ").splitlines()), stars) for text, stars in encodable(rows, encoding)]
    lines = [("score", "content"), *((str(stars), text) for text, stars in rows)]
    joined = "\n".join(separator.join(line if text_last else reversed(line)) for line in lines) + "\n"
    check("a.csv", joined.encode(encoding), rows, told(encoding) | {"quoting": "none"})
    check("a.csv", joined.encode(encoding), rows, told(encoding), other_readings(rows))


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(list(LEGACY)), st.data())
def test_an_encoding_is_right_or_asked_for(encoding: str, data: Any) -> None:
    words = st.sampled_from([*LEGACY[encoding], "good", "it crashes", "10/10"])
    texts = st.lists(words, min_size=1, max_size=5).map(" ".join)
    rows = data.draw(st.lists(st.tuples(texts, st.integers(1, 5)), min_size=1, max_size=40))
    lines = ["content;score", *(f"{text};{stars}" for text, stars in rows)]
    check("a.csv", "\n".join(lines).encode(encoding), rows)


@settings(max_examples=EXAMPLES)
@given(TABLE, st.sampled_from(["csv", "json", "jsonl", "parquet", "xlsx"]), st.sampled_from(["utf-8", "utf-16"]))
def test_pandas_and_spreadsheets(rows: Rows, kind: str, encoding: str) -> None:
    rows = encodable(rows, "utf-8")
    table, out = pd.DataFrame(rows, columns=["content", "score"]), io.BytesIO()
    if kind == "xlsx":
        rows = [("".join(filter(str.isprintable, text)), stars) for text, stars in rows]
        cells = [["content", "score"], *([escape(text), stars] for text, stars in rows)]
        assert check("a.xlsx", xlsx(cells), rows)
        return
    if kind == "csv":
        out.write(table.to_csv(index=False).encode(encoding))
    elif kind == "parquet":
        table.to_parquet(out)
    else:
        out.write(table.to_json(orient="records", lines=kind == "jsonl").encode(encoding))
    assert check(f"a.{kind}", out.getvalue(), rows) or kind == "csv"
