"""Progress bars."""

from collections.abc import Iterable
from multiprocessing import parent_process
from typing import Any

from tqdm import tqdm


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """Return a tqdm bar; it is hidden without a terminal, and in a worker, which shares the terminal of its parent."""
    return tqdm(items, disable=True if parent_process() else None, **options)
