"""Write one table in the many dialects of "CSV" that exports come in, and say what must be read back from each.

    for name, dialect in dialects().items():
        truth = dialect(rows, path)  # rows: (text, rating, another cell), all strings

The truth is the list of rows as they can at best be read back: where a dialect itself loses something (line ends where
nothing is quoted, characters that the encoding lacks), the truth has lost it, too. `certain` is False where the file
itself does not tell which reading is right: there every row must come out right or be counted as rejected, or the file
is refused.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]
NAMES = ("content", "score", "version")
LETTERS = {"\t": "t", "\n": "n", "\r": "r"}
"""Letters that PostgreSQL writes after a backslash, in a file without quotes."""


@dataclass(frozen=True)
class Dialect:
    """How a table is written; calling it writes one and returns the rows that must be read back."""

    separator: str = ","
    quoting: str = "minimal"
    """all, minimal, nonnumeric (the rating is bare), none."""
    quote: str = '"'
    escape: str = "double"
    """What is before a quote inside a field: double (itself), backslash, nothing (quotes are not escaped at all)."""
    unquoted: str = "replace"
    """Separators in texts without quotes: replace (by a space), keep, backslash (MySQL), letters (PostgreSQL: \\t)."""
    line_end: str = "\n"
    space: bool = False
    trailing: str = "no"
    """One separator more at each line's end: no, rows (not in the header), all."""
    above: tuple[str, ...] = ()
    header: bool = True
    encoding: str = "utf-8"
    lacking: str = "replace"
    """What becomes of characters that the encoding lacks: replace (by a question mark), ignore."""
    mark: bytes = b""
    order: tuple[int, ...] = (0, 1, 2)
    null: str | None = None
    """How every fifth third cell, empty then, is written."""
    whole_rows: bool = False
    """Every fifth row stands in quotes as a whole."""
    blank_lines: bool = False
    open_quote: int | None = None
    """The number of a row whose closing quote is lost: it is not part of the truth."""
    certain: bool = True

    def __call__(self, rows: list[Row], path: Path) -> list[Row]:
        """Write rows of (text, rating, another cell) to a file; return them as they must be read back."""
        rows = [self._storable(row) for row in rows]
        lines = [*(line + self.line_end for line in self.above)]
        if self.header:
            names = [self._cell(NAMES[place], False, True) for place in self.order]
            lines.append(self._joined(names, self.trailing == "all"))
        truth = []
        for number, row in enumerate(rows):
            bare = self.null is not None and number % 5 == 0
            cells = [self.null if place == 2 and bare else self._cell(row[place], place == 1) for place in self.order]
            line = self._joined(cells, self.trailing != "no")
            if self.whole_rows and number % 5 == 0:
                line = '"' + line.removesuffix(self.line_end).replace('"', '""') + '"' + self.line_end
            if number == self.open_quote:
                line = self._joined(
                    ['"' + row[0].replace('"', "").replace("\n", " ").replace("\r", " "), *cells[1:]], False
                )
            else:
                truth.append((self._read_back(row[0]), row[1], "" if bare else row[2]))
            lines.append(line + (self.line_end if self.blank_lines and number % 3 == 0 else ""))
        path.write_bytes(self.mark + "".join(lines).encode(self.encoding, self.lacking))
        return truth

    def settings(self) -> dict[str, Any]:
        """The settings of section data that say which columns hold the text and the rating."""
        places = {NAMES[place]: str(number) for number, place in enumerate(self.order, 1)}
        names = {name: name if self.header else place for name, place in places.items()}
        return {"header": self.header, "text_column": names["content"], "rating_column": names["score"]}

    def _storable(self, row: Row) -> Row:
        text = row[0].encode(self.encoding, self.lacking).decode(self.encoding)
        if self.quoting == "none" and self.unquoted in ("replace", "keep"):
            text = text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
            if self.unquoted == "replace":
                text = text.replace(self.separator, " ")
        if self.space:
            text = text.strip(" ")
        return (text, row[1], row[2])

    def _read_back(self, text: str) -> str:
        """What the reader makes of a text: it leaves letters for line ends to the cleaning of texts."""
        for special, letter in LETTERS.items() if self.unquoted == "letters" else ():
            text = text.replace(special, "\\" + letter)
        return text

    def _joined(self, cells: list[str], more: bool) -> str:
        return (self.separator + " " * self.space).join(cells) + self.separator * more + self.line_end

    def _cell(self, text: str, number: bool, name: bool = False) -> str:
        if self.quoting == "none":
            if self.unquoted == "backslash":
                for special in ("\\", self.separator, "\n", "\r"):
                    text = text.replace(special, "\\" + special)
            elif self.unquoted == "letters":
                text = text.replace("\\", "\\\\")
                for special, letter in LETTERS.items():
                    text = text.replace(special, "\\" + letter)
            return text
        needed = any(special in text for special in (self.separator, self.quote, "\n", "\r"))
        needed = needed or (text[:1] == " " and self.space) or text == "\\N"
        if (self.quoting == "minimal" and not needed) or (self.quoting == "nonnumeric" and number):
            return text
        if self.escape == "double":
            text = text.replace(self.quote, self.quote * 2)
        elif self.escape == "backslash":
            text = text.replace("\\", "\\\\").replace(self.quote, "\\" + self.quote)
        return self.quote + text + self.quote


