"""Texts that a spreadsheet would run are escaped, and can be had back."""

import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.files import write_csv
from src.core.spreadsheets import escape_formula, unescape_formula

SIGNS = [sign for code in range(0x110000) if unicodedata.normalize("NFKC", sign := chr(code)) in ("=", "+", "-", "@")]


@pytest.mark.parametrize(
    "before", ["", " ", "\t", "\n", "\r\n", "\u00a0", "\u200b", "\ufeff", "\u2060", "\0", "'", "''"]
)
@pytest.mark.parametrize("sign", SIGNS)
def test_a_formula_is_escaped_in_every_width_and_behind_what_programs_drop(before, sign):
    assert escape_formula(f"{before}{sign}1+1") == f"'{before}{sign}1+1"


@pytest.mark.parametrize("cell", ["", "1+1", "it's -", "'good'", "don't", "5", 5, -5, -5.0, None, True])
def test_other_cells_stay(cell):
    assert escape_formula(cell) is cell


@given(st.text(st.sampled_from("=+-@\uff1d'\t\r\n \u200bab")) | st.text())
def test_escaping_can_be_undone(text):
    assert unescape_formula(escape_formula(text)) == text


def test_headers_and_cells_of_a_table_are_escaped(tmp_path):
    table = pd.DataFrame({"=a": ["\uff1d1", "b"], "n": [-1, 2]})
    write_csv(tmp_path / "a.csv", table)
    assert (tmp_path / "a.csv").read_text("utf-8") == '"\'=a","n"\n"\'\uff1d1",-1\n"b",2\n'
