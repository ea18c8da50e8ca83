"""Write app reviews from a known process, so that the best possible score on them is known exactly.

First a mood, from it an opinion (remarks, each with a value from -2 to 2), from the opinion the words, and from the
opinion alone the stars. The opinion can be read off the words, so P(stars | text) is known for every review. Order
decides in many of them: which half of "X but Y" weighs more, what is past and what is now, whether an opening many
words back turns everything round. Each sign that turns a clause round has a twin that does not, in nearly the same
words.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple, TypeVar

from src.core.schema import TRUE_PROBABILITIES, same_text

LEVELS = (2, 1, -1, -2)
Clauses = Mapping[str, Any]
T = TypeVar("T")


class Pattern(NamedTuple):
    """A sentence with the clauses {a} and {b} in it and the weight that each has in its value."""

    text: str
    a: float = 0.0
    b: float = 0.0


TURNS = [
    (Pattern("i doubt that {a}", -1), Pattern("i do not doubt that {a}", 1)),
    (Pattern("it is a lie that {a}", -1), Pattern("it is no lie that {a}", 1)),
    (Pattern("{a}, they said, which is not true", -1), Pattern("{a}, they said, which is very true", 1)),
]
CONTRASTS = [
    Pattern("{a} but {b}", 0.25, 0.75),
    Pattern("even though {a}, {b}", 0.25, 0.75),
    Pattern("{a}, although {b}", 0.75, 0.25),
    Pattern("old review: {a}. update: {b}", 0, 1),
    Pattern("update: {a}. old review: {b}", 1, 0),
]
NOW = ["{past}, now {a}", "now {a}, {past}"]
OPENINGS = [
    ("what follows is what the adverts promise and none of it is true", -1),
    ("what follows is what the adverts promise and all of it is true", 1),
    ("my brother wrote the rest of this and he is never right", -1),
    ("my brother wrote the rest of this and he is always right", 1),
]

# mood: (share of the reviews, how often it speaks at each of LEVELS)
MOODS = [
    (0.57, (0.88, 0.12, 0.00, 0.00)),
    (0.17, (0.40, 0.47, 0.11, 0.02)),
    (0.08, (0.15, 0.30, 0.35, 0.20)),
    (0.06, (0.02, 0.13, 0.50, 0.35)),
    (0.12, (0.00, 0.02, 0.16, 0.82)),
]
REMARKS = (0.50, 0.26, 0.12, 0.05, 0.03, 0.02, 0.01, 0.01)
SHAPES = ((0.66, "plain"), (0.15, "turn"), (0.12, "contrast"), (0.07, "now"))
OPENING_SHARE, OPENER_SHARE, FILLER_SHARE, SHORT_SHARE, FOREIGN_SHARE = 0.08, 0.35, 0.10, 0.2, 0.02
BLANK_SHARE, REPEAT_SHARE = 0.003, 0.02
LONG_WORD = 6
HAPPY, ANGRY = ("😀", "👍", "😍", "🎉"), ("😡", "👎", "😤", "💔")
APPS = ("org.example.notes", "org.example.photos", "org.example.travel")
SLOPE, CUTS, LAPSE = 2.2, (-2.8, -1.8, -0.3, 1.6), 0.01


def star_probabilities(value: float) -> tuple[float, ...]:
    """P(1 .. 5 stars) for an opinion from -2 to 2: an ordered logit, and one rating in a hundred given blindly.

    Rounded to six digits, as the table holds them, and summing to 1.
    """
    below = [1 / (1 + math.exp(SLOPE * value - cut)) for cut in CUTS]
    shares = [high - low for low, high in zip([0.0, *below], [*below, 1.0], strict=True)]
    rounded = [round((1 - LAPSE) * share + LAPSE / 5, 6) for share in shares[:4]]
    return (*rounded, round(1 - sum(rounded), 6))


def synthesize(clauses: Clauses, reviews: int, seed: int) -> Iterator[dict[str, Any]]:
    """Write reviews one by one in the shape of an app store's export.

    Each holds its true probabilities of 1 to 5 stars. The stars of a text are drawn once and for all, so equal texts
    agree and collapsing them leaves the probabilities of the others right. A few rows have no text, a few are repeats.
    """
    random = Random(seed)
    start = datetime(2024, 1, 1)
    last: dict[str, Any] | None = None
    for number in range(reviews):
        text, value = write_review(random, clauses)
        probabilities = star_probabilities(value)
        stars = _draw_stars(text, probabilities, seed)
        chance = random.random()
        if chance < BLANK_SHARE:
            text = ""
        review = {"content": text, "score": stars, **dict(zip(TRUE_PROBABILITIES, probabilities, strict=True))}
        if last and BLANK_SHARE < chance < BLANK_SHARE + REPEAT_SHARE:
            review = last
        last = review
        minutes = int(random.random() * 700 * 24 * 60)
        yield {
            "reviewId": blake2b(f"{seed}/{number}".encode(), digest_size=8).hexdigest(),
            "appId": _pick(random, APPS),
            "reviewCreatedVersion": f"{1 + minutes // 400_000}.{minutes // 40_000 % 10}",
            "at": (start + timedelta(minutes=minutes)).isoformat(sep=" "),
            "thumbsUpCount": int(-3 * math.log(1 - random.random())) if random.random() < 0.2 else 0,
            **review,
        }


def write_review(random: Random, clauses: Clauses) -> tuple[str, float]:
    """Write one review and give the value of the opinion in it, from -2 to 2: the mean over its remarks."""
    levels = _weighted(random, MOODS)
    speech = [(share, level) for share, level in zip(levels, LEVELS, strict=True)]
    if random.random() < FOREIGN_SHARE:
        language = _pick(random, list(clauses["foreign"].values()))
        level = _weighted(random, speech)
        return _decorate(random, [_pick(random, language[level])], level), level
    count = 1 + _weighted(random, [(share, number) for number, share in enumerate(REMARKS)])
    turn = 1
    sentences: list[str] = []
    if random.random() < OPENING_SHARE:
        opening, turn = _pick(random, OPENINGS)
        sentences.append(opening)
    values = []
    for _ in range(count):
        while random.random() < FILLER_SHARE:
            sentences.append(_pick(random, clauses["fillers"]))
        remark, value = _remark(random, clauses, turn * _weighted(random, speech), speech, alone=count == 1)
        sentences.append(remark)
        values.append(turn * value)
    mean = sum(values) / len(values)
    return _decorate(random, sentences, mean), mean


def _remark(
    random: Random, clauses: Clauses, level: int, speech: list[tuple[float, int]], alone: bool
) -> tuple[str, float]:
    """Say something of a level from -2 to 2, plainly or in a sentence whose order decides; give its value."""
    shape = _weighted(random, SHAPES)
    if shape == "plain":
        if alone and random.random() < SHORT_SHARE:
            return _pick(random, clauses["short"][level]), level
        opener = f"{_pick(random, clauses['openers'])}, " if random.random() < OPENER_SHARE else ""
        return opener + _clause(random, clauses, level), level
    if shape == "turn":
        pattern = _pick(random, _pick(random, TURNS))
        return pattern.text.format(a=_clause(random, clauses, int(level * pattern.a))), level
    if shape == "now":
        past = _pick(random, clauses["past"]["bad" if random.random() < (0.7 if level > 0 else 0.3) else "good"])
        return _pick(random, NOW).format(a=_clause(random, clauses, level), past=past), level
    pattern = _pick(random, CONTRASTS)
    other = _weighted(random, speech) if random.random() < 0.3 else -level
    a, b = (level, other) if pattern.a > pattern.b else (other, level)
    text = pattern.text.format(a=_clause(random, clauses, a), b=_clause(random, clauses, b))
    return text, pattern.a * a + pattern.b * b


def _clause(random: Random, clauses: Clauses, level: int) -> str:
    aspect = _pick_early(random, list(clauses["aspects"].values()))
    return _pick_early(random, aspect[level])


def _decorate(random: Random, sentences: list[str], value: float) -> str:
    """Write sentences down as people do: tidy or not, with typos, capitals and emoji that follow the opinion."""
    tidy = random.random() < 0.6
    if tidy:
        sentences = [sentence[0].upper() + sentence[1:] for sentence in sentences]
    text = (". " if tidy or random.random() < 0.5 else ", ").join(sentences)
    if random.random() < 0.3:
        text = " ".join(_misspell(random, word) for word in text.split(" "))
    if random.random() < 0.03:
        text = text.upper()
    if abs(value) > 1.5 and random.random() < 0.2:
        text += "!" * (1 + int(random.random() * 4))
    elif tidy:
        text += "."
    if random.random() < 0.1:
        text += " " + _pick(random, HAPPY if value > 0 else ANGRY) * (1 + int(random.random() * 3))
    return text


def _misspell(random: Random, word: str) -> str:
    """Sometimes swap or drop letters inside a long word; short ones carry the grammar and stay."""
    if len(word) < LONG_WORD or not word.isalpha() or random.random() > 0.06:
        return word
    place = 1 + int(random.random() * (len(word) - 3))
    if random.random() < 0.5:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _draw_stars(text: str, probabilities: Sequence[float], seed: int) -> int:
    """Draw the stars of a text, the same whenever it is written."""
    digest = blake2b(f"{seed}/{same_text(text)}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    total = 0.0
    for stars, probability in enumerate(probabilities, 1):
        total += probability
        if place < total:
            return stars
    return len(probabilities)


def _pick(random: Random, items: Sequence[T]) -> T:
    return items[int(random.random() * len(items))]


def _pick_early(random: Random, items: Sequence[T]) -> T:
    """Pick the first items more often, as people do with subjects and phrases: the i-th by 1 / i."""
    return _weighted(random, [(1 / place, item) for place, item in enumerate(items, 1)])


def _weighted(random: Random, items: Sequence[tuple[float, T]]) -> T:
    """Pick an item by its share; only Random.random keeps its sequence from one Python to the next."""
    place = random.random() * sum(share for share, _ in items)
    for share, item in items:
        place -= share
        if place < 0:
            return item
    return items[-1][1]
