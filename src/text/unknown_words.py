"""Why a model does not know many words of a table."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import get_args

from src.core.params import Language
from src.text.words import StopWords

WARNED = 0.1
"""Share of unknown words above which encode warns."""
LOOKS_LIKE = 0.1
"""Share of a language's stop words in texts that look as if written in it; prose of that language has 30 to 50 %."""


def likely_reason(
    unknown: Counter[str],
    train: Counter[str],
    min_count: int,
    language: str,
    find_words: Callable[[Language], StopWords],
) -> str:
    """Say in one sentence why words of the validation split are unknown, and what to do about it.

    unknown, train: how often each unknown word occurs in the validation split, and each word in the train split.
    """
    if not unknown:
        return "they are reviews of which no word is left after cleaning: see the section clean of params.yaml"
    if language != "mixed" and (other := _other_language(train + unknown, language, find_words)):
        return f"the reviews look {other.capitalize()}: set data.language to {other}, not {language}, or to auto"
    script, share = _main_script(unknown)
    train_script, _ = _main_script(train)
    if script != train_script:
        return f"{share:.0%} of them are in another script ({script}) than most train reviews ({train_script}): " + (
            "add train reviews in it" if language == "mixed" else "set data.language to mixed, and add such reviews"
        )
    rare = sum(count for word, count in unknown.items() if 0 < train[word] < min_count) / unknown.total()
    if rare >= 0.5:
        return f"{rare:.0%} of them occur in the train split, but fewer than {min_count} times: lower encode.min_count"
    return f"{1 - rare:.0%} of them are not in the train split: add reviews, also without stars (data.extra_path)"


def _other_language(counts: Counter[str], language: str, find_words: Callable[[Language], StopWords]) -> str | None:
    """Return the language whose stop words, less those of `language`, are most of the words; None if few are."""
    own = find_words(language).stop if language in get_args(Language) else frozenset()  # type: ignore[arg-type]
    shares = {
        other: sum(counts[word] for word in find_words(other).stop - own) / counts.total()
        for other in get_args(Language)
        if other != language
    }
    best = max(shares, key=lambda other: shares[other])
    return best if shares[best] >= LOOKS_LIKE else None


def _main_script(words: Counter[str]) -> tuple[str, float]:
    """Return the most frequent script of some words and its share; marks and emoji have none."""
    scripts = Counter[str]()
    for word, count in words.items():
        scripts.update(dict.fromkeys(_scripts(word), count))
    [(script, count)] = scripts.most_common(1) or [("none", 0)]
    return script, count / max(scripts.total(), 1)


def _scripts(word: str) -> Iterable[str]:
    """Return the script of the first letter, by its Unicode name, if the word has a letter."""
    letters = (unicodedata.name(character, "").split(" ")[0] for character in word if character.isalpha())
    return [name.capitalize() for name in letters][:1]
