"""The event loop of a worker with one call at a time: it turns only while an async function runs.

Owns that loop. A signal that raised an exception inside of the loop's own code would break it, so a cancel goes to
the task instead; only where the task itself computes, and would not notice, may an exception be raised in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Generator
from contextvars import Context, copy_context
from typing import TypeVar

T = TypeVar("T")
_END = object()


class OwnLoop:
    """Runs awaitables to their end on a loop that belongs to the calling thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._busy = False
        self._task: asyncio.Task[object] | None = None
        self.interrupted = False
        """Whether the last run was cancelled by `interrupt`."""

    def run(self, awaitable: Awaitable[T], context: Context | None = None) -> T:
        """Return what `awaitable` returns. Raises asyncio.CancelledError where `interrupt` came."""
        self.interrupted = False
        self._busy = True
        try:
            task = self._loop.create_task(_awaited(awaitable), context=context)
            self._task = task
            if self.interrupted:
                task.cancel()
            return self._loop.run_until_complete(task)
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
                interrupted = self.interrupted
                self.run(aclose(), context)
                self.interrupted = interrupted

    def interrupt(self) -> bool:
        """Cancel what runs; for a signal handler. False where nothing runs, or where the task is in Python code now."""
        if not self._busy:
            return False
        task = self._task
        if task is not None and asyncio.current_task(self._loop) is task:
            return False
        self.interrupted = True
        if task is not None:  # else `run` is about to make it, and looks
            task.cancel()
            self._loop.call_soon_threadsafe(_wake)
        return True


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _wake() -> None:
    """Make the loop look at what has changed."""
