"""Process the files of a table with the same functions in this process or on the workers of a Dask cluster."""

import importlib
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Any, Protocol, TypeVar

from src.core.errors import UserError
from src.core.fingerprints import PROJECT_PACKAGES, fingerprint
from src.core.params import Engine
from src.core.progress import progress_bar

T = TypeVar("T")
R = TypeVar("R")
CONNECT_TIMEOUT = 20
"""Seconds to wait for the scheduler, and then again for a first worker."""


class Executor(Protocol):
    """A way to call a function for each of many items.

    If a worker dies, the function is called again for the same item, so it must write its files with `atomic_write` and
    must not modify its input. All workers see the project folder and the files of the table at the same paths.
    """

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return the result of the function for each item, in order."""

    def fold(self, function: Callable[[T], R], merge: Callable[[R, R], R], items: Iterable[T]) -> R:
        """Merge the results of the function for all items, in order, into one."""


@contextmanager
def open_executor(settings: Engine) -> Iterator[Executor]:
    """Yield the executor that the section `engine` of params.yaml describes; without an address, Dask runs locally.

    Raises:
        UserError: an address is set but the engine is not Dask; Dask is not installed; the scheduler or its workers do
            not answer; the same item has killed several workers.
    """
    if settings.name == "local":
        if settings.scheduler:
            raise UserError("engine.scheduler: needs engine.name: dask; set engine.name, or remove the address")
        yield LocalExecutor()
        return
    try:
        from distributed import Client, KilledWorker, LocalCluster
        from distributed.client import ClosedClientError
    except ImportError:
        raise UserError("Dask is missing; pip install -r requirements-cluster.txt, or set engine.name: local") from None
    place = settings.scheduler or "Dask on this machine"
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
            raise UserError(f"{place}: no Dask scheduler with workers ({error}); start them and run again") from None
        try:
            yield DaskExecutor(client)
        except KilledWorker as error:
            raise UserError(f"{error}; increase engine.memory, or split the table into smaller files") from None
        except (CancelledError, ClosedClientError):
            raise UserError(f"{place}: lost the connection to the scheduler; start it and run again") from None


class LocalExecutor:
    """Process one item after another in this process."""

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        return [function(item) for item in items]

    def fold(self, function: Callable[[T], R], merge: Callable[[R, R], R], items: Iterable[T]) -> R:
        return reduce(merge, (function(item) for item in items))


class DaskExecutor:
    """Process as many items at a time as the cluster has workers.

    Functions, items and results travel as bytes that only the tasks unpickle. Dask itself would unpickle functions on
    the scheduler, which cannot import this project; plugins could fix that, but not keep two simultaneous runs apart.
    """

    def __init__(self, client: Any) -> None:
        import cloudpickle  # unlike pickle, it sends functions and classes of the running script

        folder = str(Path.cwd())
        self.client, self.dumps = client, cloudpickle.dumps
        self.task = _make_task(folder, fingerprint(Path("src").rglob("*.py"), folder), self.dumps)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        futures = self._submit(function, items)
        self._wait(list(futures))
        return [pickle.loads(result) for result in self.client.gather(futures)]  # noqa: S301, from our own workers

    def fold(self, function: Callable[[T], R], merge: Callable[[R, R], R], items: Iterable[T]) -> R:
        futures = self._submit(function, items)
        root = self._merge(merge, futures)
        self._wait(futures)
        return pickle.loads(root.result())  # noqa: S301, from our own workers

    def _submit(self, function: Callable[[T], R], items: Iterable[T]) -> list[Any]:
        return self.client.map(partial(self.task, self.dumps(function)), [*map(self.dumps, items)], pure=False)

    def _merge(self, merge: Callable[[R, R], R], futures: list[Any]) -> Any:
        task = partial(self.task, self.dumps(merge))
        while len(futures) > 1:
            pairs = [futures[at : at + 2] for at in range(0, len(futures), 2)]
            futures = [self.client.submit(task, *pair, pure=False) if len(pair) == 2 else pair[0] for pair in pairs]
        return futures[0]

    def _wait(self, futures: list[Any]) -> None:
        """Show progress; remove each finished future, so that its worker can free a result that has been merged."""
        from distributed import as_completed

        with progress_bar(total=len(futures), unit=" tasks", leave=False) as progress:
            for future in as_completed(list(futures)):
                futures.remove(future)
                progress.update()


def _make_task(folder: str, code: str, dumps: Callable[[Any], bytes]) -> Callable[..., bytes]:
    """Return a function for workers: unpickle a function and its arguments, call it, pickle the result.

    A worker may have been started in any folder and may have imported other code, so the task first switches to this
    run's folder and code. It is a nested function because cloudpickle sends those whole: workers need not import it.
    """

    def task(function: bytes, *arguments: bytes) -> bytes:
        if os.environ.get("REVIEWS_CODE") != code:
            for name in [name for name in sys.modules if name.split(".")[0] in PROJECT_PACKAGES]:
                del sys.modules[name]
            sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
            importlib.invalidate_caches()
            os.environ["REVIEWS_CODE"] = code
        os.chdir(folder)
        return dumps(pickle.loads(function)(*map(pickle.loads, arguments)))  # noqa: S301, from our own client

    return task
