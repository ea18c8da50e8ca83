from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.params import Language, check_params
from src.text.cleaning import make_cleaner
from src.text.stop_words import find_stop_words
from src.text.words import make_splitter
from tests.conftest import changed_params

LANGUAGES = get_args(Language)
WITHOUT_STOP_WORDS = {"arabic", "finnish", "hungarian", "romanian", "other"}
ALPHABETS = {
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهويىةأإآءئؤًٌٍَُِّْ",
    "russian": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
}
LATIN = "abcdefghijklmnopqrstuvwxyzàâáäåæãçéèêëíìîïñóòôöøõœşșţțßúùûüűőýăđ"


def settings(**changes):
    raw = changed_params({f"clean.{key}": value for key, value in changes.items()})
    return check_params(raw, "params.yaml").clean


def cleaner(language, **changes):
    return make_cleaner(language, settings(**changes), find_stop_words(language))


CLEANERS = {language: cleaner(language) for language in LANGUAGES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_lists_are_written_as_cleaned_texts_are(language):
    words = find_stop_words(language)
    assert bool(words.stop) == bool(words.kept) == (language not in WITHOUT_STOP_WORDS)
    for word in words.kept:
        assert CLEANERS[language](word), f"{word} is not kept"


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_can_contain_every_stop_word(language):
    split = make_splitter(settings(), apostrophes=language == "english")
    for word in find_stop_words(language).stop:
        assert split(word) == [word]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("english", "one two three four five six eight nine ten"),
        ("french", "bon nouveau nouveaux deux excepté"),
        ("spanish", "dos tres cuatro cinco seis siete ocho nuevo sola segunda aun"),
    ],
)
def test_number_words_and_judgements_stay(language, words):
    assert len(CLEANERS[language](words).split()) == len(words.split())


@pytest.mark.parametrize(
    ("language", "with_negation", "without"),
    [
        ("danish", "den virker ikke", "den virker"),
        ("danish", "god men langsom", "god langsom"),
        ("dutch", "dit werkt niet goed", "dit werkt goed"),
        ("dutch", "geen problemen", "problemen"),
        ("english", "it does not work", "it does work"),
        ("finnish", "se ei toimi", "se toimi"),
        ("french", "ça ne marche pas", "ça marche"),
        ("german", "es geht nicht", "es geht"),
        ("german", "nie wieder", "wieder"),
        ("hungarian", "nem működik", "működik"),
        ("italian", "non funziona", "funziona"),
        ("italian", "senza problemi", "problemi"),
        ("norwegian", "den virker ikke", "den virker"),
        ("portuguese", "não funciona bem", "funciona bem"),
        ("portuguese", "sem problemas", "problemas"),
        ("romanian", "nu merge", "merge"),
        ("russian", "не работает", "работает"),
        ("russian", "работает хорошо", "работает"),
        ("spanish", "no funciona", "funciona"),
        ("swedish", "den fungerar inte", "den fungerar"),
        ("swedish", "den sämsta men bra", "den sämsta bra"),
        ("arabic", "لا يعمل", "يعمل"),
    ],
)
def test_what_turns_a_sentence_around_stays(language, with_negation, without):
    assert CLEANERS[language](with_negation) != CLEANERS[language](without)


@pytest.mark.parametrize(
    ("language", "text", "cleaned"),
    [
        ("danish", "jeg er meget glad for den", "meg glad"),
        ("dutch", "ik ben er heel blij mee", "hel blij mee"),
        ("italian", "la mia app non va", "app non va"),
        ("norwegian", "jeg er veldig fornøyd med den", "veld fornøyd"),
        ("portuguese", "o aplicativo é muito bom", "aplic muit bom"),
        ("russian", "это мой телефон", "телефон"),
        ("swedish", "jag är inte nöjd med den", "int nöjd"),
        ("finnish", "se on hyvä", "se on hyvä"),
        ("other", "it is not the best", "it is not the best"),
    ],
)
def test_stop_words_are_dropped_and_the_rest_is_stemmed(language, text, cleaned):
    assert CLEANERS[language](text) == cleaned


@pytest.mark.parametrize("language", LANGUAGES)
@given(data=st.data())
def test_cleaning_is_idempotent_in_every_language(language, data):
    letters = ALPHABETS.get(language, LATIN)
    text = " ".join(data.draw(st.lists(st.text(letters, min_size=1, max_size=15), max_size=6)))
    once = CLEANERS[language](text)
    assert CLEANERS[language](once) == once
