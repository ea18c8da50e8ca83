"""More reviews to pre-train on, rated or not."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from src.core.schema import read_text, text_digest
from src.tables.readers import Row
from src.text.encoded import EncodedReviews
from src.text.vocabulary import UNKNOWN


def encode_unlabelled(
    rows: Iterable[Row],
    known: set[bytes],
    clean: Callable[[str], str],
    ids: Mapping[str, int],
    max_length: int,
) -> tuple[EncodedReviews, Counter[str]]:
    """Encode the texts that are not `known`: neither in a split, so that none is tested on, nor seen before.

    known: what text_digest gives for the texts of all splits; the texts used are added. ids: the id of each word of the
    vocabulary. Returns the reviews, whose labels say nothing, and how many rows were used or left out, by the reason.
    """
    found, counts = [np.zeros(0, np.int32)], Counter[str]()
    for row in rows:
        text = None if row.problem else read_text(row.text)
        words = clean(text).split()[:max_length] if text else []
        key = text_digest(text or "")
        reason = "unreadable" if text is None else "known" if key in known else "used" if len(words) > 1 else "short"
        counts[reason] += 1
        if reason == "used":
            known.add(key)
            found.append(np.array([ids.get(word, UNKNOWN) for word in words], np.int32))
    lengths = [len(review) for review in found]
    return EncodedReviews(np.concatenate(found), np.cumsum(lengths), np.zeros(len(found) - 1, np.int64)), counts


def concatenate(first: EncodedReviews, second: EncodedReviews) -> EncodedReviews:
    """The reviews of both; the first as they are, maybe on disk, where there is nothing to add."""
    if not len(second.labels):
        return first
    return EncodedReviews(
        np.concatenate([first.ids, second.ids]),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        np.concatenate([first.labels, second.labels]),
    )
