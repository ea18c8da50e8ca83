"""The words of a model and their ids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from src.core.params import Encode

PADDING = 0
UNKNOWN = 1
FIRST_WORD = 2


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Count the words of cleaned texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.split())
    return counts


def choose_vocabulary(train: Counter[str], extra: Counter[str], settings: Encode) -> list[str]:
    """Choose the words that occur often enough in the train split, or in it and the extra reviews together.

    The most frequent come first, ties in code point order; at most `settings.vocabulary_size`.
    """
    both = train + extra
    known = (word for word in both if train[word] >= settings.min_count or both[word] >= settings.extra_min_count)
    return sorted(known, key=lambda word: (-both[word], word))[: settings.vocabulary_size]


def read_vocabulary(path: Path) -> list[str]:
    """Read vocabulary.txt: one word per line, in the order of the ids."""
    return path.read_text(encoding="utf-8").splitlines()


def word_ids(words: Sequence[str]) -> dict[str, int]:
    """Map the word at position i to the id FIRST_WORD + i; any other word has the id UNKNOWN."""
    return {word: number for number, word in enumerate(words, FIRST_WORD)}
