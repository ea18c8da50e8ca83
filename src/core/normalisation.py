"""Unicode normalisation in linear time, whatever the text."""

import unicodedata

import regex

MOST_MARKS = 30
"""Marks in a row that are kept: more than any language needs; sorting them takes quadratic time."""
MARK = r"[\p{M}\uff9e\uff9f]"
ANY_MARK = regex.compile(MARK)
MANY_MARKS = regex.compile(rf"({MARK}{{{MOST_MARKS}}}){MARK}+")


def nfkc(text: str) -> str:
    """Give characters that look the same one form (NFKC), and drop all marks in a row but the first 30.

    Source: Unicode Standard Annex 15, sections 1.2 (NFKC) and 13 (Stream-Safe Text Format).
    """
    if ANY_MARK.search(text[::MOST_MARKS]):  # of that many marks in a row, one stands at such a position
        text = MANY_MARKS.sub(r"\1", text)
    return unicodedata.normalize("NFKC", text)
