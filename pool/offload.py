"""Synchronous code of async calls, in threads: what an async function of a worker has called that is not async.

Owns those threads, apart from those of the calls, which may wait for these: so many for each depth, so that none waits
for a thread that waits for it. A cancel is raised in the thread, as in that of a call.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from queue import Empty, SimpleQueue
from typing import TypeVar

from pool.errors import CallCancelled

T = TypeVar("T")
THREADS = 32
LOOK_S = 0.1
_DEPTH: ContextVar[int] = ContextVar("bridge_offload_depth", default=0)


class Offload:
    """Runs code in threads for the loop of one worker."""

    def __init__(self) -> None:
        self._threads: list[ThreadPoolExecutor] = []

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns or raises. A cancel ends it at its next bytecode, and waits for that."""
        depth = _DEPTH.get()
        while len(self._threads) <= depth:
            self._threads.append(ThreadPoolExecutor(THREADS, thread_name_prefix=f"offload-{depth}"))
        context, mark = copy_context(), _Mark()
        context.run(_DEPTH.set, depth + 1)
        job = self._threads[depth].submit(context.run, mark.run, work)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            mark.cancel()
            await _ended(job)
            raise


async def _ended(job: Future[T]) -> None:
    """Wait for the end of a job, whatever happens: what still runs in a worker must be known to run."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    job.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
    while not ended.is_set():
        with suppress(asyncio.CancelledError):
            await ended.wait()


def wait(box: SimpleQueue[T]) -> T:
    """Return what comes. In a thread of this module's, look up now and then: a cancel is raised only outside of C."""
    if not _DEPTH.get():
        return box.get()
    while True:
        with suppress(Empty):
            return box.get(timeout=LOOK_S)


class _Mark:
    """Where one piece of work runs, so that its cancel reaches it and nothing else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._cancelled = False

    def run(self, work: Callable[[], T]) -> T:
        ident = threading.get_ident()
        with self._lock:
            if self._cancelled:
                raise CallCancelled
            self._thread = ident
        try:
            return work()
        finally:
            with self._lock:
                self._thread = None
                raise_in_thread(ident, None)

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._thread is not None:
                raise_in_thread(self._thread, CallCancelled)


def raise_in_thread(ident: int, error: type[BaseException] | None) -> None:
    """Raise `error` in a thread at its next bytecode, or take back one not yet raised. C code is not interrupted."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(ident), None if error is None else ctypes.py_object(error)
    )
