"""What every stage speaks of: stars, splits, the columns of known probabilities, and when two texts are the same."""

import unicodedata
from hashlib import blake2b

STARS = (1, 2, 3, 4, 5)
SPLITS = ("train", "valid", "test")
TRUTH = ("true_p1", "true_p2", "true_p3", "true_p4", "true_p5")
"""Columns that hold the true P(stars | text) of a generated corpus; read where all five are there."""


def same_text(text: str) -> str:
    """The form under which two texts count as the same: NFKC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_digest(text: str, secret: bytes = b"") -> bytes:
    """Sixteen bytes that are the same for texts that count as the same; another secret, other bytes."""
    return blake2b(same_text(text).encode(), key=secret, digest_size=16).digest()
