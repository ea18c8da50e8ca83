"""The proof that an exported model says what the model says."""

import numpy as np

from src.core.errors import UserError
from src.serving.predictor import Predictor
from src.text.encoded import EncodedReviews

BATCHES = (1, 7, 256)
AWKWARD = (
    "",
    "good",
    "the of and",
    "good\0bad",
    "\u0130stanbul \ufb01ne caf\u0065\u0301",
    "love \U0001f600\U0001f44d\U0001f3fd!!! really???",
    "good\u2028bad\x85fair\u3000nice\r\nslow\tfast",
    "<b>bold</b> &amp;lt; https://example.org/a?b=1 me@example.org",
    "don't don\u2019t sooooo nooooo 1000 a_b",
    "crash again " * 20_000,
    "x" * 100_000,
)
"""Texts that readers of text stumble over."""


def check_parity(
    texts: list[str], reviews: EncodedReviews, probabilities: np.ndarray, predictor: Predictor, tolerance: float
) -> float:
    """Compare what TensorFlow and PyTorch made of some texts with what an exported model makes of them.

    reviews, probabilities (float [texts, classes]): theirs. Returns the largest difference of a probability.

    Raises:
        UserError: names the first text of which the ids differ, or a probability by more than the tolerance.
    """
    found = predictor.encode(texts)
    for row, text in enumerate(texts):
        theirs, ours = (each.ids[slice(*each.offsets[row : row + 2])] for each in (reviews, found))
        if not np.array_equal(theirs, ours):
            raise UserError(f"the exported model reads other words, ids {ours[:9]} for {theirs[:9]}: {text!r:.200}")
    largest = 0.0
    for size in BATCHES:
        differences = np.abs(predictor.predict_encoded(found, size) - probabilities).max(axis=1)
        worst = int(differences.argmax())
        if not differences[worst] <= tolerance:
            raise UserError(
                f"the exported model differs by {differences[worst]:.1e} in batches of {size}; export.tolerance allows"
                f" {tolerance:.1e}: {texts[worst]!r:.200}"
            )
        largest = max(largest, float(differences[worst]))
    return largest
