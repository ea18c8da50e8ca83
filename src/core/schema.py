"""What every stage speaks of: stars, splits, columns of known probabilities, texts and when two are the same."""

import unicodedata
from hashlib import blake2b
from typing import Any

STARS = (1, 2, 3, 4, 5)
SPLITS = ("train", "valid", "test")
PROBABILITIES = tuple(f"p{star}" for star in STARS)
"""Columns that hold the predicted P(stars | text)."""
TRUE_PROBABILITIES = tuple(f"true_{name}" for name in PROBABILITIES)
"""Columns that hold the true P(stars | text) of a generated corpus; read where all five are there."""


def read_text(value: Any) -> str | None:
    """Read a cell as text without white space around it: '' for a missing one, None for what is no text.

    A lone surrogate, which no file can hold, becomes a question mark.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    return str(value).encode("utf-8", "replace").decode().strip()


def text_problem(text: str | None) -> str | None:
    """Why nothing can be said of what read_text gave; None where something can."""
    return {None: "text is not text", "": "no text"}.get(text)


def same_text(text: str) -> str:
    """The form under which two texts count as the same: NFKC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_digest(text: str, secret: bytes = b"") -> bytes:
    """Sixteen bytes that are the same for texts that count as the same; another secret, other bytes."""
    return blake2b(same_text(text).encode(), key=secret, digest_size=16).digest()
