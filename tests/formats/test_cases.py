"""Small tables of every kind that was seen to go wrong: each comes out right, or ends with one line that says why."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.core.errors import UserError
from tests.conftest import ROOT
from tests.formats.conftest import Prepared

CASES = ROOT / "tests/cases"
Prepare = Callable[..., Prepared]

FILES: dict[str, tuple[dict[str, Any], int, str, str]] = {  # settings, used reviews, first text, last text
    "inch_mark.csv": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "stray_quote.tsv": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "quoted_row_with_line_end.csv": ({}, 2, "fine app", ""),
    "one_bad_byte.csv": ({}, 100, "the app works fine on my tablet 0 sch\ufffd für mich", "99 schön für mich"),
    "cp1251.csv": ({}, 60, "приложение не работает 0", "приложение не работает 59"),
    "shift_jis.csv": ({}, 60, "このアプリは使いやすい0", "このアプリは使いやすい59"),
    "play_console_utf16.csv": (
        {"text_column": ["Review Title", "Review Text"], "rating_column": "Star Rating"},
        100,
        "Title 1\nthe price crashes daily at last 1",
        "Title 149\nthe camera looks great by far 149",
    ),
    "array.json": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "wrapped.json": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "space_in_header.csv": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "trailing_separator.csv": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "title_lines.csv": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "ratings_in_words.csv": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "headerless.csv": (
        {"header": False, "text_column": 3, "rating_column": 2},
        100,
        "the app works fine on my tablet 0",
        "my sync is a joke so far 99",
    ),
    "literal_line_ends.csv": ({}, 100, r"the\napp works fine on my tablet 0", r"my\nsync is a joke so far 99"),
    "missing_as_words.csv": ({}, 75, "the login page crashes daily at last 1", "my sync is a joke so far 99"),
    "mac.csv.zip": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "sheet.xlsx": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "timestamps.parquet": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
    "far_date.parquet": ({}, 100, "the app works fine on my tablet 0", "my sync is a joke so far 99"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_that_readers_stumble_over(prepared: Prepare, name: str) -> None:
    settings, reviews, first, last = FILES[name]
    found = prepared(name, (CASES / name).read_bytes(), **settings)
    assert len(found.used) == reviews
    assert found.texts[0] == first
    assert found.texts[-1].endswith(last)
    rows = found.summary["rows"]
    assert rows["read"] == sum(rows[kind] for kind in ("used", "rejected", "duplicates", "textless"))


def test_what_those_tables_hold_beside_reviews_is_counted(prepared: Prepare) -> None:
    def summary(name: str, **settings: Any) -> dict[str, Any]:
        return prepared(name, (CASES / name).read_bytes(), **settings).summary

    assert summary("one_bad_byte.csv")["repaired"] == {"invalid character": 1}
    assert summary("trailing_separator.csv")["repaired"] == {"separator at the end of a row": 100}
    assert summary("quoted_row_with_line_end.csv")["rejected"] == {"wrong number of fields": 1}
    assert summary("missing_as_words.csv")["rows"]["textless"] == 25
    columns = FILES["play_console_utf16.csv"][0]
    assert summary("play_console_utf16.csv", **columns)["rows"]["textless"] == 50
    assert summary("cp1251.csv")["encoding"] == "cp1251"
    scale = prepared("stars_0_to_4.csv", (CASES / "stars_0_to_4.csv").read_bytes()).other_scale
    assert scale == (
        "ratings run from 0 to 4 (0, 1, 2, 3, 4); in the section data of params.yaml, write "
        "rating_scale: [0, 4], or a rating_map"
    )


@pytest.mark.parametrize(
    ("content", "settings", "characters"),
    [
        (b"\xef\xbb\xbfscore,content\n1,sch\xf6n\n2,gut\n", {}, 1),
        ("score,content\n1,gut\n2,sch\ud83dn\n".encode("utf-16", "surrogatepass"), {}, 1),
        ("score,content\n1,приложение\n2,хорошо\n".encode("koi8_r"), {"encoding": "utf-8"}, 16),
        (b"score,content\n1,gut\n2,sch\x81n\n", {"encoding": "cp1252"}, 1),
    ],
)
def test_characters_that_an_encoding_lacks_are_counted(
    prepared: Prepare, content: bytes, settings: dict[str, Any], characters: int
) -> None:
    found = prepared("a.csv", content, **settings)
    assert found.summary["repaired"] == {"invalid character": characters}
    assert "".join(found.texts).count("\ufffd") == characters


def table(separator: str = ",", end: str = "\n", **options: str) -> str:
    """Five reviews with a separator, a quote and a line end in them, quoted as RFC 4180 says."""
    texts = ['good; really, "good"', "two\nlines", "fast | slow\tapp", "it's fine", 'a 24" screen']
    lines = [
        separator.join(("score", "content")),
        *(f'{n}{separator}"{quoted(text)}"' for n, text in enumerate(texts, 1)),
    ]
    return options.get("above", "") + end.join(lines) + end


def quoted(text: str) -> str:
    return text.replace('"', '""')


TEXTS = ['good; really, "good"', "two\nlines", "fast | slow\tapp", "it's fine", 'a 24" screen']
PLAIN = ["good", "very bad", "so so", "fine app", "love it"]


def rows(*lines: str, end: str = "\n") -> bytes:
    return (end.join(lines) + end).encode()


def plain(form: str, header: str = "score,content", separator: str = ",") -> bytes:
    """Lines made of PLAIN by a form with {n} and {text}."""
    return rows(header, *(form.format(n=n, text=text) for n, text in enumerate(PLAIN, 1)))


def plain_rows(form: str, odd: dict[int, str]) -> bytes:
    """A hundred lines by a form; the texts of the odd ones have a form of their own."""
    lines = [form.format(n=1 + n % 5, text=text) for n, text in enumerate(plain_texts(odd))]
    return rows("score\tcontent", *lines)


def plain_texts(odd: dict[int, str]) -> list[str]:
    return [odd.get(n, "{text}").format(text=f"{PLAIN[n % 5]} {n}") for n in range(100)]


def json_rows(**extra: Any) -> list[dict[str, Any]]:
    return [{"content": text, "score": n} | extra for n, text in enumerate(PLAIN, 1)]


def parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"content": PLAIN, "score": [1, 2, 3, 4, 5]} | columns), out)
    return out.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def xlsx(*sheets: list[list[Any]]) -> bytes:
    """A spreadsheet with text and numbers, as small as the format allows."""

    def cell(value: Any) -> str:
        if isinstance(value, int | float):
            return f"<c><v>{value}</v></c>"
        return f'<c t="inlineStr"><is><t>{value}</t></is></c>' if value else "<c/>"

    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    names = range(1, len(sheets) + 1)
    book = "".join(f'<sheet name="Sheet{i}" sheetId="{i}" r:id="r{i}"/>' for i in names)
    links = "".join(f'<Relationship Id="r{i}" Type="{office}/worksheet" Target="worksheets/s{i}.xml"/>' for i in names)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{book}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">{links}</Relationships>',
    }
    for i, sheet in zip(names, sheets, strict=True):
        lines = "".join(f"<row>{''.join(map(cell, line))}</row>" for line in sheet)
        parts[f"xl/worksheets/s{i}.xml"] = f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
    return zipped(*((name, content.encode()) for name, content in parts.items()))


RUSSIAN = ["приложение не работает", "очень хорошо", "после обновления вылетает", "всё нравится", "ужасная реклама"]
POLISH = [
    "świetna aplikacja, polecam każdemu",
    "źle działa po aktualizacji",
    "może być",
    "łatwa obsługa",
    "błąd logowania",
]
JAPANESE = ["とても使いやすいアプリです", "広告が多すぎる", "まあまあです", "最高のアプリ", "ログインできません"]
CHINESE = ["这个应用很好用", "更新以后总是闪退", "一般般吧", "非常喜欢这个软件", "广告太多了"]
KOREAN = ["정말 좋은 앱입니다", "업데이트 후 계속 종료됩니다", "그냥 그래요", "아주 유용해요", "광고가 너무 많아요"]


TAIWANESE = ["這個應用程式很好用", "更新以後一直閃退", "還可以", "非常喜歡這個軟體", "廣告太多了"]
GREEK = ["πολύ καλή εφαρμογή", "δεν λειτουργεί μετά την ενημέρωση", "έτσι κι έτσι", "μου αρέσει", "πολλές διαφημίσεις"]
TURKISH = ["çok güzel bir uygulama", "güncellemeden sonra açılmıyor", "idare eder", "şarkı gibi", "reklamlar çoğaldı"]  # noqa: RUF001
HEBREW = ["אפליקציה מצוינת", "לא עובד אחרי העדכון", "ככה ככה", "מאוד אהבתי", "יותר מדי פרסומות"]
ARABIC = ["تطبيق رائع جدا", "لا يعمل بعد التحديث", "لا بأس به", "أحببته كثيرا", "إعلانات كثيرة"]
THAI = ["แอปดีมาก", "ใช้งานไม่ได้หลังอัปเดต", "ก็พอใช้ได้", "ชอบมาก", "โฆษณาเยอะเกินไป"]
GERMAN = [
    "schöne App, für mich perfekt",
    "stürzt ständig ab",
    "ganz okay",
    "läuft flüssig",
    "zu viel Werbung, ärgerlich",
]


def in_encoding(texts: list[str], encoding: str) -> bytes:
    lines = [f"{1 + (i + j) % 5};{text} {i}" for i in range(40) for j, text in enumerate(texts)]
    return ("score;content\n" + "\n".join(lines) + "\n").encode(encoding)


TABLES: dict[str, tuple[str, bytes, dict[str, Any], list[str]]] = {
    **{f"separator {name}": ("a.csv", table(name).encode(), {}, TEXTS) for name in ",;\t|"},
    "separator set": ("a.csv", table("^").encode(), {"separator": "^"}, TEXTS),
    "windows line ends": ("a.csv", table(end="\r\n").encode(), {}, TEXTS),
    "carriage returns in texts": ("a.csv", plain("{n},{text}\ragain"), {}, [f"{text}\ragain" for text in PLAIN]),
    "line feeds in texts without quotes": (
        "a.tsv",
        plain("{text}\nagain\t{n}\r", "content\tscore\r"),
        {},
        [f"{text}\nagain" for text in PLAIN],
    ),
    "line feeds in texts without quotes, text last": (
        "a.tsv",
        plain("{n}\t{text}\n\nagain\r", "score\tcontent\r"),
        {},
        [f"{text}\n\nagain" for text in PLAIN],
    ),
    "a header from another system": ("a.csv", plain("{n},{text}", "score,content\r"), {}, PLAIN),
    "old mac line ends": ("a.csv", plain("{n},{text}").replace(b"\n", b"\r"), {}, PLAIN),
    "a sep line": ("a.csv", table(";", above="sep=;\n").encode(), {}, TEXTS),
    "title lines": ("a.csv", table(above="Reviews of May\n\nall countries\n").encode(), {}, TEXTS),
    "utf-8 with mark": ("a.csv", table().encode("utf-8-sig"), {}, TEXTS),
    "utf-16 with mark": ("a.csv", table("\t").encode("utf-16"), {}, TEXTS),
    "utf-16 without mark": ("a.csv", table("\t").encode("utf-16-le"), {}, TEXTS),
    "utf-32": ("a.csv", table().encode("utf-32"), {}, TEXTS),
    "inch marks without quoting": ("a.csv", plain('{n},my 24" {text}'), {}, [f'my 24" {text}' for text in PLAIN]),
    "quotes first without quoting": (
        "a.tsv",
        plain('{n}\t"{text}" he', "score\tcontent"),
        {},
        [f'"{t}" he' for t in PLAIN],
    ),
    "an open quote": (
        "a.csv",
        rows("score,content", '1,"never closed', "2,fine", "3,good"),
        {},
        ['"never closed', "fine", "good"],
    ),
    "inch marks that enclose rows, ratings in words": (
        "a.tsv",
        plain_rows("Rated {n} out of 5\t{text}", {40: '"inch {text}', 60: '{text} 24"'}),
        {},
        plain_texts({40: '"inch {text}', 60: '{text} 24"'}),
    ),
    "inch marks that enclose rows, ratings of the other kind": (
        "a.tsv",
        plain_rows("{n}\t{text}", {40: '"inch {text}', 60: '{text} 24"'}).replace(b"1\tgood 50", b"one\tgood 50"),
        {},
        [text for text in plain_texts({40: '"inch {text}', 60: '{text} 24"'}) if text != "good 50"],
    ),
    "quotes in the middle": ("a.csv", plain('{n},so "{text}" it is'), {}, [f'so "{text}" it is' for text in PLAIN]),
    "quoting none": ("a.csv", plain('{n},"{text}"'), {"quoting": "none"}, [f'"{text}"' for text in PLAIN]),
    "quoting double": ("a.csv", plain('{n},"{text}"'), {"quoting": "double"}, PLAIN),
    "backslash escapes": ("a.csv", plain(r'{n},"{text} \"x\", y"'), {}, [f'{text} "x", y' for text in PLAIN]),
    "single quotes": (
        "a.csv",
        plain("{n},'{text}, it is'", "'score','content'"),
        {},
        [f"{text}, it is" for text in PLAIN],
    ),
    "spaces after separators": (
        "a.csv",
        plain('{n}, "{text}, it is"', "score, content"),
        {},
        [f"{t}, it is" for t in PLAIN],
    ),
    "trailing separators": ("a.csv", plain("{n},{text},"), {}, PLAIN),
    "rows in quotes": ("a.csv", plain('"{n},""{text}, really"""'), {}, [f"{text}, really" for text in PLAIN]),
    "padding of a spreadsheet": ("a.csv", plain("{n},{text};;;", "score,content;;;"), {}, PLAIN),
    "no-break space in names": ("a.csv", plain("{n},{text}", "score\u00a0,\u00a0content"), {}, PLAIN),
    "zero width in names": ("a.csv", plain("{n},{text}", "\u200bscore,content\u200b"), {}, PLAIN),
    "blank lines": ("a.csv", plain("{n},{text}\n"), {}, PLAIN),
    "no header": (
        "a.csv",
        plain("{n};{text}", "5;first"),
        {"header": False, "text_column": 2, "rating_column": 1},
        ["first", *PLAIN],
    ),
    "MySQL's NULL": ("a.tsv", rows("score\tcontent", "5\tgood", "1\t\\N", "\\N\tbad"), {}, ["good"]),
    "words for no text": ("a.csv", rows("score,content", "5,good", "1,N/A", "1,nan", "2,NULL"), {}, ["good"]),
    "title and text": (
        "a.csv",
        rows("title,content,score", "Great,I love it,5", ",no title,3", "no text,,1"),
        {"text_column": ["title", "content"]},
        ["Great\nI love it", "no title", "no text"],
    ),
    "textless rows in the thousands": (
        "a.csv",
        rows("score,content", *(f"{1 + i % 5}," for i in range(3000)), "5,good"),
        {},
        ["good"],
    ),
    "pages of reviews that all lack a text": (
        "a.jsonl",
        rows(
            json.dumps({"data": [{"score": 5, "content": None}] * 30 + json_rows()}),
            json.dumps({"data": [{"score": 5}] * 3}),
            json.dumps({"data": [{"score": 5, "content": None}] * 3}),
        ),
        {},
        PLAIN,
    ),
    "a review without text that holds its history": (
        "a.jsonl",
        rows(json.dumps({"content": None, "score": 5, "history": json_rows()}), *map(json.dumps, json_rows())),
        {},
        PLAIN,
    ),
    "json lines": ("a.jsonl", rows(*map(json.dumps, json_rows())), {}, PLAIN),
    "json lines named json": ("a.json", rows(*map(json.dumps, json_rows())), {}, PLAIN),
    "a json array": ("a.json", json.dumps(json_rows(), indent=2).encode(), {}, PLAIN),
    "a json array in utf-16": ("a.json", json.dumps(json_rows(), ensure_ascii=False).encode("utf-16"), {}, PLAIN),
    "a json array with NaN": ("a.json", json.dumps(json_rows(version=float("nan"))).encode(), {}, PLAIN),
    "wrapped json": (
        "a.json",
        json.dumps({"n": 5, "result": {"tags": ["a"], "items": json_rows()}}).encode(),
        {},
        PLAIN,
    ),
    "two lists in one object": (
        "a.json",
        json.dumps({"bad": json_rows()[:2], "good": json_rows()[2:]}).encode(),
        {},
        PLAIN,
    ),
    "a page a line": (
        "a.jsonl",
        rows(json.dumps({"data": json_rows()[:2]}), json.dumps({"data": json_rows()[2:]})),
        {},
        PLAIN,
    ),
    "objects over several lines": (
        "a.json",
        "\n".join(json.dumps(row, indent=1) for row in json_rows()).encode(),
        {},
        PLAIN,
    ),
    "nested json": (
        "a.json",
        json.dumps([{"a": {"text": [text]}, "b.c": {"stars": n}} for n, text in enumerate(PLAIN, 1)]).encode(),
        {"text_column": "a.text.0", "rating_column": "b.c.stars"},
        PLAIN,
    ),
    "nested parquet": (
        "a.parquet",
        parquet(review=[{"body": text} for text in PLAIN]),
        {"text_column": "review.body"},
        PLAIN,
    ),
    "a spreadsheet with titles": (
        "a.xlsx",
        xlsx([["Reviews"], [], ["score", "content"], *([n, t] for n, t in enumerate(PLAIN, 1))]),
        {},
        PLAIN,
    ),
    "the second sheet": (
        "a.xlsx",
        xlsx([["About"]], [["content", "score"], *([t, n + 1.0] for n, t in enumerate(PLAIN))]),
        {},
        PLAIN,
    ),
    "a sheet for each year": (
        "a.xlsx",
        xlsx(
            [["Reviews"], ["score", "content"], [1, PLAIN[0]], [2, PLAIN[1]]],
            [["About"]],
            [["score", "content"], *([n, text] for n, text in enumerate(PLAIN[2:], 3))],
        ),
        {},
        PLAIN,
    ),
    "sheets without a header": (
        "a.xlsx",
        xlsx([[n, text] for n, text in enumerate(PLAIN[:2], 1)], [[n, text] for n, text in enumerate(PLAIN[2:], 3)]),
        {"header": False, "text_column": 2, "rating_column": 1},
        PLAIN,
    ),
    "a row in quotes as a whole with a line separator": (
        "a.csv",
        rows("content,score", *(f'"{text}\u2028really,{n}"' for n, text in enumerate(PLAIN, 1))),
        {},
        [f"{text}\u2028really" for text in PLAIN],
    ),
    "backslashes of a database": (
        "a.tsv",
        rows("score\tcontent\tversion", *(rf"{n}	{text} C:\\new	\N" for n, text in enumerate(PLAIN, 1))),
        {},
        [rf"{text} C:\new" for text in PLAIN],
    ),
    "a quote inside a field with backslashes": (
        "a.csv",
        rows("score,content", *(rf'{n},"{text} \"x\", y"' for n, text in enumerate(PLAIN * 6, 1)), '5,"a "b" c"'),
        {},
        [*(f'{text} "x", y' for text in PLAIN), '"a "b" c"'],
    ),
    "no header, long texts": (
        "a.csv",
        b"".join(b'"%d, so, on\n%s, and, more";%d;v\n' % (n, b"line, a\n" * n, 1 + n % 5) for n in range(30)),
        {"header": False, "text_column": 1, "rating_column": 2},
        [f"{n}, so, on\n" + "line, a\n" * n + ", and, more" for n in range(30)],
    ),
    "gzip": ("a.csv.gz", gzip.compress(table().encode()), {}, TEXTS),
    "bzip2": ("a.csv.bz2", bz2.compress(table().encode()), {}, TEXTS),
    "xz": ("a.csv.xz", lzma.compress(table().encode()), {}, TEXTS),
    "a zip named otherwise": (
        "export.zip",
        zipped(("reviews/a.csv", table().encode()), ("__MACOSX/._a.csv", b"x")),
        {},
        TEXTS,
    ),
    "a zipped json array": ("a.zip", zipped(("a.json", json.dumps(json_rows()).encode())), {}, PLAIN),
    "a cut character": (
        "a.csv",
        plain("{n},{text} schön schön").replace("so so sch\u00f6n".encode(), b"so so sch\xc3n"),
        {},
        [f"{text} schön schön".replace("so so schö", "so so sch\ufffd") for text in PLAIN],
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_small_table(prepared: Prepare, name: str) -> None:
    file, content, settings, texts = TABLES[name]
    found = prepared(file, content, **settings)
    assert found.texts == texts
    counts = found.summary["rows"]
    assert counts["read"] == sum(counts[kind] for kind in ("used", "rejected", "duplicates", "textless"))


@pytest.mark.parametrize(
    ("texts", "encoding"),
    [
        *((RUSSIAN, encoding) for encoding in ("cp1251", "koi8_r", "iso8859_5", "utf-16-le")),
        *((POLISH, encoding) for encoding in ("cp1250", "iso8859_2")),
        *((JAPANESE, encoding) for encoding in ("shift_jis", "cp932", "euc_jp")),
        *((CHINESE, encoding) for encoding in ("gb18030", "gbk")),
        *((KOREAN, encoding) for encoding in ("euc_kr", "cp949")),
        *((TAIWANESE, encoding) for encoding in ("big5", "cp950")),
        *((GREEK, encoding) for encoding in ("cp1253", "iso8859_7")),
        *((TURKISH, encoding) for encoding in ("cp1254", "iso8859_9")),
        *((HEBREW, "cp1255"), (ARABIC, "cp1256"), (THAI, "cp874")),
        *((GERMAN, encoding) for encoding in ("cp1252", "iso8859_15", "cp850", "mac_roman")),
    ],
)
def test_an_encoding_is_found_or_two_are_shown(prepared: Prepare, texts: list[str], encoding: str) -> None:
    try:
        found = prepared("a.csv", in_encoding(texts, encoding))
    except UserError as error:
        if "set data.encoding" not in str(error):
            raise
        found = prepared("a.csv", in_encoding(texts, encoding), encoding=encoding)
    assert found.texts == [f"{text} {i}" for i in range(40) for text in texts]


RATINGS = {
    ("4 stars", "Rated 4 out of 5", "4/5", "4,0", "★★★★☆", "bubble_40", "4.0 out of 5 stars", "⭐⭐⭐⭐"): [4] * 8,
    ("1.5", "2,5", "4.5", "3.50"): [2, 3, 5],
}


@pytest.mark.parametrize("cells", RATINGS)
def test_ratings_as_exports_write_them(prepared: Prepare, cells: tuple[str, ...]) -> None:
    lines = ["score;content", *(f"{cell};review {i}" for i, cell in enumerate(cells))]
    assert prepared("a.csv", rows(*lines)).stars == RATINGS[cells]


@pytest.mark.parametrize(
    ("settings", "stars"),
    [
        ({"rating_scale": [0.0, 10.0]}, [1, 3, 5]),
        ({"rating_map": {0: 1, "5": 2, 10: 4}}, [1, 2, 4]),
    ],
)
def test_ratings_of_another_scale_are_mapped_as_told(
    prepared: Prepare, settings: dict[str, Any], stars: list[int]
) -> None:
    assert prepared("a.csv", rows("score,content", "0,bad", "5,so so", "10,good"), **settings).stars == stars


DAYS = [date(2024, 1, 3), date(2024, 2, 3), date(2024, 2, 4), date(2025, 1, 1), date(2025, 1, 2)]
TIMES = [datetime(day.year, day.month, day.day, 12, 30, tzinfo=UTC) for day in DAYS]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", pd.DataFrame({"content": PLAIN, "score": 5, "at": TIMES}).to_csv(index=False).encode()),
        (
            "a.jsonl",
            pd.DataFrame({"content": PLAIN, "score": 5, "at": TIMES})
            .to_json(orient="records", lines=True, date_format="iso")
            .encode(),
        ),
        (
            "b.json",
            json.dumps(
                [{"content": t, "score": 5, "at": int(at.timestamp())} for t, at in zip(PLAIN, TIMES, strict=True)]
            ).encode(),
        ),
        ("a.parquet", parquet(at=TIMES)),
        ("b.parquet", parquet(at=DAYS)),
        ("c.parquet", parquet(at=pa.array(TIMES, pa.timestamp("ns")))),
        ("d.parquet", parquet(at=pa.array([int(at.timestamp() * 1000) for at in TIMES]))),
        ("a.xlsx", xlsx([["content", "score", "at"], *([t, 5, str(at)] for t, at in zip(PLAIN, TIMES, strict=True))])),
    ],
)
def test_dates_of_every_type_are_iso_text(prepared: Prepare, name: str, content: bytes) -> None:
    used = prepared(name, content, slice_columns=["at"]).used
    assert [slices[0][:10] for _, _, _, slices in used if slices[0]] == [str(day) for day in DAYS]


