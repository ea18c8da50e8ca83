"""Jobs of many clients, taken in turn: one client's many jobs do not delay another's few."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue that takes from each client in turn, and from one client in the order in which its jobs came.

    Source: Nagle, On Packet Switches With Infinite Storage (1985), RFC 970, section 5.
    """

    def __init__(self) -> None:
        self._jobs: dict[Hashable, deque[T]] = {}  # the client whose turn is next first

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def put(self, client: Hashable, job: T) -> None:
        """Add a job behind the others of its client."""
        self._jobs.setdefault(client, deque()).append(job)

    def put_back(self, client: Hashable, job: T) -> None:
        """Add a job of which more is to be done before the others of its client."""
        self._jobs.setdefault(client, deque()).appendleft(job)

    def take(self) -> tuple[Hashable, T]:
        """Remove the first job of the client whose turn it is, which then is the last in turn.

        Raises:
            StopIteration: there is none.
        """
        client = next(iter(self._jobs))
        jobs = self._jobs.pop(client)
        job = jobs.popleft()
        if jobs:
            self._jobs[client] = jobs
        return client, job
