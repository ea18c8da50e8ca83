"""The words a model knows, and their ids."""

from collections import Counter
from collections.abc import Iterable

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
    """Choose the words that occur often enough, most frequent first, ties in code point order.

    The word at position i has id FIRST_WORD + i; all other words share the id UNKNOWN.
    """
    frequent = (item for item in counts.items() if item[1] >= min_count)
    ordered = sorted(frequent, key=lambda item: (-item[1], item[0]))
    return [word for word, _ in ordered[:max_words]]
