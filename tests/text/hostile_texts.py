"""Texts made to crash or slow down what reads them."""

from random import Random

UNITS = (
    *("ed", "ing", "s", "eed", "ly", "ational", "'s", "n't", "ba", "x", "aa", "ál", "ال", "ост", "lar"),
    *("\u0301", "a\u0301\u0327", "\u0f73", "ﾞ", "\u0345", "\u200d", "a\u200c", "\u1039\u1000", "\u17d2\u1780", "กำ"),
    *("\ufdfa", "İ", "ß", "\u3164", "漢", "😀", "😀\u200d", "🏴\U000e0067", "🇩", "1\u20e3", "\u20e3", "✔\ufe0f"),
    *("&#9", "&amp;", "&#38;", "&", "\\", "\\n", "<", "<b ", "<b a=", "<!--", "</3", "www.", "http://", "a@", "@"),
    *("(", ":-", ":*", "_-", "5*", "xd", "^_", "t_", "))", "1/", "4.5", "'", "!?", "\0", "\x1b[", "\ud800", "\t"),
)
SEPARATORS = ("", "", " ", ",", ".", "-", "'", "\n", "\u200b", "\u00a0")


def hostile_text(random: Random, length: int) -> str:
    """Draw a text of some length: units repeated as they are, or many different words of them."""
    separator = random.choice(SEPARATORS)
    if random.random() < 0.5:
        unit = "".join(random.choices(UNITS, k=random.randint(1, 3))) + separator
        return _ending((unit * (length // len(unit) + 1))[:length], random)
    words = random.randint(1, 12), random.choice(UNITS) * random.randint(0, 20)
    text = ""
    while len(text) < length:
        text += "".join(random.choices("abcdefgilmnorstuy", k=words[0])) + words[1] + separator
    return text[:length]


def _ending(text: str, random: Random) -> str:
    ending = random.choice(UNITS) * random.randint(0, 300)
    return text[: max(0, len(text) - len(ending))] + ending
