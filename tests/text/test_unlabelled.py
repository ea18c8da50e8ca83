import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from src.core.schema import text_digest
from src.tables.readers import Row
from src.text.encoded import EncodedReviews
from src.text.unlabelled import concatenate, encode_unlabelled
from src.text.vocabulary import UNKNOWN

IDS = {"good": 2, "bad": 3}


def encode(texts, known=(), max_length=10):
    rows = [Row(number, text) for number, text in enumerate(texts, 1)]
    return encode_unlabelled(rows, {text_digest(text) for text in known}, str.lower, IDS, max_length)


def test_every_row_is_counted_as_used_or_by_reason():
    rows = ["good bad", "Good  BAD", "good new", "good", "", None, ["no text"], "bad good bad good"]
    reviews, counts = encode(rows, known=["GOOD new"], max_length=3)
    assert reviews.ids.tolist() == [2, 3, 3, 2, 3]
    assert reviews.offsets.tolist() == [0, 2, 5]
    assert counts == {"used": 2, "known": 2, "short": 3, "unreadable": 1}


def test_a_word_outside_the_vocabulary_is_unknown():
    assert encode(["good gut"])[0].ids.tolist() == [2, UNKNOWN]


@given(st.lists(st.lists(st.sampled_from(["good", "bad", "x"]), min_size=2, max_size=4)), st.data())
def test_all_texts_but_known_ones_are_used_once(reviews, data):
    texts = [" ".join(words) for words in reviews]
    known = data.draw(st.lists(st.sampled_from(texts))) if texts else []
    encoded, counts = encode(texts, known)
    assert len(encoded.labels) == counts["used"] == len(set(texts) - set(known))
    assert counts.total() == len(texts)


def test_concatenated_reviews_keep_their_order():
    first = EncodedReviews(np.array([2, 3, 2], np.int32), np.array([0, 1, 3]), np.array([4, 0]))
    second, _ = encode(["bad good", "good good good"])
    both = concatenate(first, second)
    assert both.ids.tolist() == [2, 3, 2, 3, 2, 2, 2, 2]
    assert both.offsets.tolist() == [0, 1, 3, 5, 8]
    assert len(both.labels) == 4
    assert concatenate(first, encode([])[0]).offsets.tolist() == [0, 1, 3]
