"""What a fault has to work with: one running server, marks that show what its work does, and bounded waits.

Worker processes are found by what the work itself writes: every function says its process id. So a fault needs to know
nothing of how a server arranges its processes.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from calling import CallFailed
from servers import Server

QUIET_S = 0.7
"""Work that has taken no step for this long has stopped: one step takes 0.05 s."""


class Unmet(Exception):
    """What was seen is not what was expected; the text says what was seen."""


def ms(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


class Mark:
    """What one call has done so far, as it wrote it itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> str:
        return self.path.read_text() if self.path.exists() else ""

    @property
    def pid(self) -> int | None:
        """The worker that runs the call; None while it has not begun."""
        first, newline, _ = self.read().partition("\n")
        return int(first.split()[1]) if newline else None

    @property
    def steps(self) -> int:
        return self.read().partition("\n")[2].count(".")

    @property
    def ended(self) -> bool:
        return self.read().endswith("end")


def alive(pid: int) -> bool:
    """Whether a process runs, or is stopped; a zombie is dead."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def until(condition: Callable[[], Any], limit_s: float, unmet: str) -> Any:
    """The first true value of `condition`. Raises Unmet with that text after `limit_s`."""
    end = time.monotonic() + limit_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise Unmet(unmet)
        await asyncio.sleep(0.01)
    return value


class Scene:
    """A running server, for the length of one fault."""

    def __init__(self, server: Server, folder: Path, *, kills: int = 3) -> None:
        self.server = server
        self.kills = kills
        self._folder = folder
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopped: set[int] = set()

    def mark(self) -> Mark:
        return Mark(self._folder / f"mark{next(self._numbers)}")

    async def call(self, function: str, timeout_s: float = 5.0, mark: Mark | None = None, **arguments: Any) -> Any:
        if mark is not None:
            arguments["mark"] = str(mark.path)
        return await self.server.client.call(function, arguments, timeout_s)

    def begin(
        self, function: str, timeout_s: float = 5.0, mark: Mark | None = None, **arguments: Any
    ) -> asyncio.Task[Any]:
        """Start a call; the end of the fault cancels it."""
        task = asyncio.ensure_future(self.call(function, timeout_s, mark, **arguments))
        self._tasks.append(task)
        return task

    async def begin_running(
        self, function: str, timeout_s: float = 5.0, **arguments: Any
    ) -> tuple[asyncio.Task[Any], Mark, int]:
        """Start a call and wait until it runs; returns the call, its mark and its worker's process id."""
        mark = self.mark()
        task = self.begin(function, timeout_s, mark, **arguments)
        return task, mark, await self.running(mark)

    async def running(self, mark: Mark) -> int:
        return await until(lambda: mark.pid, 5.0, "a call to an idle server had not begun after 5 s")

    async def occupy(self, seconds: float) -> list[asyncio.Task[Any]]:
        """Keep both workers busy."""
        marks = [self.mark(), self.mark()]
        tasks = [self.begin("sleep", seconds + 5, mark, seconds=seconds) for mark in marks]
        for mark in marks:
            await self.running(mark)
        return tasks

    def stream(self, timeout_s: float = 30.0, **arguments: Any) -> tuple[Any, Mark]:
        mark = self.mark()
        return self.server.client.stream("stream", {**arguments, "mark": str(mark.path)}, timeout_s), mark

    async def fails(self, task: asyncio.Task[Any], limit_s: float) -> tuple[float, CallFailed]:
        """Wait for a call that must fail; returns after how long and with what."""
        begin = time.monotonic()
        done, _ = await asyncio.wait([task], timeout=limit_s)
        if not done:
            raise Unmet(f"the caller had no answer after {limit_s:g} s")
        error = task.exception()
        if error is None:
            raise Unmet(f"the call succeeded with {task.result()!r}")
        if not isinstance(error, CallFailed):
            raise error
        return time.monotonic() - begin, error

    async def unharmed(self, task: asyncio.Task[Any]) -> None:
        """Wait for another caller's call, which must succeed."""
        try:
            await task
        except CallFailed as error:
            raise Unmet(f"another caller's call failed: {error.text}") from error

    async def answers(self, limit_s: float) -> float:
        """Call until a call succeeds; returns after how long. Each attempt may take a second."""
        begin = time.monotonic()
        last = "none"
        while (passed := time.monotonic() - begin) < limit_s:
            try:
                if await self.call("echo", min(1.0, limit_s - passed), text="again") == "again":
                    return time.monotonic() - begin
            except CallFailed as error:
                last = error.text
                await asyncio.sleep(0.02)
        raise Unmet(f"no call succeeded for {limit_s:g} s (last: {last})")

    async def workers(self, limit_s: float = 10.0, without: set[int] = frozenset()) -> list[int]:
        """Wait until two workers run calls at the same time, none of them one of `without`; returns both."""
        end = time.monotonic() + limit_s
        seen: set[int] = set()
        seconds = 0.1
        while time.monotonic() < end:
            calls = [self.call("sleep", 2.0, seconds=seconds) for _ in range(2)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            seen = {pid for pid in results if isinstance(pid, int)}
            if len(seen) == 2 and not seen & without:
                return sorted(seen)
            seconds = min(0.5, seconds * 1.5)
            await asyncio.sleep(0.02)
        raise Unmet(f"{len(seen - without)} of 2 workers run calls after {limit_s:g} s")

    def signal(self, pid: int, number: signal.Signals) -> float:
        """Send a signal; returns when. A worker that is stopped is continued at the end of the fault."""
        if number == signal.SIGSTOP:
            self._stopped.add(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return time.monotonic()

    async def stops(self, mark: Mark, limit_s: float, since: float) -> float:
        """Wait until work has stopped; returns how long after `since` its last step was."""
        steps, last = mark.steps, since
        while time.monotonic() - max(last, since) < QUIET_S:
            if (now_steps := mark.steps) != steps:
                steps, last = now_steps, time.monotonic()
            if last - since > limit_s:
                raise Unmet(f"the work went on for more than {limit_s:g} s")
            await asyncio.sleep(0.02)
        return max(0.0, last - since)

    async def healthy(self, limit_s: float) -> float:
        """Wait until health says OK; returns after how long."""
        begin = time.monotonic()
        while not await self.server.client.healthy():
            if time.monotonic() - begin > limit_s:
                raise Unmet(f"it works again, but health still says that it does not after {limit_s:g} s")
            await asyncio.sleep(0.05)
        return time.monotonic() - begin

    async def close(self) -> None:
        """Leave nothing of the fault behind."""
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


Row = Callable[[Scene], Awaitable[str]]
"""A fault: injects, judges, returns what was seen; raises Unmet where that is not what was expected."""
