import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from src.core.params import check_params
from src.text.variations import drop_words, join, take_ngram, vary
from tests.conftest import changed_params

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=20)
SEEDS = st.integers(0, 2**32 - 1)


def settings(**changes):
    return check_params(changed_params({f"teach.{key}": value for key, value in changes.items()}), "params.yaml").teach


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(word in rest for word in part)


@given(words=WORDS, seed=SEEDS)
def test_dropping_keeps_the_order_of_the_other_words(words, seed):
    assert is_subsequence(drop_words(words, 0.5, np.random.default_rng(seed)), words)


@given(words=WORDS, longest=st.integers(1, 30), seed=SEEDS)
def test_an_ngram_is_some_neighbouring_words(words, longest, seed):
    taken = take_ngram(words, longest, np.random.default_rng(seed))
    assert 1 <= len(taken) <= longest
    assert " ".join(taken) in " ".join(words)


@given(words=WORDS, others=st.lists(st.sampled_from("ABCD"), min_size=1, max_size=9), seed=SEEDS)
def test_a_joined_text_is_a_head_and_a_tail(words, others, seed):
    joined = " ".join(join(words, others, np.random.default_rng(seed)))
    head, tail = (joined[: sum(map(str.islower, joined)) * 2], joined[sum(map(str.islower, joined)) * 2 :])
    assert " ".join(words).startswith(head.strip())
    assert " ".join(others).endswith(tail.strip())
    assert head
    assert tail


@given(texts=st.lists(WORDS.map(" ".join) | st.just("one"), max_size=8), count=st.integers(0, 5), seed=SEEDS)
def test_each_text_has_at_most_its_number_of_variations_and_they_differ_from_it(texts, count, seed):
    varied = list(vary(texts, settings(variations=count), seed))
    positions = [position for position, _ in varied]
    assert positions == sorted(positions)
    assert all(positions.count(position) <= count for position in positions)
    assert all(text and text != texts[position] for position, text in varied)
    assert all(texts[position] != "one" for position in positions)


def test_the_seed_determines_the_variations():
    texts = ["a b c d e f", "g h i j k l m"]
    assert list(vary(texts, settings(), 1)) == list(vary(texts, settings(), 1))
    assert list(vary(texts, settings(), 1)) != list(vary(texts, settings(), 2))
