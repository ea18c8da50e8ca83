from collections import Counter

import pytest

from src.text.stop_words import find_stop_words
from src.text.unknown_words import likely_reason

ENGLISH = Counter("app not good very crash always but open never again update work".split())
GERMAN = Counter("app nicht gut sehr ist das und aber wenn absturz immer die".split())
RUSSIAN = Counter("приложение не работает после обновления".split())


@pytest.mark.parametrize(
    ("unknown", "train", "language", "reason"),
    [
        ({"absturz": 2}, GERMAN, "english", "the reviews look German: set data.language to german, not english"),
        ({"absturz": 2}, GERMAN, "other", "the reviews look German: set data.language to german, not other"),
        (RUSSIAN, ENGLISH + ENGLISH + ENGLISH, "mixed", "100% of them are in another script (Cyrillic) than most"),
        ({"rare": 3, "new": 1}, ENGLISH + Counter(["rare"]), "english", "75% of them occur in the train split, but"),
        ({"rare": 1, "new": 3}, ENGLISH + Counter(["rare"]), "english", "75% of them are not in the train split"),
        ({}, ENGLISH, "english", "they are reviews of which no word is left after cleaning"),
    ],
)
def test_likely_reasons(unknown, train, language, reason):
    assert reason in likely_reason(Counter(unknown), train, 2, language, find_stop_words)
