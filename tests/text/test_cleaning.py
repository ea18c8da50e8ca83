import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from src.core.params import check_params
from src.text.cleaning import _WordCleaner, make_cleaner
from src.text.stop_words import find_stop_words
from stages.clean import clean_file
from tests.conftest import changed_params

LANGUAGES = ("english", "german", "french", "spanish")


def cleaner(language="english", **changes):
    raw = changed_params({f"clean.{key}": value for key, value in changes.items()})
    return make_cleaner(language, check_params(raw, "params.yaml").clean, find_stop_words(language))


CLEANERS = {language: cleaner(language) for language in LANGUAGES}


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("It crashes, it crashed; the CRASHING app", "crash crash crash app"),
        ("This is not good at all!!!", "not good all !"),
        ("I don't like it, but she'd love it", "don't like but love"),
        ("I don\u2019t know", "don't know"),
        ("sooooo goooood, nooooo, toooo", "so good no too"),
        ("see https://example.org/a?b=1 or www.example.org, mail me@example.org <br/> <b>now</b>", "mail now"),
        ("Fish &amp; chips &lt;br&gt; 1000", "fish chip 1000"),
        ("love it 😍👍🏽", "love 😍 👍"),
        ("\uff27\uff4f\uff4f\uff44 caf\u0065\u0301", "good café"),
        ("a < b, <3", "b ❤"),
        ("!!!??? ...", "! ?"),
        ("the of and", ""),
    ],
)
def test_known_texts(text, cleaned):
    assert CLEANERS["english"](text) == cleaned


@pytest.mark.parametrize(
    ("language", "text", "cleaned"),
    [
        ("german", "Die Äpfel sind nicht sehr gut, aber die Birnen!", "apfel nicht sehr gut aber birn !"),
        ("french", "L'application n'est pas du tout pratique", "appliqu n pas tout pratiqu"),
        ("spanish", "La aplicación no funciona muy bien", "aplic no funcion muy bien"),
    ],
)
def test_negations_are_kept_in_every_language(language, text, cleaned):
    assert CLEANERS[language](text) == cleaned


@pytest.mark.parametrize(
    ("changes", "text", "cleaned"),
    [
        ({"remove_stop_words": False}, "it is the best", "it is the best"),
        ({"keep_negations": False}, "it isn't very bad but not good", "bad good"),
        ({"stemmer": "none"}, "crashes crashed", "crashes crashed"),
        ({"stemmer": "porter"}, "crashes happily", "crash happili"),
        ({"keep_emoji": False}, "love 😍", "love"),
        ({"keep_marks": False}, "app?!", "app"),
        ({"squeeze_elongation": False, "stemmer": "none"}, "goooood", "goooood"),
        ({"normalise_unicode": False, "stemmer": "none"}, "\uff47ood", "\uff47ood"),
        ({"remove_markup": False}, "<b>bold</b>", "b bold b"),
    ],
)
def test_each_step_can_be_switched_off(changes, text, cleaned):
    assert cleaner(**changes)(text) == cleaned


WORDS = st.lists(
    st.one_of(
        st.text(), st.sampled_from(["don't", "sooo", "it's", "&amp;lt;b", "naïveté", "!!", "😀", "rock'n'roll's"])
    )
)


@pytest.mark.parametrize("language", LANGUAGES)
@given(words=WORDS)
@example(words=["ses'des"])
@example(words=["AAÁ"])
@example(words=["don't's", "o'clock'd"])
def test_cleaning_is_idempotent(language, words):
    clean = CLEANERS[language]
    once = clean(" ".join(words))
    assert clean(once) == once
    assert "  " not in once
    assert once == once.strip()


def test_an_arabic_stem_does_not_depend_on_the_word_before():
    words = "استخدامه كتبوا احذفه كتبتم رائعة يستخدمونها كتبنا".split()
    stems = [cleaner("arabic")(word) for word in words]
    assert cleaner("arabic")(" ".join(words)).split() == stems
    assert cleaner("arabic")(" ".join(reversed(words))).split() == stems[::-1]


def test_a_character_reference_of_thousands_of_digits_is_text():
    digits = "9" * 1500
    assert cleaner("other")(f"&#{digits};") == digits


@given(st.text(alphabet="abcdefinstuyz'", max_size=12), st.sampled_from(LANGUAGES))
def test_stemming_is_idempotent(word, language):
    once = CLEANERS[language](word)
    assert CLEANERS[language](once) == once


@given(st.text())
def test_cleaned_texts_are_at_most_20_times_as_long(text):
    # NFKC and lower() turn one character into at most 18, and there is one space between words.
    assert len(CLEANERS["english"](text)) <= 20 * len(text)


@pytest.mark.parametrize("unit", ["ed", "ing", "ál", "ال", "&#9", "\u0430))", "x\u0301", ":*"])
@pytest.mark.parametrize("language", ["english", "hungarian", "arabic", "russian"])
def test_a_text_of_one_repeated_unit_is_cleaned_idempotently(language, unit):
    clean = cleaner(language)
    once = clean("a" + unit * 300)
    assert clean(once) == once


def test_a_long_text_is_cut_where_its_work_is_done():
    words, clean = [f"crash{number}" for number in range(1000)], CLEANERS["english"]
    short, cleaned = clean(" ".join(words[:200])), clean(" ".join(words))
    assert cleaned.startswith(short)
    assert 300 < len(cleaned.split()) < len(words)
    assert clean("crash " * 1600 + "the end") == " ".join(["crash"] * 1600 + ["end"])  # the same word costs no work


def test_what_a_long_text_is_cut_to_does_not_depend_on_what_was_cleaned_before():
    text = " ".join(f"{stem}edlylyed" + "ing" * (len(stem) % 4) for stem in map("x{}".format, range(900)))
    used = cleaner("english")
    for word in reversed(text.split()):
        used(word)
    assert used(text) == cleaner("english")(text)


def test_a_text_that_cannot_be_cleaned_loses_no_other(tmp_path, monkeypatch, make_params):
    def clean_word(self, word):
        if word == "fail":
            raise RecursionError
        return original(self, word)

    original = _WordCleaner.__call__
    monkeypatch.setattr(_WordCleaner, "__call__", clean_word)
    source, target = tmp_path / "source.parquet", tmp_path / "target.parquet"
    texts = ["It crashes", "crashes and fail", "crashes"]
    pq.write_table(pa.table({"text": texts, "language": [None, "english", None]}), source)
    assert clean_file(make_params().clean, (source, target)) == {"RecursionError": 1}
    assert pq.read_table(target)["text"].to_pylist() == ["it crashes", "", "crashes"]
