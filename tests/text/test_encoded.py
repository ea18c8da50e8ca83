import math
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from src.core.params import Encode
from src.text.encoded import (
    EncodedReviews,
    batches_by_length,
    concatenate,
    load_encoded,
    pad,
    save_encoded,
    shuffled_batches,
)
from src.text.tokenizer import Tokenizer, save_tokenizer
from src.text.vocabulary import FIRST_WORD, UNKNOWN, choose_vocabulary, count_words, read_vocabulary, word_ids

WORDS = ["good", "bad", "!", "schön", "😀"]
TEXTS = ["good bad", "", "schön 😀 unseen !", "good"]
REVIEWS = EncodedReviews(np.arange(2, 12, dtype=np.int32), np.array([0, 3, 4, 10]), np.array([0, 4, 2]))


def test_vocabulary_is_ordered_by_count_then_word():
    counts = count_words(["b a b", "c a", "d"])
    assert counts == Counter(a=2, b=2, c=1, d=1)
    assert choose_vocabulary(counts, Counter(), encode_settings(min_count=1, vocabulary_size=3)) == ["a", "b", "c"]
    assert choose_vocabulary(counts, Counter(), encode_settings(min_count=2)) == ["a", "b"]


def test_extra_reviews_add_words_that_are_frequent_in_both_together():
    train, extra = count_words(["a a", "b", "c"]), count_words(["b b c", "d d d", "c d"])
    assert choose_vocabulary(train, extra, encode_settings(min_count=2, extra_min_count=4)) == ["d", "a"]
    assert choose_vocabulary(train, extra, encode_settings(min_count=2, extra_min_count=3)) == ["d", "b", "c", "a"]


def encode_settings(**changes):
    return Encode(**({"min_count": 2, "extra_min_count": 5, "vocabulary_size": 9, "max_length": 400} | changes))


def test_the_vocabulary_file_has_the_words_in_the_order_of_their_ids(tmp_path):
    (tmp_path / "vocabulary.txt").write_text("good\nschön\n😀\n", encoding="utf-8")
    assert word_ids(read_vocabulary(tmp_path / "vocabulary.txt")) == {"good": 2, "schön": 3, "😀": 4}


def encode_by_hand(text):
    return [FIRST_WORD + WORDS.index(word) if word in WORDS else UNKNOWN for word in text.split(" ")]


def test_the_graph_returns_the_ids_of_the_vocabulary():
    encoded = Tokenizer(WORDS, max_length=9)(tf.constant(TEXTS))
    assert encoded["ids"].numpy().tolist() == [i for text in TEXTS for i in encode_by_hand(text)]
    assert encoded["lengths"].numpy().tolist() == [2, 1, 4, 1]


def test_long_texts_are_truncated():
    encoded = Tokenizer(WORDS, max_length=2)(tf.constant(["bad good bad", "good"]))
    assert encoded["ids"].numpy().tolist() == [3, 2, 2]


def test_the_saved_graph_accepts_strings(tmp_path):
    save_tokenizer(Tokenizer(WORDS, max_length=9), tmp_path / "saved")
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"](tf.constant(TEXTS))
    assert served["ids"].numpy().tolist() == [i for text in TEXTS for i in encode_by_hand(text)]


def test_reviews_are_unchanged_after_saving_and_loading(tmp_path):
    save_encoded(tmp_path / "reviews", REVIEWS)
    for before, after in zip(REVIEWS, load_encoded(tmp_path / "reviews"), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)


def test_padding_follows_the_words():
    ids, lengths = pad(REVIEWS, np.array([1, 0]))
    assert ids.tolist() == [[5, 0, 0], [2, 3, 4]]
    assert lengths.tolist() == [1, 3]


def reviews_of_lengths(lengths):
    """Make reviews with these numbers of words."""
    return EncodedReviews(np.zeros(sum(lengths), np.int32), np.cumsum([0, *lengths]), np.zeros(len(lengths), int))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 99), st.integers(1, 70))
def test_batches_contain_each_review_exactly_once(lengths, batch_size, seed, shard):
    rows = np.arange(len(lengths))
    for batches in (
        list(batches_by_length(np.array(lengths), batch_size)),
        list(shuffled_batches(reviews_of_lengths(lengths), rows, batch_size, seed, window=3, shard=shard)),
    ):
        assert sorted(np.concatenate(batches)) == rows.tolist()
        assert max(map(len, batches)) <= batch_size
        assert len(batches) == math.ceil(len(rows) / batch_size)


def test_shards_come_one_after_the_other_in_random_order_and_are_shuffled_inside():
    reviews, rows = reviews_of_lengths([2] * 60), np.arange(60)
    orders = set()
    for seed in range(9):
        batches = list(shuffled_batches(reviews, rows, 5, seed, shard=22))  # shards of 20, a multiple of 5
        shards = [np.concatenate(batches[i : i + 4]) for i in (0, 4, 8)]
        assert all(len(set(shard // 20)) == 1 for shard in shards)
        orders.add(tuple(shard[0] // 20 for shard in shards))
        assert shards[0].tolist() != sorted(shards[0])
    assert len(orders) > 1


def test_parts_contain_the_reviews_in_order():
    reviews = EncodedReviews(np.arange(2, 12, dtype=np.int32), np.array([0, 3, 4, 8, 9, 10]), np.arange(5))
    parts = list(reviews.parts(size=2))
    assert [part.labels.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert [pad(part, np.arange(len(part.labels)))[0].tolist() for part in parts] == [
        [[2, 3, 4], [5, 0, 0]],
        [[6, 7, 8, 9], [10, 0, 0, 0]],
        [[11]],
    ]


def test_a_repeated_row_is_repeated_in_the_batches():
    rows = np.array([0, 0, 2, 2, 2])
    batches = list(shuffled_batches(reviews_of_lengths([3, 1, 6]), rows, 2, seed=1))
    assert sorted(np.concatenate(batches)) == rows.tolist()


def test_only_the_seed_changes_the_order():
    lengths = np.random.default_rng(0).integers(1, 30, 500)
    first, again, other = (
        [batch.tolist() for batch in shuffled_batches(reviews_of_lengths(lengths), np.arange(500), 8, seed)]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_reviews_of_a_batch_have_similar_lengths():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    batches = list(shuffled_batches(reviews_of_lengths(lengths), np.arange(1000), 20, seed=1))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded == pytest.approx(lengths.sum(), rel=0.05)


def test_concatenated_reviews_keep_their_order():
    first = EncodedReviews(np.array([2, 3, 2], np.int32), np.array([0, 1, 3]), np.array([4, 0]))
    second = EncodedReviews(np.array([3, 2, 2, 2, 2], np.int32), np.array([0, 2, 5]), np.array([0, 0]))
    empty = EncodedReviews(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int64))
    both = concatenate(first, second)
    assert both.ids.tolist() == [2, 3, 2, 3, 2, 2, 2, 2]
    assert both.offsets.tolist() == [0, 1, 3, 5, 8]
    assert len(both.labels) == 4
    assert concatenate(first, empty) is first