def dialects() -> dict[str, Dialect]:
    """Every dialect by name."""
    made: dict[str, Dialect] = {}
    for word, separator in (("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("pipe", "|")):
        for quoting in ("all", "minimal", "nonnumeric", "none"):
            made[f"{word}_{quoting}"] = Dialect(separator, quoting)
        made[f"{word}_none_kept"] = Dialect(separator, "none", unquoted="keep", certain=False)
    comma, semicolon, tab = made["comma_minimal"], made["semicolon_minimal"], made["tab_none"]
    for name in ("comma_all", "comma_minimal", "comma_nonnumeric", "semicolon_all", "tab_all"):
        made[f"{name}_backslash"] = replace(made[name], escape="backslash")
    for name in ("comma_all", "comma_nonnumeric", "semicolon_all"):
        made[f"{name}_naive"] = replace(made[name], escape="nothing", certain=False)
    made |= {
        "comma_all_single_quotes": Dialect(quoting="all", quote="'"),
        "comma_minimal_trailing": replace(comma, trailing="rows"),
        "comma_minimal_trailing_all": replace(comma, trailing="all"),
        "tab_none_trailing": replace(tab, trailing="rows"),
        "semicolon_minimal_sep_line": replace(semicolon, above=("sep=;",), line_end="\r\n"),
        "comma_minimal_titles": replace(comma, above=("Review export of Example App", "May to June 2024", "")),
        "semicolon_none_titles": replace(made["semicolon_none"], above=("Review export; all", "May to June 2024", "")),
        "comma_all_spaces": replace(made["comma_all"], space=True),
        "comma_minimal_spaces": replace(comma, space=True),
        "semicolon_none_spaces": replace(made["semicolon_none"], space=True),
        "comma_minimal_crlf": replace(comma, line_end="\r\n"),
        "semicolon_all_crlf": replace(made["semicolon_all"], line_end="\r\n"),
        "comma_minimal_cr": replace(comma, line_end="\r"),
        "tab_none_cr": replace(tab, line_end="\r"),
        "comma_minimal_headerless": replace(comma, header=False),
        "tab_none_headerless": replace(tab, header=False),
        "semicolon_all_headerless": replace(made["semicolon_all"], header=False),
        "mysql_outfile": Dialect("\t", "none", unquoted="backslash", null="\\N"),
        "postgres_copy": Dialect("\t", "none", unquoted="letters", null="\\N"),
        "mysql_csv": Dialect(",", "nonnumeric", escape="backslash", null="\\N"),
        "comma_all_null": Dialect(",", "all", null="\\N"),
        "comma_minimal_text_last": replace(comma, order=(1, 2, 0)),
        "comma_minimal_text_middle": replace(comma, order=(2, 0, 1)),
        "semicolon_none_text_last": replace(made["semicolon_none"], order=(1, 2, 0)),
        "semicolon_none_text_middle": replace(made["semicolon_none"], order=(2, 0, 1)),
        "tab_none_text_last": replace(tab, order=(1, 2, 0)),
        "comma_minimal_two_columns": replace(comma, order=(0, 1)),
        "semicolon_none_two_columns": replace(made["semicolon_none"], order=(0, 1)),
        "comma_whole_rows": replace(comma, whole_rows=True),
        "comma_minimal_blank_lines": replace(comma, blank_lines=True),
        "comma_minimal_open_quote": replace(comma, open_quote=40, certain=False),
        "comma_all_open_quote": replace(made["comma_all"], open_quote=40, certain=False),
        "utf8_sig": replace(comma, mark=b"\xef\xbb\xbf"),
        "utf8_sig_crlf_semicolon": replace(semicolon, mark=b"\xef\xbb\xbf", line_end="\r\n"),
        "utf16_le_mark": replace(comma, encoding="utf-16-le", mark=b"\xff\xfe"),
        "utf16_be_mark_tab": replace(made["tab_minimal"], encoding="utf-16-be", mark=b"\xfe\xff"),
        "utf16_le_no_mark": replace(comma, encoding="utf-16-le"),
    }  # fmt: skip
    for encoding in ("cp1251", "shift_jis", "gb18030", "cp1252"):
        made[encoding] = replace(comma, encoding=encoding)
        made[f"{encoding}_semicolon_all"] = replace(made["semicolon_all"], encoding=encoding, line_end="\r\n")
    return made


OPENINGS = [
    '"fast" is not the word',
    '"no more',
    'a 24" screen, 5\'10" tall',
    'it said "error", then "retry"; and "bye"',
    "'tis fine",
    '"Great app"',
    '24"',
    "5,5 of 6; good|bad",
]
LINES = [
    "one\ntwo",
    "first\n\nthird",
    "list:\n- a, b\n- c; d",
    "line\r\nwith CRLF",
    'He said "no"\nand left',
    "ends so\n",
    "Good, really\nThanks",
]
SCRIPTS = [
    "schön 😀👍🏽",
    "приложение",
    "アプリが落ちる",
    "应用闪退",
    "앱",
    "แอป",
    "עברית",
    "عربي",
    "ελληνικά",
    "नमस्ते",
    "e\u0301",
    "back\\slash and C:\\new",
    "tab\tinside",
    "=SUM(A1)",
    "NULL",
    "100%",
]


def invented_rows(count: int = 400) -> list[Row]:
    """Rows with every oddity in turn; the third cell numbers them, so that each can be found again."""
    plain = [
        "the app works fine on my tablet",
        "the login page crashes daily",
        "search is slow, every time",
        "not bad; again",
        "offline mode is great",
    ]
    odd = [*OPENINGS, *LINES, *SCRIPTS]
    rows = []
    for number in range(count):
        text = f"{plain[number % len(plain)]} {number}"
        if number % 3 == 0:
            text = f"{odd[number // 3 % len(odd)]} {text}"
        elif number % 7 == 0:
            text = f"{text} {odd[number // 7 % len(odd)]}"
        rows.append((text, str(1 + number % 5), f"v{number}"))
    return rows
