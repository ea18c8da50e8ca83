"""The language of a review is right or unknown, whatever its case and emoji; a sample gives that of a table."""

import random
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import get_args

import pytest
from ruamel.yaml import YAML

from src.core.params import Language
from src.text import languages
from src.text.languages import detect, dominant

REVIEWS = {
    language: [text for texts in kinds.values() for text in texts]
    for language, kinds in YAML(typ="safe").load(Path(__file__).with_name("reviews_by_language.yaml")).items()
}
TEXTS = [text for texts in REVIEWS.values() for text in texts]
TWINS = {"danish", "norwegian"}  # some short sentences are right in both


def without_diacritics(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def turned(texts: list[str], changed: list[str]) -> list[tuple[str, str]]:
    """The languages that are sure before and after a change, and differ; most must be sure after it."""
    before, after = detect(texts), detect(changed)
    assert sum(name is not None for name in after) > 0.85 * len(texts)
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a and b and a != b]
    return [pair for pair in pairs if set(pair) != TWINS]


def test_each_language_with_a_stemmer_has_reviews_and_a_name():
    stemmed = set(get_args(Language)) - {"other"}
    assert stemmed < set(REVIEWS) <= set(languages.NAMES.values())


@pytest.mark.parametrize("language", REVIEWS)
def test_reviews_are_found_and_never_mistaken(language):
    found = [name for name in detect(REVIEWS[language]) if name]
    mistaken = [name for name in found if name != language]
    assert len(found) >= 7
    assert not mistaken or (language in TWINS and set(mistaken) < TWINS and len(mistaken) == 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "ok",
        "lol",
        "👍👍",
        "👍👍👍👍👍👍👍👍",
        "1234",
        "10/10",
        "!!!",
        "xd",
        "hmm",
        "www",
        "5*",
        "ok 👍",
        "да",
        "好",
        "\x00",
        "\ud800",
    ],
)
def test_a_text_that_says_too_little_is_unsure(text):
    assert detect([text]) == [None]


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/very/good/application/for/everybody",
        "write.to.me@support-of-the-application.example.com",
        "<br/><div class='the best review'></div>&nbsp;&quot;",
    ],
)
def test_links_addresses_and_markup_are_no_language(text):
    assert detect([text]) == [None]


@pytest.mark.parametrize(
    "addition",
    [
        " 😍😍👍🏽🇩🇪❤️",
        " 10/10!!!",
        " https://play.google.com/store/apps/details?id=com.example.the_best_app",
        "<br/>&nbsp;",
    ],
)
def test_what_is_not_prose_changes_no_answer(addition):
    assert detect([text + addition for text in TEXTS]) == detect(TEXTS)


@pytest.mark.parametrize("change", [str.upper, str.lower])
def test_capitals_turn_no_language_into_another(change):
    assert turned(TEXTS, [change(text) for text in TEXTS]) == []


def test_missing_diacritics_turn_no_language_with_a_stemmer_into_another():
    latin = set(get_args(Language)) - {"other", "arabic", "russian"}
    texts = [text for language in latin for text in REVIEWS[language]]
    assert turned(texts, [without_diacritics(text) for text in texts]) == []


def test_capital_words_among_others_are_read_as_small_ones():
    assert detect(["Diese App ist WIRKLICH SEHR NÜTZLICH"]) == ["german"]


def test_bold_and_wide_letters_are_letters():
    assert detect(["𝙞 𝙡𝙞𝙠𝙚 𝙩𝙝𝙞𝙨 𝙖𝙥𝙥 𝙫𝙚𝙧𝙮 𝙢𝙪𝙘𝙝", "ｉ ｌｉｋｅ ｔｈｉｓ ａｐｐ ｖｅｒｙ ｍｕｃｈ"]) == ["english"] * 2  # noqa: RUF001


def test_an_answer_does_not_depend_on_the_texts_around_it():
    order = list(range(len(TEXTS)))
    random.Random(0).shuffle(order)
    whole = detect(TEXTS)
    assert detect([TEXTS[i] for i in order]) == [whole[i] for i in order]
    assert [detect([text])[0] for text in TEXTS] == whole
    assert detect([]) == []


def test_a_long_text_costs_no_more_than_its_beginning():
    text = "This app helps me every day and I like it. " * 30
    assert detect([text + "x" * 10**7, text + "<" * 10**6, text + "a@" * 10**6]) == ["english"] * 3


@pytest.mark.parametrize(
    ("sample", "language"),
    [
        (["german"] * 90 + ["english"] * 10, "german"),
        (["german"] * 89 + ["english"] * 11, "mixed"),
        (["german"] * 9 + ["english"] + [None] * 1000, "german"),
        (["polish"] * 10, "other"),
        (["polish"] * 5 + ["czech"] * 5, "other"),
        (["polish"] * 5 + ["german"] * 5, "mixed"),
        ([None, None], "other"),
        ([], "other"),
    ],
)
def test_the_language_of_a_sample(sample, language):
    assert dominant(sample) == language


@pytest.mark.parametrize("language", REVIEWS)
def test_the_language_of_a_table_of_one_language(language):
    expected = language if language in get_args(Language) else "other"
    assert dominant(detect(REVIEWS[language])) == expected


def test_the_detector_is_not_imported_before_the_first_text():
    program = """
import sys
from src.text.languages import detect, dominant
dominant(["german"])
assert "py3langid" not in sys.modules
assert detect(["This app is very good"]) == ["english"]
assert "py3langid" in sys.modules
assert not {"pandas", "torch", "tensorflow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
