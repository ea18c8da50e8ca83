"""Reduce a review to the words that carry its meaning, separated by single spaces."""

import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache

import regex

from src.core.params import Clean, Language, TableLanguage
from src.text.characters import MARKUP, MOST_CHARACTERS, fold, unescape
from src.text.languages import cleaned_as, detect
from src.text.words import EMOTICON, StopWords, make_splitter

ELONGATION = regex.compile(r"([\p{L}\p{M}])\1{2,}")
SIGNS = r"'.,/\u00b7\u066b\u066c\u2027\"\u200c"
LOOSE_ENDS = regex.compile(rf"^[{SIGNS}\p{{M}}\u200d]+|[{SIGNS}]+$")
"""Signs and marks inside a word that a stemmer can leave at its beginning or end."""
RUSSIAN = re.compile("[\u0430-\u044f\u0451]+")
TATWEEL = "\u0640"
"""The stroke that stretches an Arabic word."""
ENGLISH_ENDING = re.compile(r"(?:'(?:s|m|re|ve|ll|d))+$")
ENGLISH_NEGATIONS = {
    negation.replace("'", ""): negation
    for negation in """
    ain't aren't can't couldn't didn't doesn't don't hadn't hasn't haven't isn't mustn't needn't shouldn't wasn't
    weren't won't wouldn't
    """.split()
}
"""English negations by their form without an apostrophe."""
REMEMBERED = 100_000
"""Entries of a cache. A full cache is emptied, so memory does not grow with the number of reviews."""
LONGEST_WORD = 50
"""Longest word, in characters, that is stemmed, and longest piece of a text that is cached."""
SHORT = 2_000
"""Characters; such a text is not worth the count of its work, whatever it holds."""
PIECE = 500
"""Characters; a longer piece without spaces of a text that is not short is cut, so that its work can be counted."""
MOST_WORK = 700
"""Work on the different words of a text that is not short, in stemmings, after which the rest of it is left out.

Half of it is enough for the 400 words that encode.max_length leaves of a review.
"""


def make_cleaner(language: Language, settings: Clean, words: StopWords) -> Callable[[str], str]:
    """Build the function that cleans one text.

    Each distinct word, and each distinct chunk between two spaces, is processed once and looked up after that.
    Cleaning is idempotent: a word is processed again until it no longer changes.
    """
    words_cleaned = _WordCache(_WordCleaner(language, settings, words))
    split = make_splitter(settings, apostrophes=language in ("english", "other"))

    def clean_piece(piece: str) -> str:
        tokens = split(piece)
        if len(tokens) == 1:
            return words_cleaned[tokens[0]]
        return " ".join(filter(None, map(words_cleaned.__getitem__, tokens)))

    def clean_beginning(text: str) -> str:
        """Clean a text that may be hostile until MOST_WORK is done: the work depends on the text, not on the caches."""
        cleaned: dict[str, str] = {}
        pieces: list[str] = []
        work = 0.0
        for piece in _pieces(text):
            if piece not in cleaned:
                if work >= MOST_WORK:
                    break
                tokens = split(piece)
                cleaned[piece] = " ".join(filter(None, map(words_cleaned.__getitem__, tokens)))
                work += sum(map(words_cleaned.work, set(tokens)))
                if not piece.isalnum():
                    work += len(piece) / 16 + len(tokens) / 8
            pieces.append(cleaned[piece])
        return " ".join(filter(None, pieces))

    pieces_cleaned = _Cache(clean_piece)
    markup, tatweel, normalise = settings.remove_markup, settings.squeeze_elongation, settings.normalise_unicode

    def clean(text: str) -> str:
        text = text[:MOST_CHARACTERS]
        if "&" in text or "\\" in text:
            text = unescape(text, entities=markup)
        text = fold(text, normalise)
        if tatweel and TATWEEL in text:
            text = fold(text.replace(TATWEEL, ""), normalise)  # marks that it held apart now belong together
        if markup and ("<" in text or "@" in text or "://" in text or "www." in text):
            text = MARKUP.sub(" ", text)
        if len(text) > SHORT:
            return clean_beginning(text)
        return " ".join(filter(None, map(pieces_cleaned.__getitem__, text.split())))

    return clean


