"""Definitions that all stages share: stars, splits, probability columns, and when two texts are equal."""

import unicodedata
from hashlib import blake2b
from typing import Any

STARS = (1, 2, 3, 4, 5)
SPLITS = ("train", "valid", "test")
PROBABILITIES = tuple(f"p{star}" for star in STARS)
"""Columns with the predicted P(stars | text)."""
TRUE_PROBABILITIES = tuple(f"true_{name}" for name in PROBABILITIES)
"""Columns with the true P(stars | text) of a generated corpus; read only if a table has all five."""


def read_text(value: Any) -> str | None:
    """Return a cell as text without surrounding white space: '' if it is missing, None if it is not text.

    Numbers count as text. A lone surrogate, which UTF-8 cannot encode, becomes a question mark.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    return str(value).encode("utf-8", "replace").decode().strip()


def text_problem(text: str | None) -> str | None:
    """Return why a result of read_text cannot be used, None if it can."""
    return {None: "text is not a string", "": "no text"}.get(text)


def normalised_text(text: str) -> str:
    """Return the form by which texts are compared: NFKC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_digest(text: str, secret: bytes = b"") -> bytes:
    """Return a 16-byte digest of the normalised text, keyed with `secret`: equal texts have equal digests."""
    return blake2b(normalised_text(text).encode(), key=secret, digest_size=16).digest()
