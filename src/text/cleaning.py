"""Turn a review into the words that carry its meaning, separated by single spaces."""

import html
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

from src.core.params import Clean, Language

MARKUP = re.compile(r"(?:https?://|www\.)[^\s<>\"]+|[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,63}|</?[a-z!][^<>]{0,500}>")
EMOJI = r"[\u2190-\u21ff\u2300-\u27bf\u2b00-\u2bff\U0001f000-\U0001f3fa\U0001f400-\U0001faff]"
ELONGATION = re.compile(r"([^\W\d])\1{2,}")
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u00b4", "'"))
ENGLISH_ENDING = re.compile(r"(?:'(?:s|m|re|ve|ll|d))+$")
REMEMBERED = 100_000
"""Words in a memory; with the next it is emptied, so that ten million reviews need no more than a hundred thousand."""
LONGEST_REMEMBERED = 50
"""Letters of a word that is remembered."""


class StopWords(NamedTuple):
    """Words of a language in lower case: those that carry no meaning, and those that a rating still hangs on."""

    stop: frozenset[str]
    kept: frozenset[str]


def make_cleaner(language: Language, settings: Clean, words: StopWords) -> Callable[[str], str]:
    """Build the function that cleans one text.

    Each distinct word is squeezed, looked up among the stop words and stemmed once; from then on it costs a look-up,
    and so does whatever stands between two spaces. Cleaning what is clean changes nothing: a word goes through again
    until it stays the same.
    """
    kept_words = _CachedWords(language, settings, words)
    word = r"[^\W_]+(?:'[^\W_]+)*" if language == "english" else r"[^\W_]+"
    marks = [r"!+", r"\?+"] if settings.keep_marks else []
    emoji = [EMOJI] if settings.keep_emoji else []
    tokens = re.compile("|".join([word, *marks, *emoji]))
    kept_chunks = _CachedChunks(
        lambda chunk: " ".join(filter(None, map(kept_words.__getitem__, tokens.findall(chunk))))
    )

    def clean(text: str) -> str:
        if settings.remove_markup and "&" in text:
            text = html.unescape(text)
        if not text.isascii():
            if settings.normalise_unicode:
                text = unicodedata.normalize("NFKC", text)
            text = text.translate(APOSTROPHES)
        text = text.lower()
        if settings.remove_markup and ("<" in text or "@" in text or "://" in text or "www." in text):
            text = MARKUP.sub(" ", text)
        return " ".join(filter(None, map(kept_chunks.__getitem__, text.split())))

    return clean


@lru_cache(maxsize=1)
def cached_cleaner(language: Language, settings: Clean, words: StopWords) -> Callable[[str], str]:
    """Build a cleaner, or give the last one again: files that one process cleans share what it remembers."""
    return make_cleaner(language, settings, words)


class _Memory(dict[str, str]):
    """What was found for short texts, filled as they turn up; emptied when it is full."""

    def remember(self, text: str, found: str) -> str:
        if len(self) >= REMEMBERED:
            self.clear()
        if len(text) <= LONGEST_REMEMBERED:
            self[text] = found
        return found


class _CachedChunks(_Memory):
    """From what stands between two spaces to what is kept of it."""

    def __init__(self, keep: Callable[[str], str]) -> None:
        super().__init__()
        self._keep = keep

    def __missing__(self, chunk: str) -> str:
        return self.remember(chunk, self._keep(chunk))


class _CachedWords(_Memory):
    """From a word as written to the word as kept, '' for one that goes."""

    def __init__(self, language: Language, settings: Clean, words: StopWords) -> None:
        super().__init__()
        self._stem = _stemmer(language, settings.stemmer)
        self._squeeze = settings.squeeze_elongation
        self._drop_negations = settings.remove_stop_words and not settings.keep_negations
        self._all_listed = words.stop | words.kept
        self._stop: frozenset[str] = frozenset()
        if settings.remove_stop_words:
            kept = words.kept if settings.keep_negations else frozenset()
            self._stop = words.stop - kept - {self._last_stem(word) for word in kept}

    def __missing__(self, word: str) -> str:
        kept = self._keep_once(word)
        # Until it stays the same; forms of a word share the way.
        return self.remember(word, kept if kept == word else self[kept])

    def _keep_once(self, word: str) -> str:
        if word[:1] in ("", "!", "?"):
            return word[:1]
        if self._squeeze and ELONGATION.search(word):
            single, double = ELONGATION.sub(r"\1", word), ELONGATION.sub(r"\1\1", word)
            word = single if single in self._all_listed and double not in self._all_listed else double
        word = ENGLISH_ENDING.sub("", word)
        if word.endswith("n't"):
            return "" if self._drop_negations else word
        return "" if word in self._stop else self._stem(word).strip("'")

    def _last_stem(self, word: str) -> str:
        while (stem := self._stem(word)) != word:
            word = stem
        return word


def _stemmer(language: Language, name: str) -> Callable[[str], str]:
    if name == "none":
        return str
    with _unseen("pandas", "scipy", "sklearn"):
        from nltk.stem.porter import PorterStemmer
        from nltk.stem.snowball import SnowballStemmer
    if name == "porter" and language == "english":
        porter = PorterStemmer()
        return lambda word: porter.stem(word, to_lowercase=False)
    return SnowballStemmer(language).stem


@contextmanager
def _unseen(*packages: str) -> Iterator[None]:
    """Make packages look as if they were not installed: NLTK imports them if it can (2 s, 100 MB); no stemmer does."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
