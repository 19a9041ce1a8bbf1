"""The event loop of a worker with one call at a time: it turns only while an async function runs.

Owns that loop. A signal that raised an exception inside of the loop's own code would break it, so a cancel goes to
the task instead; only where the task itself computes, and would not notice, may an exception be raised in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator
from contextvars import Context, copy_context
from types import FrameType
from typing import TypeVar

from handlers.errors import HandlerError

T = TypeVar("T")
_END = object()


class Interrupted(BaseException):
    """What ran on the loop was cancelled by `OwnLoop.interrupt`: nobody waits for its answer."""


class OwnLoop:
    """Runs awaitables to their end on a loop that belongs to the calling thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._busy = False
        self._task: asyncio.Task[object] | None = None
        self._interrupted = False

    def run(self, awaitable: Awaitable[T], context: Context | None = None) -> T:
        """Return what `awaitable` returns. Raises Interrupted where `interrupt` cancelled it.

        Raises HandlerError where the loop turns already: an async function has called one that is not async, which now
        calls an async one.
        """
        if self._busy:
            raise _turns_already(awaitable)
        self._interrupted = False
        self._busy = True
        try:
            task = self._loop.create_task(_awaited(awaitable), context=context)
            self._task = task
            if self._interrupted:
                task.cancel()
            return self._loop.run_until_complete(task)
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
            if isinstance(awaitable, Coroutine):
                awaitable.close()  # it may not have begun
            raise Interrupted from None
        finally:
            self._busy = False
            self._task = None

    def iterate(self, items: AsyncIterator[bytes]) -> Generator[bytes, None, None]:
        """Iterate an async iterator, in one context from its first step to its close."""
        context = copy_context()
        try:
            while (item := self.run(anext(items, _END), context)) is not _END:
                assert isinstance(item, bytes)
                yield item
        finally:
            if (aclose := getattr(items, "aclose", None)) is not None:
                self.run(aclose(), context)

    def interrupt(self, frame: FrameType | None) -> bool:
        """Cancel what runs; for a signal handler, which passes on the frame it came into.

        False where the caller is to raise an exception instead: nothing runs, or the task itself computes. Where it has
        come into code of asyncio, an exception would break the loop: a task that was not put back would never wake.
        """
        if not self._busy:
            return False
        task = self._task
        if task is not None and asyncio.current_task(self._loop) is task and not _of_asyncio(frame):
            return False
        self._interrupted = True
        if task is not None:  # else `run` is about to make it, and looks
            task.cancel()
            self._loop.call_soon_threadsafe(_wake)
        return True


def _turns_already(awaitable: Awaitable[object]) -> HandlerError:
    if isinstance(awaitable, Coroutine):
        awaitable.close()
    message = (
        "an async function has called one that is not async, and that calls an async one, all in one worker that runs "
        "one call at a time: make the one between async, or give one of them another pool"
    )
    return HandlerError(message, code="FAILED_PRECONDITION", reason="NESTED_IN_LOOP")


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _of_asyncio(frame: FrameType | None) -> bool:
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "asyncio"


def _wake() -> None:
    """Make the loop look at what has changed."""
