"""The calls that are for one worker alone: those of strict sessions. When it takes no more calls they end, unbegun.

Owns which calls those are; where they wait is the queue's business.
"""

from __future__ import annotations

from collections.abc import Callable

from pool.calls import Call
from pool.errors import WorkerGone


class BoundCalls:
    """Calls by the worker that they are for, until each has ended."""

    __slots__ = ("_by_worker", "_pool")

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._by_worker: dict[str, set[Call]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_worker)

    def gone(self, worker: str) -> WorkerGone:
        """Return the error of a call whose worker takes no more."""
        return WorkerGone(self._pool, worker)

    def add(self, call: Call, worker: str) -> None:
        """Take in a call that has been submitted."""
        self._by_worker.setdefault(worker, set()).add(call)
        call.future.add_done_callback(lambda _future: self._discard(call, worker))

    def _discard(self, call: Call, worker: str) -> None:
        bound = self._by_worker.get(worker)
        if bound is not None:
            bound.discard(call)
            if not bound:
                del self._by_worker[worker]

    def fail(self, worker: str, leave: Callable[[Call], None]) -> None:
        """End those that the worker has not begun; `leave` takes each out of the queue."""
        for call in self._by_worker.pop(worker, ()):
            if call.worker is None or call.lined:
                leave(call)
                call.fail(self.gone(worker))
