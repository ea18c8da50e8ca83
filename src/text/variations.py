"""Variations of texts: inputs for a teacher to rate, near the texts that its student will meet.

Source: Tang et al., Distilling Task-Specific Knowledge from BERT into Simple Neural Networks, 2019, section 3.3,
https://arxiv.org/abs/1903.12136 (dropped words and n-grams); joined texts are this project's own.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from src.core.params import Teach


def vary(texts: Sequence[str], settings: Teach, seed: int) -> Iterator[tuple[int, str]]:
    """Yield up to `settings.variations` variations of each text, with its position; a text of one word has none."""
    random = np.random.default_rng(seed)
    kinds = [settings.drop_share, settings.ngram_share, 1 - settings.drop_share - settings.ngram_share]
    for position, text in enumerate(texts):
        words = text.split()
        for kind in random.choice(3, settings.variations, p=kinds) if len(words) > 1 else []:
            if kind == 0:
                varied = drop_words(words, settings.dropped_words, random)
            elif kind == 1:
                varied = take_ngram(words, settings.ngram_words, random)
            else:
                varied = join(words, texts[int(random.integers(len(texts)))].split(), random)
            if varied and varied != words:
                yield position, " ".join(varied)


def drop_words(words: list[str], share: float, random: np.random.Generator) -> list[str]:
    """Drop each word with a probability of `share`."""
    return [word for word, dropped in zip(words, random.random(len(words)) < share, strict=True) if not dropped]


def take_ngram(words: list[str], longest: int, random: np.random.Generator) -> list[str]:
    """Take 1 to `longest` neighbouring words."""
    size = random.integers(1, min(longest, len(words)) + 1)
    start = random.integers(len(words) - size + 1)
    return words[start : start + size]


def join(words: list[str], others: list[str], random: np.random.Generator) -> list[str]:
    """Join the head of a text, at least one word, and the tail of another."""
    return words[: random.integers(1, len(words))] + others[random.integers(len(others)) :]
