"""More reviews for pre-training, with or without ratings."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np

from src.core.schema import read_review, text_digest
from src.tables.readers import Row
from src.text.encoded import EncodedReviews
from src.text.vocabulary import UNKNOWN


def encode_unlabelled(
    rows: Iterable[Row],
    known: set[bytes],
    clean: Callable[[str], str],
    ids: Mapping[str, int],
    max_length: int,
    missing: Collection[str] = (),
) -> tuple[EncodedReviews, Counter[str]]:
    """Encode the texts that are not `known`, so that no text of a split and no duplicate is used.

    known: the text_digest of every text in the splits; the texts used here are added. ids: the id of each word of the
    vocabulary. missing: words that mean no text. Returns the reviews, with meaningless labels, and the number of rows
    used or skipped, by reason.
    """
    encoded, counts = [np.zeros(0, np.int32)], Counter[str]()
    for row in rows:
        text = None if row.problem else read_review(row.text if isinstance(row.text, tuple) else (row.text,), missing)
        words = clean(text).split()[:max_length] if text else []
        key = text_digest(text or "")
        reason = "unreadable" if text is None else "known" if key in known else "used" if len(words) > 1 else "short"
        counts[reason] += 1
        if reason == "used":
            known.add(key)
            encoded.append(np.array([ids.get(word, UNKNOWN) for word in words], np.int32))
    lengths = [len(review) for review in encoded]
    return EncodedReviews(np.concatenate(encoded), np.cumsum(lengths), np.zeros(len(encoded) - 1, np.int64)), counts


def concatenate(first: EncodedReviews, second: EncodedReviews) -> EncodedReviews:
    """Join two sets of reviews; if the second is empty, return the first itself, which may be memory-mapped."""
    if not len(second.labels):
        return first
    return EncodedReviews(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        np.concatenate([first.labels, second.labels]),
    )
