"""Every text is cleaned, compared and detected, in bounded time, whatever it holds."""

import time
from random import Random

import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from src.core.schema import letters_and_digits, normalised_text
from src.text.languages import detect
from tests.text.hostile_texts import UNITS, hostile_text
from tests.text.test_cleaning import cleaner

LANGUAGES = ("english", "arabic", "french", "german", "hungarian", "russian", "other")
LONGEST = 20_000
MOST_SECONDS = 0.1
"""Of CPU time, five times what the worst text takes: a busy machine is no failure, a quadratic pattern takes longer."""

SEEDS = st.integers(0, 2**32).map(Random)


def cpu_seconds(language: str, text: str) -> float:
    """Return the CPU time that a cleaner without memories takes, the least of three."""
    times = []
    for _ in range(3):
        clean = cleaner(language)
        clean("loading the stemmer")
        start = time.process_time()
        clean(text)
        times.append(time.process_time() - start)
        if times[-1] < MOST_SECONDS:
            break
    return min(times)


@pytest.mark.parametrize(
    "text",
    [
        "&#" + "9" * 4301,
        "a" + "ed" * 519,
        "a" + "ing" * 511,
        ("ba" * 10_000)[:19_100] + "ing" * 300,
        "\u1039\u1000" * 10_000,  # letters stacked below each other
        "e\u0301\u0327" * 6_000,
        "e" + "\u0f73" * 20_000,  # marks that are sorted
        "\uff76" + "\uff9e" * 20_000,
        "\ufdfa" * 20_000,  # each becomes a phrase of four words
        " ".join(f"x{number}" + "ed" * 20 for number in range(450)),
        *("x." * 10_000 + "@", "\\" * 20_000, "(" * 20_000, "<" * 20_000, ":-" * 10_000, "_-" * 10_000, "5*" * 10_000),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_known_hostile_texts_take_little_time(text):
    assert cpu_seconds("english", text) < MOST_SECONDS


@pytest.mark.parametrize("unit", UNITS, ids=ascii)
def test_the_time_of_half_a_million_characters_is_bounded(unit):
    text = (unit * 500_000)[:500_000]
    assert cpu_seconds("english", text) < MOST_SECONDS


@settings(max_examples=60)
@given(st.sampled_from(LANGUAGES), SEEDS)
def test_a_search_for_the_slowest_text_finds_none(language, random):
    seconds = cpu_seconds(language, hostile_text(random, LONGEST))
    target(seconds)
    assert seconds < MOST_SECONDS


@given(st.sampled_from(LANGUAGES), st.text(alphabet=st.characters(exclude_categories=())), SEEDS)
def test_every_text_is_read(language, text, random):
    clean = CLEANERS[language]
    for each in (text, text + hostile_text(random, random.randint(1, 3000))):
        assert isinstance(clean(each), str)
        assert isinstance(letters_and_digits(normalised_text(each)), str)


@given(SEEDS)
@settings(max_examples=20)
def test_languages_of_hostile_texts_are_detected_without_an_error(random):
    texts = [hostile_text(random, 3000) for _ in range(5)]
    assert len(detect(texts)) == len(texts)


CLEANERS = {language: cleaner(language) for language in LANGUAGES}
