"""Several ways of doing one thing, timed in turn so that a busy moment of the machine meets all of them."""

import statistics
import time
from collections.abc import Callable

Way = Callable[[], float]
"""Does the thing once and gives the seconds it took."""


def timed(work: Callable[[], object]) -> Way:
    """Make a Way of something to do."""

    def way() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return way


def compare(title: str, unit: str, amount: int, ways: dict[str, Way | str], rounds: int) -> None:
    """Print a table of how many of `unit` a second each way does; a way that is a text was not measured, and says why.

    amount: how many of them one run does. The first way is ours; the last column is the median over the rounds of the
    seconds of a way, divided by ours. A first run of each, which compiles and fills caches, is left out.
    """
    seconds: dict[str, list[float]] = {name: [] for name, way in ways.items() if not isinstance(way, str)}
    for number in range(rounds + 1):
        for name, way in ways.items():
            if not isinstance(way, str):
                taken = way()
                seconds[name] += [taken] if number else []
    ours = next(iter(seconds.values()))
    print(
        f"\n### {title}\n\n| way | {unit}/s, median | lowest | highest | seconds, times ours |\n|---|---|---|---|---|"
    )
    for name, way in ways.items():
        if isinstance(way, str):
            print(f"| {name} | not measured ({way}) | | | |")
            continue
        speeds = [amount / value for value in seconds[name]]
        ratio = statistics.median(value / our for value, our in zip(seconds[name], ours, strict=True))
        middle = statistics.median(speeds)
        print(f"| {name} | {middle:,.0f} | {min(speeds):,.0f} | {max(speeds):,.0f} | {ratio:.2f} |", flush=True)
