"""Read ratings of 1 to 5 stars in the forms that exports have, and recognise other scales."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from src.core.schema import STARS

NUMBER = r"(\d+(?:[.,]\d+)?)"
OUT_OF_FIVE = r"(?:/|out of|of|von|sur|de|su|из)\s*5"
STAR_WORDS = r"(?:stars?|stern\w*|étoiles?|estrellas?|stell[ae]|estrelas?|gwiazd\w*|звезд\w*|つ?星|★|⭐️?)"
IN_WORDS = re.compile(
    rf"(?:rat(?:ed|ing)\s*:?\s*)?{NUMBER}\s*(?:{OUT_OF_FIVE})?\s*{STAR_WORDS}?\s*(?:{OUT_OF_FIVE})?\s*{STAR_WORDS}?",
    re.IGNORECASE,
)
SYMBOLS = re.compile(r"((?:[★⭐🌟]\ufe0f?)+)([☆✩]*)")
BUBBLE = re.compile(r"(?:\w*[\s_-])?bubble_([0-5][05])", re.IGNORECASE)
"""Class names of TripAdvisor's pages: bubble_45 is 4.5."""
WORDS = {"positive": 5, "good": 5, "pos": 5, "neutral": 3, "negative": 1, "bad": 1, "neg": 1}
"""Words of other scales, and the stars to propose for them."""
MOST = 10**9
"""Python refuses to write larger numbers than a few thousand digits; no rating comes near."""
LONGEST = 200
"""Characters of a cell above which it is no rating."""
WRITE = "in the section data of params.yaml, write {}"
SHOWN = 8
"""Values of an unknown scale that are shown."""

Read = Callable[[Any], int | None]


def rating_reader(scale: tuple[float, float] | None, words: Mapping[str, int] | None) -> Read:
    """Return the function that reads a rating: 1 to 5 stars, or None for what is none.

    scale: the lowest and the highest rating of another scale, mapped to 1 and 5. words: stars by what a cell holds,
    whatever its case. Half stars are rounded up.
    """
    stars = {str(word).strip().casefold(): number for word, number in (words or {}).items()}
    cached = lru_cache(maxsize=10_000)(lambda text: _stars(_number(text), scale, exact=_is_exact(text)))

    def read(value: Any) -> int | None:
        if isinstance(value, bool) or value is None or isinstance(value, list | dict):
            return None
        text = str(value).strip() if not isinstance(value, int) or abs(value) < MOST else ""
        if len(text) > LONGEST:
            return None
        return stars.get(text.casefold()) if stars else cached(text)

    return read


def _number(text: str) -> float | None:
    """Read the number of stars that a text states, whole or not."""
    if found := IN_WORDS.fullmatch(text):
        return float(found[1].replace(",", "."))
    if found := SYMBOLS.fullmatch(text):
        filled = len(found[1].replace("\ufe0f", ""))
        return float(filled) if filled + len(found[2]) <= len(STARS) else None
    if found := BUBBLE.fullmatch(text):
        return int(found[1]) / 10
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _is_exact(text: str) -> bool:
    """Whether a text must be a whole number: only what is written with one digit behind the point may be a half."""
    return re.search(r"[.,]\d{2}", text) is not None


def _stars(number: float | None, scale: tuple[float, float] | None, exact: bool) -> int | None:
    if number is None or number != number:
        return None
    if scale is not None:
        low, high = scale
        if not low <= number <= high:
            return None
        return int(1 + 4 * (number - low) / (high - low) + 0.5)
    if number in STARS:
        return int(number)
    return int(number + 0.5) if not exact and number * 2 % 1 == 0 and 1 <= number <= 5 else None


def describe_scale(unread: Mapping[str, int], stars: Mapping[int, int]) -> str | None:
    """Explain which other scale the ratings seem to have, and the setting that reads it; None if none is recognised.

    unread: the cells that are no rating of 1 to 5 stars, counted. stars: the ratings that could be read, counted.
    """
    numbers = {number: count for cell, count in unread.items() if (number := _number(cell)) is not None}
    found = sorted({*numbers, *(float(star) for star, count in stars.items() if count)})
    known = {cell: WORDS[cell.casefold()] for cell in unread if cell.casefold() in WORDS}
    shown = ", ".join(f"{number:g}" for number in found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
    if len(known) > 1:
        proposed = ", ".join(f"{word}: {star}" for word, star in sorted(known.items()))
        line = f"rating_map: {{{proposed}}}"
        return f"ratings are words ({', '.join(sorted(known))}); {WRITE.format(line)}"
    if numbers and 0 in numbers and 0 < found[-1] < 5:
        line = f"rating_scale: [0, {found[-1]:g}]"
        return f"ratings run from 0 to {found[-1]:g} ({shown}); {WRITE.format(line)}, or a rating_map"
    if numbers and 5 < found[-1] <= 100 and found[0] >= 0:
        low, high = (0 if 0 in numbers or found[-1] > 10 else 1), (10 if found[-1] <= 10 else 100)
        line = f"rating_scale: [{low}, {high}]"
        return f"ratings run from {found[0]:g} to {found[-1]:g} ({shown}); {WRITE.format(line)}"
    return None
