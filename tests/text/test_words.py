"""Words by Unicode: a table of texts in many languages, Unicode's own test data, and properties."""

import unicodedata
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from src.core.params import Language
from src.text.characters import fold
from tests.text.test_stop_words import CLEANERS, LANGUAGES, cleaner

CASES = [
    (section, *case)
    for section, cases in YAML(typ="safe")
    .load((Path(__file__).parents[1] / "cases/words.yaml").read_text(encoding="utf-8"))
    .items()
    for case in cases
]
BARE = cleaner("other", squeeze_elongation=False, remove_markup=False, keep_emoji=False, keep_marks=False)

AS_WRITTEN = cleaner(
    "other",
    normalise_unicode=False,
    squeeze_elongation=False,
    remove_markup=False,
    keep_emoji=False,
    keep_marks=False,
)


def rules(language):
    return language if language in get_args(Language) else "other"


def test_the_table_is_wide():
    scripts = {unicodedata.name(c).split()[0] for *_, text, _ in CASES for c in text if c.isalpha()}
    assert len(CASES) >= 120
    assert len({language for _, language, *_ in CASES}) >= 25
    assert len(scripts) >= 20


@pytest.mark.parametrize(("section", "language", "text", "words"), CASES)
def test_words(section, language, text, words):
    assert CLEANERS[rules(language)](text) == words


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_clean_stays(language):
    for _, _, text, _ in CASES:
        once = CLEANERS[language](text)
        assert CLEANERS[language](once) == once


ANY = st.characters(exclude_categories=["Cs"])
SCRIPTS = (
    "अनाम्ি்்ਾமாగগাกนี้ดကော်းក្មមកしーー語한각עִםשָجَمِيلـــ५①½ⅷǅßİς"
    "\u200c\u200d\u2019\u00b4\u00a8\u0661\u0131'.,:/_-\u00b7\"0xXdDITt"
)
TEXTS = st.text(st.one_of(ANY, st.sampled_from(SCRIPTS), st.sampled_from("👍🏽🇩🇪\u200d\ufe0f\u20e3<3:)(D'!?* ")))


@pytest.mark.parametrize("language", LANGUAGES)
@given(text=TEXTS)
@example(text="I·I")
@example(text="\U00020000XD")
@example(text="\u00a8XD")
@example(text="<3XD")
@example(text="xds")
@example(text="\u0641xdd \u06410\u20e30")
@example(text="0\u20e3XD")
@example(text="0U\u200cE")
@example(text="0\u0300\u0640\u1037")
@example(text="\u0622\u0644\u059100")
def test_cleaning_is_idempotent_for_any_text(language, text):
    once = CLEANERS[language](text)
    assert CLEANERS[language](once) == once


@given(text=TEXTS)
def test_no_letter_is_lost(text):
    text = fold(text, normalise=True)
    if any(sign in text for sign in ":=x_<\\"):
        return  # letters of emoticons, and of line ends that an export wrote as a backslash and a letter
    kept = Counter(c for c in BARE(text) if unicodedata.category(c)[0] in "LN")
    assert kept == Counter(c for c in text if unicodedata.category(c)[0] in "LN")


@given(text=TEXTS)
def test_words_hold_no_space_and_begin_with_no_mark(text):
    for word in CLEANERS["other"](text).split(" "):
        assert word == "".join(word.split())
        assert not word or unicodedata.category(word[0])[0] != "M"


MARKS = "\u0301\u0327\u05b8\u064e\u093f\u094d\u09be\u0bcd\u0d4d"
LETTERS = "aé\u0131ßñжяאבשعبجहनিকগநமത\u0d25한글ქა\u0570\u0561յበጣḁœ\u200d -!?()#&%~" + MARKS


@given(st.one_of(st.text(LETTERS + "09٣५"), st.text("aéßжאבعह'한 -!?'")))
def test_words_are_those_of_unicode(text):
    """The package regex knows the word boundaries of UAX 29; the texts hold no sign that is treated otherwise here."""
    text = fold(text, normalise=False)
    pieces = regex.split(r"\b", text, flags=regex.WORD | regex.V1)
    words = [piece for piece in pieces if any(unicodedata.category(c)[0] in "LN" for c in piece)]
    # A mark without a letter, and an apostrophe behind a Hebrew letter, are part of no word here.
    assert AS_WRITTEN(text).split() == [regex.sub(r"^[\p{M}\u200d']+|'$", "", word) for word in words]