def _pieces(text: str) -> Iterator[str]:
    """Yield what stands between the spaces of a text, long pieces in parts."""
    for piece in text.split():
        for start in range(0, len(piece), PIECE):
            yield piece[start : start + PIECE]


class Cleaners(dict[Language, Callable[[str], str]]):
    """The function that cleans a text by language; it is built when it is first needed."""

    def __init__(self, settings: Clean, find_words: Callable[[Language], StopWords]) -> None:
        super().__init__()
        self._settings = settings
        self._find_words = find_words

    def __missing__(self, language: Language) -> Callable[[str], str]:
        self[language] = clean = make_cleaner(language, self._settings, self._find_words(language))
        return clean

    def for_table(self, language: TableLanguage) -> Callable[[str], str]:
        """Return what cleans the texts of a table; in a mixed one, each text by the language that is found for it."""
        if language != "mixed":
            return self[language]
        return lambda text: self[cleaned_as(detect([text])[0])](text)


@lru_cache(maxsize=1)
def cached_cleaners(settings: Clean, find_words: Callable[[Language], StopWords]) -> Cleaners:
    """Build cleaners, or return the last ones, so that all files cleaned by one process share their caches."""
    return Cleaners(settings, find_words)


class _Cache(dict[str, str]):
    """The results of a function for short texts, computed at the first look-up; emptied when full."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, text: str) -> str:
        result = self._function(text)
        self.store(text, result)
        return result

    def store(self, text: str, result: str) -> None:
        """Keep a result that is known already."""
        if len(self) >= REMEMBERED:
            self.clear()
        if len(text) <= LONGEST_WORD:
            self[text] = result


class _WordCache(_Cache):
    """Words as they are when cleaning no longer changes them, and how often each was stemmed for that."""

    def __init__(self, clean_word: Callable[[str], str]) -> None:
        super().__init__(clean_word)
        self._more_than_twice: dict[str, int] = {}

    def __missing__(self, word: str) -> str:
        cleaned, times = self._function(word), 1
        form = word
        while cleaned != form and cleaned not in self and times <= len(word):
            form, cleaned, times = cleaned, self._function(cleaned), times + 1
        if cleaned != form and cleaned in self:
            times += self.work(cleaned)
            cleaned = self[cleaned]
        self.store(cleaned, cleaned)
        self.store(word, cleaned)
        if times > 2 and word in self:
            self._more_than_twice[word] = times
        return cleaned

    def work(self, word: str) -> int:
        """Return how often a cached word was stemmed, at least once."""
        return 1 if self.get(word, word) in (word, "") else self._more_than_twice.get(word, 2)

    def clear(self) -> None:
        super().clear()
        self._more_than_twice.clear()


class _WordCleaner:
    """Shorten, drop or stem a word; the result is '' if the word is dropped."""

    def __init__(self, language: Language, settings: Clean, words: StopWords) -> None:
        self._stem = _stemmer(language, settings.stemmer)
        self._english = language == "english"
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
        if len(word) > LONGEST_WORD:
            return word
        if self._squeeze and ELONGATION.search(word):
            single, double = ELONGATION.sub(r"\1", word), ELONGATION.sub(r"\1\1", word)
            word = single if single in self._all_listed and double not in self._all_listed else double
        if self._english:
            word = ENGLISH_ENDING.sub("", word)
            word = ENGLISH_NEGATIONS.get(word, word)
            if word.endswith("n't"):
                return "" if self._drop_negations else word
        if word in self._stop:
            return ""
        stem = self._stem(word)
        if not stem.isalnum():
            stem = LOOSE_ENDS.sub("", stem)
        return word if stem[:2] == "xd" and EMOTICON.fullmatch(stem) else stem  # the French stem of xds is no smile

    def _stem_fully(self, word: str) -> str:
        while (stem := self._stem(word)) != word:
            word = stem
        return word


def _stemmer(language: Language, name: str) -> Callable[[str], str]:
    if name == "none" or language == "other":
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
    if language == "arabic":  # this stemmer keeps what it found in one word for the next
        return lambda word: str(SnowballStemmer("arabic").stem(word))
    stem: Callable[[str], str] = SnowballStemmer(language).stem
    if language != "russian":
        return stem
    # NLTK writes Russian in Latin letters to stem it: Latin words would become Cyrillic, and some stems end with a ^.
    return lambda word: stem(word).rstrip("^") if RUSSIAN.fullmatch(word) else word