REFUSED = {
    "quotes that make no sense": ("a.csv", table().encode().replace(b'"two', b'"two" x') * 9, "set data.quoting"),
    "no such column": (
        "a.csv",
        b"text;stars\ngood;5\n",
        "no column content; set data.text_column to one of: text, stars",
    ),
    "no header": ("a.csv", b"1,5,great app\n2,4,good\n", "if the first line is no header, set data.header to false"),
    "a truncated array": ("a.json", json.dumps(json_rows()).encode()[:-9], "a.json: "),
    "an encrypted zip": (
        "a.zip",
        zipped(("a.csv", b"x" * 99)).replace(b"\x14\0\0\0\0\0", b"\x14\0\1\0\0\0"),
        "it is encrypted",
    ),
    "a web page": ("a.csv", b"<!DOCTYPE html><html><body>Log in</body></html>", "a web page, not a table"),
    "a pickle": ("a.pkl", b"\x80\x04\x95", "a Python pickle, which is never read"),
    "a spreadsheet named csv": (
        "a.csv",
        xlsx([["content", "score"]]),
        "an Excel workbook: give it the extension .xlsx",
    ),
    "two encodings": ("a.csv", b"content,score\n" + "słaby łąęóż\xa0".encode("cp1250") + b",1\n", "set data.encoding"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_ends_with_one_line(prepared: Prepare, name: str) -> None:
    file, content, message = REFUSED[name]
    with pytest.raises(UserError) as raised:
        prepared(file, content)
    line = str(raised.value)
    assert message in line
    assert len(line) < 500
    assert "\n" not in line
