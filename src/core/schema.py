"""Definitions that all stages share: stars, splits, probability columns, and when two texts are equal."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from src.core.normalisation import nfkc

STARS = (1, 2, 3, 4, 5)
SPLITS = ("train", "valid", "test")
EXTRA = "extra"
"""Reviews without stars, beside the splits."""
PROBABILITIES = tuple(f"p{star}" for star in STARS)
"""Columns with the predicted P(stars | text)."""
TRUE_PROBABILITIES = tuple(f"true_{name}" for name in PROBABILITIES)
"""Columns with the true P(stars | text) of a generated corpus; read only if a table has all five."""


SKINS = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""Skin tones of emoji."""
NOT_LETTERS = re.compile(r"[\W_]+")
ASCII_MARKS = dict.fromkeys(code for code in range(128) if not chr(code).isalnum())


def read_text(value: Any) -> str | None:
    """Return a cell as text without surrounding white space: '' if it is missing, None if it is not text.

    Numbers count as text. A lone surrogate, which UTF-8 cannot encode, becomes a question mark.
    """
    if type(value) is str and value.isascii():
        return value.strip()
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | int | float | Decimal) or isinstance(value, bool):
        return None
    return str(value).encode("utf-8", "replace").decode().strip()


def read_review(cells: Sequence[Any], missing: Collection[str] = ()) -> str | None:
    """Return the text of a review from its cells (title, text): '' if it has none, None if a cell is not text.

    A line end separates the cells, so that words of one do not run into words of the next. missing: words that mean no
    text.
    """
    parts = [read_text(cell) for cell in cells]
    if None in parts:
        return None
    return "\n".join(part for part in parts if part and part not in missing)


def text_problem(text: str | None) -> str | None:
    """Return why a result of read_text cannot be used, None if it can."""
    return {None: "text is not a string", "": "no text"}.get(text)


def normalised_text(text: str) -> str:
    """Return the form by which texts are compared: NFKC, case folded, single spaces."""
    folded = text.lower() if text.isascii() else nfkc(text).casefold()
    return " ".join(folded.split())


def text_digest(text: str) -> bytes:
    """Return a 16-byte digest of the normalised text: equal texts have equal digests."""
    return blake2b(normalised_text(text).encode(), digest_size=16).digest()


def letters_and_digits(normalised: str) -> str:
    """Return what nearly equal texts share: the letters and digits of the normalised text.

    Without any, its distinct symbols, in order: thumbs up once is nearly the same as three times.
    """
    if letters := normalised.translate(ASCII_MARKS) if normalised.isascii() else NOT_LETTERS.sub("", normalised):
        return letters
    symbols = (symbol for symbol in normalised if unicodedata.category(symbol)[0] not in "MCZ" and symbol not in SKINS)
    return "".join(dict.fromkeys(symbols))
