"""The words of each language that carry no meaning in a review."""

from functools import lru_cache
from pathlib import Path

from stop_words import get_stop_words

from src.core.files import parse_yaml
from src.core.params import Language
from src.text.characters import fold
from src.text.words import StopWords

KEPT = Path(__file__).with_name("keep_words.yaml")


def find_stop_words(language: Language) -> StopWords:
    """Return the stop words of a language, and those of them that keep_words.yaml keeps; nothing if it has none.

    The list comes from scikit-learn for English, else from the package stop-words, whose English list contains good,
    great, best and useless. Entries of it that are not one word, such as `l'` and `por qué`, are left out.
    """
    kept = _kept_words().get(language)
    if kept is None:
        return StopWords(frozenset(), frozenset())
    if language == "english":
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # takes half a second

        return StopWords(ENGLISH_STOP_WORDS, kept)
    words = (fold(word, True) for word in get_stop_words(language))
    return StopWords(frozenset(word for word in words if word.isalpha()), kept)


@lru_cache
def _kept_words() -> dict[str, frozenset[str]]:
    kinds_by_language = parse_yaml(KEPT.read_text(encoding="utf-8"), str(KEPT))
    return {
        language: frozenset(fold(word, True) for words in kinds.values() for word in words.split())
        for language, kinds in kinds_by_language.items()
    }
