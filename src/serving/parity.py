"""Check that an exported model predicts the same as the model it was made from."""

import numpy as np

from src.core.errors import UserError
from src.serving.predictor import Predictor
from src.text.encoded import EncodedReviews

BATCH_SIZES = (1, 7, 256)
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
"""Texts that programs often read wrongly."""


def check_parity(
    texts: list[str], reviews: EncodedReviews, probabilities: np.ndarray, predictor: Predictor, tolerance: float
) -> float:
    """Compare an exported model with the TensorFlow tokenizer and the PyTorch model on some texts.

    reviews: the texts as TensorFlow encodes them. probabilities: PyTorch's, float [texts, classes].
    Returns the largest difference between two probabilities.

    Raises:
        UserError: the ids of a text differ, or its probabilities by more than the tolerance; the message quotes it.
    """
    encoded = predictor.encode(texts)
    for row, text in enumerate(texts):
        expected, found = (each.ids[slice(*each.offsets[row : row + 2])] for each in (reviews, encoded))
        if not np.array_equal(expected, found):
            raise UserError(f"export: the word ids of a text are {found[:9]} instead of {expected[:9]}: {text!r:.200}")
    largest = 0.0
    for size in BATCH_SIZES:
        differences = np.abs(predictor.predict_encoded(encoded, size) - probabilities).max(axis=1)
        worst = int(differences.argmax())
        if not differences[worst] <= tolerance:
            raise UserError(
                f"export: in batches of {size}, probabilities differ by {differences[worst]:.1e}, more than"
                f" export.tolerance ({tolerance:.1e}), for the text {texts[worst]!r:.200}"
            )
        largest = max(largest, float(differences[worst]))
    return largest
