"""Split a piece of text without spaces into words, marks and emoji, in any script."""

import re
from collections.abc import Callable
from typing import NamedTuple

import regex

from src.core.params import Clean

PICTURE = (
    r"[[\p{Emoji}\u2605\u2606\u2610-\u2612\u2639-\u263b\u2660-\u266f\u2713-\u2718\u2764-\u2767\U0001f000-\U0001faff]"
    r"--[\p{ASCII}\u00a9\u00ae\u2122\u2139\u2190-\u21ff\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]]"
)
"""Emoji, stars, hearts, faces and ticks, but not arrows, bullets and the lines of boxes."""
EMOJI = (
    r"[0-9#*]\u20e3"  # a keycap
    r"|[\U0001f1e6-\U0001f1ff]{2}"  # a flag
    rf"|{PICTURE}[\U000e0020-\U000e007f]*+(?:\u200d{PICTURE})*+"  # with tags: the flag of a region; joined: a family
)
NO_SPACES = (
    r"[[\p{Han}\p{Hiragana}\p{Katakana}\u3006\u3031-\u3035\u303c\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
    r"&&[\p{L}\p{Nl}]]"
)
"""Letters of scripts that put no space between words."""
CHARACTER = rf"{NO_SPACES}(?:[\p{{M}}\u200c\u200d]|(?<=[\u1039\u17d2]){NO_SPACES}){{0,30}}+"
"""A letter with its marks, and in Khmer and Burmese with the letters that are stacked below it: at most 30, since a
search for repeats reads as far as this from every letter."""
FIRST = rf"[[\p{{L}}\p{{N}}]--{NO_SPACES}]"
MARKS = r"[\p{M}--\u20e3]"
"""Marks that are part of a word; a key cap is none, so that two digits with key caps are two emoji."""
NEXT = rf"[[\p{{L}}\p{{N}}{MARKS}\u200d]--{NO_SPACES}]"
RUN = rf"{FIRST}{NEXT}*+(?:\u200c++{NEXT}++)*+"
INSIDE = (
    r"(?<=\p{Nd})[.,/\u066b\u066c](?=\p{Nd})"
    r"|(?<=[\p{L}\p{M}])[\u00b7\u2027](?=\p{L})"
    r"|(?<=\p{Hebrew})[\"'](?=\p{Hebrew})"
)
"""Signs inside a word: 4.5, 10/10, col·lega."""
START, END = rf"(?<!{FIRST}[{MARKS}\u200c\u200d]*)", rf"(?!{NEXT})"

MOODS = {
    "🙂": rf"[:=]'?-?[)\]]+|(?<![(\[])[(\[]+-?[:=]{END}|\^_*\^",
    "😃": rf"[:=]'?-?d+{END}|{START}xd+{END}",
    "😢": rf"[:=]'-?[(\[]+|(?<!\S)\)+-?'[:=]|{START}t_+t{END}",
    "😠": r">[:=]-?[(\[]+",
    "🙁": rf"[:=]-?[(\[]+{END}|(?<!\S)\)+-?[:=]{END}",
    "😉": r";-?[)\]]+",
    "😛": rf"[:=;]-?p+{END}",
    "😕": rf"[:=]-?[/\\](?!{NEXT}|[/\\])",
    "😐": rf"[:=]-?\|{END}|-_+-",
    "😮": rf"[:=]-?o+{END}",
    "😘": rf"[:=]-?\*++(?!{NEXT})",
    "💔": r"</3+(?![.,]?\d)",
    "❤": r"<3+(?![.,]?\d)",
    "⭐": rf"(?<=\d)\*++{END}",
}
"""Emoticons, in lower case, by the emoji of their mood; `5*` means five stars."""
EMOTICON = regex.compile("|".join(f"({pattern})" for pattern in MOODS.values()), regex.V1)
EMOTICON_SIGNS = frozenset("=:;^<_*x")
"""At least one of these characters is in every emoticon."""
BRACKETS = {"))": "🙂", "((": "🙁"}
"""Moods of two or more brackets alone or after a Cyrillic word, as Russian writes them."""
CYRILLIC = regex.compile(r"\p{Cyrillic}")
ELONGATED_CHARACTERS = regex.compile(rf"({CHARACTER})\1{{2,}}", regex.V1)


class StopWords(NamedTuple):
    """Words of a language in lower case: words without meaning, and those of them that still affect the rating."""

    stop: frozenset[str]
    kept: frozenset[str]


def make_splitter(settings: Clean, apostrophes: bool) -> Callable[[str], list[str]]:
    """Build the function that splits a folded piece of text without spaces into words, marks and emoji.

    A word is a sequence of letters and digits with their marks. Letters of scripts without spaces are a word each.
    apostrophes: whether an apostrophe between two letters is part of a word.
    Source: Unicode Standard Annex 29, section 4. Other than there, full stops, colons and underscores between letters
    split, since people forget the space after them, and so do apostrophes if `apostrophes` is false.
    """
    inside = rf"{INSIDE}|'" if apostrophes else INSIDE
    emoji = [EMOJI] if settings.keep_emoji else []
    marks = [r"!+", r"\?+"] if settings.keep_marks else []
    tokens = regex.compile("|".join([*emoji, CHARACTER, rf"{RUN}(?:(?:{inside}){RUN})*+", *marks]), regex.V1)
    # The same for ASCII, twice as fast.
    apostrophe = "|'" if apostrophes else ""
    ascii_tokens = re.compile("|".join([rf"[a-z0-9]+(?:(?:(?<=\d)[.,/](?=\d){apostrophe})[a-z0-9]+)*", *marks]))
    emoji_of = list(MOODS)

    def mood(match: regex.Match[str]) -> str:
        return f" {emoji_of[match.lastindex - 1]} "

    def split(piece: str) -> list[str]:
        if piece.isascii() and piece.isalnum() and piece[:2] != "xd":
            return [piece]
        if not EMOTICON_SIGNS.isdisjoint(piece):
            while (replaced := EMOTICON.sub(mood, piece)) != piece:  # in <3xD, the heart hides the second one
                piece = replaced
        if piece[-2:] in BRACKETS:
            word = piece.rstrip(piece[-1])
            if not word or (CYRILLIC.search(word) and "(" not in word):
                piece = f"{word} {BRACKETS[piece[-2:]]}"
        if piece.isascii():
            return ascii_tokens.findall(piece)
        if settings.squeeze_elongation:
            piece = ELONGATED_CHARACTERS.sub(r"\1\1", piece)
        return tokens.findall(piece)

    return split
