"""Coordinates of line charts, which a page draws as SVG."""

import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 40
"""Margins for the labels, in the units of WIDTH and HEIGHT."""
STEPS = (1, 2, 2.5, 5, 10)

Points = Sequence[tuple[float, float]]


class Chart(NamedTuple):
    """Ticks as (position, label) and the points of each line, in the units of WIDTH and HEIGHT."""

    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[list[tuple[float, float]]]


def make_chart(lines: Sequence[Points], whole_x: bool = False) -> Chart:
    """Scale some lines, each of at least one point, to axes that contain them all.

    whole_x: x is a count, so ticks are at whole numbers only.
    """
    xs, ys = ([point[side] for line in lines for point in line] for side in (0, 1))
    x_ticks, y_ticks = make_ticks(min(xs), max(xs), 1 if whole_x else 0), make_ticks(min(ys), max(ys))
    x_span = min(x_ticks[0], *xs), max(x_ticks[-1], *xs)
    y_span = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def x_position(x: float) -> float:
        return round(LEFT + _fraction(x, x_span) * (WIDTH - LEFT - RIGHT), 1)

    def y_position(y: float) -> float:
        return round(HEIGHT - BOTTOM - _fraction(y, y_span) * (HEIGHT - TOP - BOTTOM), 1)

    return Chart(
        [(x_position(tick), f"{tick:g}") for tick in x_ticks],
        [(y_position(tick), f"{tick:g}") for tick in y_ticks],
        [[(x_position(x), y_position(y)) for x, y in line] for line in lines],
    )


def make_ticks(low: float, high: float, least: float = 0.0, most: int = 7) -> list[float]:
    """Choose up to `most` round numbers between low and high, at least `least` apart; low alone if both are equal."""
    if low == high:
        return [low]
    target = max((high - low) / (most - 1), least)
    magnitude = 10.0 ** math.floor(math.log10(target))
    sizes = [multiple * magnitude for multiple in STEPS]
    step = next(size for size in sizes if size >= target * (1 - 1e-9) and size >= least)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _fraction(value: float, span: tuple[float, float]) -> float:
    low, high = span
    return (value - low) / (high - low) if high > low else 0.5
