"""Generate app reviews from a known process, so that the best possible score on them is known exactly.

The process draws a mood, then an opinion from the mood (remarks, each with a value from -2 to 2), then the words from
the opinion. The stars depend on the opinion alone. The opinion can be read off the words, so P(stars | text) is known
for every review. In many reviews the word order decides: which half of "X but Y" weighs more, what is past and what is
present, whether an opening reverses the meaning of everything after it. Each phrase that reverses a meaning has a twin
in nearly the same words that does not.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple, TypeVar

from src.core.schema import TRUE_PROBABILITIES, normalised_text

LEVELS = (2, 1, -1, -2)
Clauses = Mapping[str, Any]
T = TypeVar("T")


class Pattern(NamedTuple):
    """A sentence template for the clauses {a} and {b}, and the weight of each clause in the value of the sentence."""

    text: str
    a: float = 0.0
    b: float = 0.0


REVERSALS = [
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

# Each mood: (share of the reviews, shares of its remarks at each of LEVELS).
MOODS = [
    (0.57, (0.88, 0.12, 0.00, 0.00)),
    (0.17, (0.40, 0.47, 0.11, 0.02)),
    (0.08, (0.15, 0.30, 0.35, 0.20)),
    (0.06, (0.02, 0.13, 0.50, 0.35)),
    (0.12, (0.00, 0.02, 0.16, 0.82)),
]
REMARKS = (0.50, 0.26, 0.12, 0.05, 0.03, 0.02, 0.01, 0.01)
SHAPES = ((0.66, "plain"), (0.15, "reversal"), (0.12, "contrast"), (0.07, "now"))
OPENING_SHARE, OPENER_SHARE, FILLER_SHARE, SHORT_SHARE, FOREIGN_SHARE = 0.08, 0.35, 0.10, 0.2, 0.02
BLANK_SHARE, DUPLICATE_SHARE = 0.003, 0.02
LONG_WORD = 6
HAPPY, ANGRY = ("😀", "👍", "😍", "🎉"), ("😡", "👎", "😤", "💔")
APPS = ("org.example.notes", "org.example.photos", "org.example.travel")
SLOPE, CUTS, LAPSE_RATE = 2.2, (-2.8, -1.8, -0.3, 1.6), 0.01


def star_probabilities(value: float) -> tuple[float, ...]:
    """Return P(1 .. 5 stars) for an opinion from -2 to 2: an ordered logit, with one rating in a hundred at random.

    They are rounded to six digits, as in the table, and sum to 1.
    """
    below = [1 / (1 + math.exp(SLOPE * value - cut)) for cut in CUTS]
    shares = [high - low for low, high in zip([0.0, *below], [*below, 1.0], strict=True)]
    rounded = [round((1 - LAPSE_RATE) * share + LAPSE_RATE / 5, 6) for share in shares[:4]]
    return (*rounded, round(1 - sum(rounded), 6))


def synthesize(clauses: Clauses, reviews: int, seed: int) -> Iterator[dict[str, Any]]:
    """Generate reviews one by one, with the columns of an app store's export and the true probabilities of the stars.

    The stars are drawn once for each text. So equal texts have equal stars, and removing duplicates leaves the
    probabilities of the remaining reviews correct. A few rows have no text, and a few are duplicates.
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
        if last and BLANK_SHARE < chance < BLANK_SHARE + DUPLICATE_SHARE:
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
    """Return the text of one review and the value of its opinion, from -2 to 2: the mean over its remarks."""
    shares = _weighted(random, MOODS)
    mood = list(zip(shares, LEVELS, strict=True))
    if random.random() < FOREIGN_SHARE:
        language = _pick(random, list(clauses["foreign"].values()))
        level = _weighted(random, mood)
        return _decorate(random, [_pick(random, language[level])], level), level
    count = 1 + _weighted(random, [(share, number) for number, share in enumerate(REMARKS)])
    sign = 1
    sentences: list[str] = []
    if random.random() < OPENING_SHARE:
        opening, sign = _pick(random, OPENINGS)
        sentences.append(opening)
    values = []
    for _ in range(count):
        while random.random() < FILLER_SHARE:
            sentences.append(_pick(random, clauses["fillers"]))
        remark, value = _remark(random, clauses, sign * _weighted(random, mood), mood, alone=count == 1)
        sentences.append(remark)
        values.append(sign * value)
    mean = sum(values) / len(values)
    return _decorate(random, sentences, mean), mean


def _remark(
    random: Random, clauses: Clauses, level: int, mood: list[tuple[float, int]], alone: bool
) -> tuple[str, float]:
    """Return a sentence for a level from -2 to 2, plain or one in which the word order decides, and its value."""
    shape = _weighted(random, SHAPES)
    if shape == "plain":
        if alone and random.random() < SHORT_SHARE:
            return _pick(random, clauses["short"][level]), level
        opener = f"{_pick(random, clauses['openers'])}, " if random.random() < OPENER_SHARE else ""
        return opener + _clause(random, clauses, level), level
    if shape == "reversal":
        pattern = _pick(random, _pick(random, REVERSALS))
        return pattern.text.format(a=_clause(random, clauses, int(level * pattern.a))), level
    if shape == "now":
        past = _pick(random, clauses["past"]["bad" if random.random() < (0.7 if level > 0 else 0.3) else "good"])
        return _pick(random, NOW).format(a=_clause(random, clauses, level), past=past), level
    pattern = _pick(random, CONTRASTS)
    other = _weighted(random, mood) if random.random() < 0.3 else -level
    a, b = (level, other) if pattern.a > pattern.b else (other, level)
    text = pattern.text.format(a=_clause(random, clauses, a), b=_clause(random, clauses, b))
    return text, pattern.a * a + pattern.b * b


def _clause(random: Random, clauses: Clauses, level: int) -> str:
    aspect = _pick_early(random, list(clauses["aspects"].values()))
    return _pick_early(random, aspect[level])


def _decorate(random: Random, sentences: list[str], value: float) -> str:
    """Join sentences as people write them: tidy or not, with typos, capitals, and emoji that match the opinion."""
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
    """Sometimes swap or drop letters inside a long word; short words carry the grammar and stay intact."""
    if len(word) < LONG_WORD or not word.isalpha() or random.random() > 0.06:
        return word
    place = 1 + int(random.random() * (len(word) - 3))
    if random.random() < 0.5:
        return word[:place] + word[place + 1 :]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _draw_stars(text: str, probabilities: Sequence[float], seed: int) -> int:
    """Draw the stars of a text; the same text and seed always give the same stars."""
    digest = blake2b(f"{seed}/{normalised_text(text)}".encode(), digest_size=8).digest()
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
    """Pick the i-th item with weight 1 / i: people use a few subjects and phrases most of the time."""
    return _weighted(random, [(1 / place, item) for place, item in enumerate(items, 1)])


def _weighted(random: Random, items: Sequence[tuple[float, T]]) -> T:
    """Pick an item by its share. Only Random.random is used: its sequence is the same in all Python versions."""
    place = random.random() * sum(share for share, _ in items)
    for share, item in items:
        place -= share
        if place < 0:
            return item
    return items[-1][1]
