"""Reduce a review to the words that carry its meaning, separated by single spaces."""

import html
import re
import sys
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from src.core.params import Clean, Language

MARKUP = re.compile(r"(?:https?://|www\.)[^\s<>\"]+|[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,63}|</?[a-z!][^<>]{0,500}>")
EMOJI = r"[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001f3fa\U0001f400-\U0001faff]"
LITERAL_BREAKS = re.compile(r"\\+[nrt]")
"""Line ends and tabs that an export wrote as a backslash and a letter."""
ELONGATION = re.compile(r"([^\W\d])\1{2,}")
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4", "'"))
ENGLISH_ENDING = re.compile(r"(?:'(?:s|m|re|ve|ll|d))+$")
REMEMBERED = 100_000
"""Entries of a cache. A full cache is emptied, so memory does not grow with the number of reviews."""
LONGEST_REMEMBERED = 50
"""Longest text, in characters, that is cached."""


class StopWords(NamedTuple):
    """Words of a language in lower case: words without meaning, and those of them that still affect the rating."""

    stop: frozenset[str]
    kept: frozenset[str]


def make_cleaner(language: Language, settings: Clean, words: StopWords) -> Callable[[str], str]:
    """Build the function that cleans one text.

    Each distinct word, and each distinct chunk between two spaces, is processed once and looked up after that.
    Cleaning is idempotent: a word is processed again until it no longer changes.
    """
    clean_word = _WordCleaner(language, settings, words)

    def clean_fully(word: str) -> str:
        cleaned = clean_word(word)
        return cleaned if cleaned == word else cached_words[cleaned]

    cached_words = _Cache(clean_fully)
    word = r"[^\W_]+(?:'[^\W_]+)*" if language == "english" else r"[^\W_]+"
    marks = [r"!+", r"\?+"] if settings.keep_marks else []
    emoji = [EMOJI] if settings.keep_emoji else []
    tokens = re.compile("|".join([word, *marks, *emoji]))
    cached_chunks = _Cache(lambda chunk: " ".join(filter(None, map(cached_words.__getitem__, tokens.findall(chunk)))))

    def clean(text: str) -> str:
        if settings.remove_markup and "&" in text:
            text = html.unescape(text)
        if "\\" in text:
            text = LITERAL_BREAKS.sub(" ", text)
        if not text.isascii():
            if settings.normalise_unicode:
                text = unicodedata.normalize("NFKC", text)
            text = text.translate(APOSTROPHES)
        text = text.lower()
        if settings.remove_markup and ("<" in text or "@" in text or "://" in text or "www." in text):
            text = MARKUP.sub(" ", text)
        return " ".join(filter(None, map(cached_chunks.__getitem__, text.split())))

    return clean


@lru_cache(maxsize=1)
def cached_cleaner(language: Language, settings: Clean, words: StopWords) -> Callable[[str], str]:
    """Build a cleaner, or return the last one, so that all files cleaned by one process share its caches."""
    return make_cleaner(language, settings, words)


class _Cache(dict[str, str]):
    """The results of a function for short texts, computed at the first look-up; emptied when full."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, text: str) -> str:
        result = self._function(text)
        if len(self) >= REMEMBERED:
            self.clear()
        if len(text) <= LONGEST_REMEMBERED:
            self[text] = result
        return result


class _WordCleaner:
    """Shorten, drop or stem a word; the result is '' if the word is dropped."""

    def __init__(self, language: Language, settings: Clean, words: StopWords) -> None:
        self._stem = _stemmer(language, settings.stemmer)
        self._squeeze = settings.squeeze_elongation
        self._drop_negations = settings.remove_stop_words and not settings.keep_negations
        self._all_listed = words.stop | words.kept
        self._stop: frozenset[str] = frozenset()
        if settings.remove_stop_words:
            kept = words.kept if settings.keep_negations else frozenset()
            self._stop = words.stop - kept - {self._stem_fully(word) for word in kept}

    def __call__(self, word: str) -> str:
        if word[:1] in ("", "!", "?"):
            return word[:1]
        if self._squeeze and ELONGATION.search(word):
            single, double = ELONGATION.sub(r"\1", word), ELONGATION.sub(r"\1\1", word)
            word = single if single in self._all_listed and double not in self._all_listed else double
        word = ENGLISH_ENDING.sub("", word)
        if word.endswith("n't"):
            return "" if self._drop_negations else word
        return "" if word in self._stop else self._stem(word).strip("'")

    def _stem_fully(self, word: str) -> str:
        while (stem := self._stem(word)) != word:
            word = stem
        return word


def _stemmer(language: Language, name: str) -> Callable[[str], str]:
    if name == "none":
        return str
    # NLTK imports these if it can (2 s, 100 MB), but no stemmer uses them; None makes them look as if not installed.
    hidden = {"pandas", "scipy", "sklearn"} - sys.modules.keys()
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        from nltk.stem.porter import PorterStemmer
        from nltk.stem.snowball import SnowballStemmer
    finally:
        for package in hidden:
            del sys.modules[package]
    if name == "porter" and language == "english":
        porter = PorterStemmer()
        return lambda word: porter.stem(word, to_lowercase=False)
    return SnowballStemmer(language).stem
