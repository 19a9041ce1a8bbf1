"""Coroutines that a thread of a call hands to the event loop of its worker, where a cancel of the call reaches them.

Synchronous programs run in such a thread: their model calls, and what they ask the front, go over the loop. Owns the
coroutines that are under way; knows nothing of programs.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
_CURRENT: ContextVar[LoopCalls | None] = ContextVar("bridge_program_loop", default=None)


class LoopCalls:
    """The coroutines that one thread has handed to the event loop. Owns them until `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._open = True
        self._pending: set[Future[Any]] = set()

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop and wait for it. Raises CancelledError once the call is over."""
        with self._lock:
            if not self._open:
                raise CancelledError
            future = asyncio.run_coroutine_threadsafe(make(), self._loop)
            self._pending.add(future)
        try:
            return future.result()
        finally:
            with self._lock:
                self._pending.discard(future)

    def enter(self) -> None:
        """Let threads that start from here hand over to it."""
        _CURRENT.set(self)

    @staticmethod
    def leave() -> None:
        """Undo `enter`."""
        _CURRENT.set(None)

    def close(self) -> None:
        """Cancel what still runs and refuse everything from now on."""
        with self._lock:
            self._open = False
            pending = list(self._pending)
        for future in pending:
            future.cancel()


def current_loop_calls() -> LoopCalls | None:
    """Return the loop to hand coroutines to, where this is the thread of a synchronous program."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _CURRENT.get()
    return None  # on a loop already: waiting for it would stop it
