"""Work on the partitions of a table: in this process, or on the workers of a Dask cluster, by the same functions."""

import importlib
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import reduce
from pathlib import Path
from typing import Any, Protocol, TypeVar

from src.core.errors import UserError
from src.core.fingerprints import fingerprint
from src.core.params import Engine
from src.core.progress import progress_bar

T = TypeVar("T")
R = TypeVar("R")
CONNECT_TIMEOUT = 20
"""Seconds until a scheduler, and then a first worker, must have answered."""


class Executor(Protocol):
    """Whoever calls a function for each item.

    When a worker dies, the function is called again for the same item: it writes files aside and renames them, and
    changes nothing that it was given. All workers see the project's folder, at the same path, and files lie in it.
    """

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Give what the function makes of each item, in order."""

    def fold(self, function: Callable[[T], R], merge: Callable[[R, R], R], items: Iterable[T]) -> R:
        """Merge what the function makes of each item, neighbours with neighbours, until one is left."""


@contextmanager
def open_executor(settings: Engine) -> Iterator[Executor]:
    """Give the engine asked for, with a cluster on this machine where no address of another is given.

    Raises:
        UserError: an address is given without Dask, which is not installed, or whose scheduler or workers do not
            answer, or die again and again.
    """
    if settings.name == "local":
        if settings.scheduler:
            raise UserError("engine.scheduler: is for engine.name: dask; set that, or take the address out")
        yield LocalExecutor()
        return
    try:
        from distributed import Client, KilledWorker, LocalCluster
        from distributed.client import ClosedClientError
    except ImportError:
        raise UserError("dask is not installed; pip install -r requirements-cluster.txt, or engine: local") from None
    with ExitStack() as opened:
        try:
            address = settings.scheduler or opened.enter_context(
                LocalCluster(
                    n_workers=settings.workers,
                    threads_per_worker=1,
                    memory_limit=int(settings.memory * 1e9),
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            )
            client = opened.enter_context(Client(address, timeout=CONNECT_TIMEOUT))
            client.wait_for_workers(1, CONNECT_TIMEOUT)
        except (OSError, ValueError, RuntimeError) as error:  # a TimeoutError is an OSError
            place = settings.scheduler or "a cluster on this machine"
            raise UserError(
                f"{place}: no Dask scheduler with workers answers ({error}); start what is missing and try again"
            ) from None
        try:
            yield DaskExecutor(client)
        except KilledWorker as error:
            raise UserError(f"{error}; more engine.memory, or smaller files, may help") from None
        except (CancelledError, ClosedClientError):
            raise UserError(f"{settings.scheduler}: the Dask scheduler has gone; start it and run again") from None


class LocalExecutor:
    """One item after the other, in this process."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return [function(item) for item in items]

    def fold(self, function: Callable[[T], R], merge: Callable[[R, R], R], items: Iterable[T]) -> R:
        return reduce(merge, (function(item) for item in items))


class DaskExecutor:
    """As many items at a time as a cluster has workers."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.folder = str(Path.cwd())
        self.code = fingerprint(Path("src").rglob("*.py"), self.folder)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        futures = self._start(function, items)
        self._watch(list(futures))
        return [pickle.loads(packed) for packed in self.client.gather(futures)]  # noqa: S301, our own workers

    def fold(self, function: Callable[[T], R], merge: Callable[[R, R], R], items: Iterable[T]) -> R:
        futures = self._start(function, items)
        root = self._merged(self._task(merge), futures)
        self._watch(futures)
        return pickle.loads(root.result())  # noqa: S301, our own workers

    def _merged(self, task: Callable[..., bytes], futures: list[Any]) -> Any:
        while len(futures) > 1:
            pairs = [futures[at : at + 2] for at in range(0, len(futures), 2)]
            futures = [self.client.submit(task, *pair, pure=False) if len(pair) == 2 else pair[0] for pair in pairs]
        return futures[0]

    def _start(self, function: Callable[[T], R], items: Iterable[T]) -> list[Any]:
        import cloudpickle  # of classes of a script, which workers cannot import, it sends all there is

        return self.client.map(self._task(function), [cloudpickle.dumps(item) for item in items], pure=False)

    def _watch(self, futures: list[Any]) -> None:
        """Show how many are done; let go of each, so that its worker may forget what has been merged."""
        from distributed import as_completed

        with progress_bar(total=len(futures), unit=" partitions", leave=False) as shown:
            for future in as_completed(list(futures)):
                futures.remove(future)
                shown.update()

    def _task(self, function: Callable[..., Any]) -> Callable[..., bytes]:
        """Wrap a function so that it finds, on a worker started anywhere, the folder and the code of this project.

        A worker outlives a run: what it has imported for another project, or before a change, is forgotten first. So
        that nothing is imported before that, all that travels is bytes, and so is the wrapper, being a function within
        one.
        """
        import cloudpickle

        folder, code, packed = self.folder, self.code, cloudpickle.dumps(function)

        def task(*given: bytes) -> bytes:
            if os.environ.get("REVIEWS_CODE") != code:
                for name in [name for name in sys.modules if name.split(".")[0] in ("src", "stages", "commands")]:
                    del sys.modules[name]
                sys.path[:] = [folder, *(place for place in sys.path if place != folder)]
                importlib.invalidate_caches()
                os.environ["REVIEWS_CODE"] = code
            os.chdir(folder)
            return cloudpickle.dumps(pickle.loads(packed)(*map(pickle.loads, given)))  # noqa: S301, the stage's own

        return task
