"""The language of a review: py3langid, limited to the languages of app stores, and silent where it is not sure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import get_args

from src.core.normalisation import nfkc
from src.core.params import Language, TableLanguage

SUPPORTED = frozenset(get_args(Language))
NAMES = dict(
    pair.split(":")
    for pair in """
    af:afrikaans am:amharic ar:arabic az:azerbaijani be:belarusian bg:bulgarian bn:bengali ca:catalan cs:czech da:danish
    de:german el:greek en:english es:spanish et:estonian eu:basque fa:persian fi:finnish fr:french gl:galician
    gu:gujarati he:hebrew hi:hindi hr:croatian hu:hungarian hy:armenian id:indonesian is:icelandic it:italian
    ja:japanese ka:georgian kk:kazakh km:khmer kn:kannada ko:korean ky:kyrgyz lo:lao lt:lithuanian lv:latvian
    mk:macedonian ml:malayalam mn:mongolian mr:marathi ms:malay my:burmese ne:nepali nl:dutch nn:norwegian no:norwegian
    pa:punjabi pl:polish pt:portuguese ro:romanian ru:russian si:sinhala sk:slovak sl:slovenian sq:albanian sr:serbian
    sv:swedish sw:swahili ta:tamil te:telugu th:thai tl:filipino tr:turkish uk:ukrainian ur:urdu uz:uzbek vi:vietnamese
    zh:chinese zu:zulu
    """.split()
)
"""The languages that reviews in app stores are written in, by ISO 639 code.

The detector knows as many more, among them dialects and dead languages. They would win many short texts.
"""

NO_LANGUAGE = "zxx"
"""The detector's class for what is no language: names, codes, key mashing. Its texts are not sure."""

SURE = 0.55
"""The least probability of a sure language: about 98 % of them are right (docs/explanation/language-detection.md)."""

LEAST_BYTES = 6
"""The letters that a text needs, in bytes of UTF-8: two Chinese characters say as much as six Latin letters."""

MOST_CHARACTERS = 1000
"""The characters that are read of a text: more cost time and change no answer."""

DOMINANT_SHARE = 0.9
"""The least share of one language in a table of one language: errors alone took up to 5 % of short texts from it."""

NOT_PROSE = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+|<[a-zA-Z/!][^>]*>|&#?\w+;")
LETTERS = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc"}  # general categories of Unicode
JOINERS = "'\u2019\u200c\u200d"
VARIATION_SELECTORS = range(0xFE00, 0xFE10)  # marks that emoji carry
CAPITALS = re.compile(r"\w{2,}")


class _Letters(dict[int, int | str]):
    """Translate what is neither letter, mark nor apostrophe to a space; a dict, since str.translate is fast."""

    def __missing__(self, code: int) -> int | str:
        kept = unicodedata.category(chr(code)) in LETTERS or chr(code) in JOINERS
        self[code] = code if kept and code not in VARIATION_SELECTORS else " "
        return self[code]


_LETTERS = _Letters()


def detect(texts: Sequence[str]) -> list[str | None]:
    """Return the language of each text ("english", "polish"), None where it is not sure.

    Each text is judged by itself: the order of the texts changes nothing. The model is loaded at the first call.
    """
    classify = _classifier()
    return [_detect_one(text, classify) for text in texts]


def cleaned_as(language: str | None) -> Language:
    """Return the language whose rules clean a text: `other` where it is not sure or has no stemmer."""
    return language if language in SUPPORTED else "other"  # type: ignore[return-value]


def dominant(languages: Sequence[str | None]) -> TableLanguage:
    """Return the Language of a sample (None: not sure), "mixed" if it has several, "other" if none is sure.

    All languages that are no Language count as one: their texts are treated alike, and the detector mistakes them for
    one another (Czech for Slovak, Hindi for Nepali).
    """
    counts = Counter(cleaned_as(language) for language in languages if language is not None)
    if not counts:
        return "other"
    [(language, count)] = counts.most_common(1)
    return language if count >= DOMINANT_SHARE * counts.total() else "mixed"


def _detect_one(text: str, classify: Callable[[str], tuple[str, float]]) -> str | None:
    letters = _letters(text)
    if len(letters.encode()) < LEAST_BYTES:
        return None
    code, probability = classify(letters)
    return NAMES.get(code) if probability >= SURE else None


def _letters(text: str) -> str:
    """Return the words of a text without links, markup, digits and emoji, which would lower the probability."""
    prose = NOT_PROSE.sub(" ", text[:MOST_CHARACTERS])
    words = " ".join(nfkc(prose).translate(_LETTERS).split())
    # The detector has not seen capitals; it does see that German nouns have one.
    return CAPITALS.sub(lambda word: _lower(word[0]) if word[0].isupper() else word[0], words)


def _lower(word: str) -> str:
    return word.replace("İ", "i").lower()  # lower() makes two characters of a Turkish İ


@lru_cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    """Load the detector; a text to its ISO 639 code and its probability."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # takes half a second and 90 MB

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([*NAMES, NO_LANGUAGE])
    return identifier.classify
