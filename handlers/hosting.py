"""The worker around the calls that run in it: whom they ask, and the functions that they may run right here.

A nested call into the pool of its caller runs in its caller's worker, be that caller synchronous code, a thread, or a
task on an event loop. Owns the numbers by which the front tells the nested calls of this process apart.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import aclosing, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from handlers.contract import Asker
    from handlers.entry import Entry, Result

T = TypeVar("T")
LOOK_S = 0.1
"""How often a thread that waits for the event loop looks whether its call has been cancelled."""


class Host:
    """One process's entry and its way to the front. Safe to use from several threads."""

    def __init__(self, asker: Asker, entry: Entry) -> None:
        self._asker = asker
        self._entry = entry
        self._numbers = itertools.count(1)

    def ask(self, name: str, body: bytes) -> tuple[bool, bytes]:
        """Ask the front: for code that is not async."""
        return self._asker.ask(name, body)

    async def aask(self, name: str, body: bytes) -> tuple[bool, bytes]:
        """Ask the front: for async code."""
        return await self._asker.aask(name, body)

    def tell(self, name: str, body: bytes) -> None:
        """Tell the front."""
        self._asker.tell(name, body)

    def number(self) -> int:
        """Return a number that no other nested call of this process has."""
        return next(self._numbers)

    @property
    def _loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop of a worker with many calls at a time, whose other code runs in threads."""
        return getattr(self._asker, "loop", None)

    def run(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a function for code that is not async."""
        if self._loop is not None and self._entry.is_async(function):
            return _on_loop(self._loop, lambda: self._entry.acall(function, meta, body, timeout_s))
        return self._entry.call(function, meta, body, timeout_s)

    async def arun(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a function for async code."""
        if self._entry.is_async(function):  # a task of its own: what is current for it must not be so for its caller
            return await asyncio.create_task(self._entry.acall(function, meta, body, timeout_s))
        return await self._in_thread(lambda: self._entry.call(function, meta, body, timeout_s))

    def stream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> Generator[bytes | Result, None, None]:
        """Run a streaming function for code that is not async: its messages, then its result."""
        if self._loop is not None and self._entry.is_async(function):
            yield from _on_loop(self._loop, lambda: self._collected(function, meta, body, timeout_s))
        else:
            yield from self._entry.stream(function, meta, body, timeout_s)

    async def astream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> AsyncGenerator[bytes | Result, None]:
        """Run a streaming function for async code. One that is not async runs to its end before its first message."""
        if self._entry.is_async(function):
            async with aclosing(self._entry.astream(function, meta, body, timeout_s)) as items:
                async for item in items:
                    yield item
            return
        for item in await self._in_thread(lambda: list(self._entry.stream(function, meta, body, timeout_s))):
            yield item

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run synchronous code of a call for its async code, in the way of this kind of worker."""
        in_thread: Callable[[Callable[[], T]], Coroutine[Any, Any, T]] | None = getattr(self._asker, "in_thread", None)
        return work() if in_thread is None else await in_thread(work)

    async def _collected(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> list[bytes | Result]:
        async with aclosing(self._entry.astream(function, meta, body, timeout_s)) as items:
            return [item async for item in items]


def _on_loop(loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine on a loop and wait for it in this thread; a cancel of the thread's call cancels it.

    Not `asyncio.run_coroutine_threadsafe`: an exception raised in a thread inside of its locks could leave them locked.
    """
    box: SimpleQueue[asyncio.Task[T]] = SimpleQueue()
    begun: list[asyncio.Task[T]] = []

    def begin() -> None:
        task = loop.create_task(make())
        task.add_done_callback(box.put)
        begun.append(task)

    loop.call_soon_threadsafe(begin)
    try:
        return _polled(box).result()
    finally:
        if not begun or not begun[0].done():
            loop.call_soon_threadsafe(lambda: begun[0].cancel())


def _polled(box: SimpleQueue[T]) -> T:
    """Return what comes. A function of its own: a cancel raised at the turn of a loop can miss a `try` around that."""
    while True:
        with suppress(Empty):
            return box.get(timeout=LOOK_S)
