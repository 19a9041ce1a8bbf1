"""Running a program so that the event loop stays free and a cancelled call stops paying.

A program with its own `aforward` runs as a coroutine. One that has only `forward` runs in a thread; its calls of the
served models are handed to the loop, where cancelling reaches them: the thread then gets CancelledError at that call
and at every later one. A model object that the app made itself is called in the thread and ends in its own time.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_CURRENT: ContextVar[LoopCalls | None] = ContextVar("bridge_program_loop", default=None)


class LoopCalls:
    """The coroutines that one thread has handed to the event loop. Owns them until `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._open = True
        self._pending: set[Future[Any]] = set()

    def run(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
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


def runs_async(program: Any) -> bool:
    """Whether the program's `aforward` is at least as specific as its `forward`."""
    for cls in type(program).__mro__:
        if "aforward" in vars(cls):
            return True
        if "forward" in vars(cls):
            return False
    return False


async def run_program(program: Any, inputs: dict[str, Any]) -> Any:
    """Run a program and return what it returns."""
    if runs_async(program):
        return await program.acall(**inputs)
    calls = LoopCalls(asyncio.get_running_loop())
    _CURRENT.set(calls)  # the task's own context: the thread gets a copy
    try:
        # anyio's threads, not asyncio's: DSPy needs those for every model call, so programs that waited in them
        # for a model could wait for each other.
        # A limiter of its own, since the pool has admitted the call already and a limit here would be a hidden queue.
        limiter = anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(lambda: program(**inputs), abandon_on_cancel=True, limiter=limiter)
    finally:
        calls.close()
        _CURRENT.set(None)
