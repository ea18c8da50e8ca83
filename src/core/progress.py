"""Bars in a terminal."""

from collections.abc import Iterable
from multiprocessing import parent_process
from typing import Any

from tqdm import tqdm


def progress_bar(things: Iterable[Any] | None = None, **looks: Any) -> Any:
    """Give a bar of tqdm; none where there is no terminal, nor in a worker, whose terminal is that of the engine."""
    return tqdm(things, disable=True if parent_process() else None, **looks)
