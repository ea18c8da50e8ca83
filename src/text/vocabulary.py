"""The words of a model and their ids."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

PADDING = 0
UNKNOWN = 1
FIRST_WORD = 2


def count_words(texts: Iterable[str]) -> Counter[str]:
    """Count the words of cleaned texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.split())
    return counts


def choose_vocabulary(counts: Counter[str], min_count: int, max_words: int) -> list[str]:
    """Choose the words that occur at least `min_count` times, most frequent first, ties in code point order."""
    frequent = (item for item in counts.items() if item[1] >= min_count)
    ordered = sorted(frequent, key=lambda item: (-item[1], item[0]))
    return [word for word, _ in ordered[:max_words]]


def read_vocabulary(path: Path) -> list[str]:
    """Read vocabulary.txt: one word per line, in the order of the ids."""
    return path.read_text(encoding="utf-8").splitlines()


def word_ids(words: Sequence[str]) -> dict[str, int]:
    """Map the word at position i to the id FIRST_WORD + i; any other word has the id UNKNOWN."""
    return {word: number for number, word in enumerate(words, FIRST_WORD)}
