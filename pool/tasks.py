"""The tasks that supervise a pool. One that dies of a bug is told as fatal: a pool without them would only look alive.

Owns the tasks and the word that all of them are to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """Runs tasks; `fatal` is called with the exception of one that died."""

    def __init__(self, fatal: Callable[[BaseException], None]) -> None:
        self._fatal = fatal
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()
        """Every task ends soon after this is set."""

    def run(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task."""
        task = self._loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)

    async def pause(self, seconds: float) -> None:
        """Wait, or less long where everything is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return

    async def ended(self, timeout_s: float | None = None) -> None:
        """Wait until no task is left, or for `timeout_s`."""
        if timeout_s is not None:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=timeout_s)
            return
        while self._tasks:
            await asyncio.wait(self._tasks)
