"""The front's line to its guard: a small process that outlives the front by a moment and ends what its workers started.

A worker dies with the front by its parent-death signal, but what it started does not, and no code of the front runs
after a SIGKILL. Owns the guard process and the list of workers that it was told; a guard that was killed is replaced.
While the front lives it also reaps what the guard has ended and the kernel has made the front's child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import weakref
from collections.abc import Collection
from pathlib import Path

from pool.reaper import Reaper, become_subreaper, resign_as_subreaper

SCRIPT = str(Path(__file__).with_name("orphans.py"))
CLOSE_S = 5.0
REAP_S = 5.0
"""How often orphans are looked for; after a worker's end sooner."""
REAP_SOON_S = 0.25
REAP_LAST_S = 1.0
REAP_PAUSE_S = 0.005


_GUARDS: weakref.WeakSet[Guard] = weakref.WeakSet()
"""Those of this process: a worker that any of them knows has somebody who reaps it."""


class Guard:
    """Tells the guard process about workers. Nothing is started before the first worker is; pools may share one."""

    def __init__(self) -> None:
        self._watched: dict[str, int] = {}
        self._places: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._adopts = False
        self._reaper = Reaper(self._is_known)
        self._reaping: asyncio.TimerHandle | None = None
        _GUARDS.add(self)

    def adopt(self) -> None:
        """Make orphans of workers the front's children, and reap them. Raises OSError where the kernel can not."""
        become_subreaper()  # each time: another guard of this process may have resigned
        if not self._adopts:
            self._adopts = True
            self._reap_in(REAP_S)

    def _reap_in(self, seconds: float) -> None:
        if self._reaping is not None:
            self._reaping.cancel()
        self._reaping = asyncio.get_running_loop().call_later(seconds, self._reap)

    def _reap(self) -> None:
        self._reaper.reap()
        self._reap_in(REAP_S)

    @staticmethod
    def _is_known(pid: int) -> bool:
        return any(pid in guard.watched for guard in _GUARDS)

    @property
    def watched(self) -> Collection[int]:
        """The workers that it watches, by their process groups."""
        return self._watched.values()

    def watch(self, group: int, mark: str) -> None:
        """Say that a worker was started: its process group, and the mark in its environment."""
        self._watched[mark] = group
        if self._process is None:
            self._start()
        else:
            self._tell(f"+ {group} {mark}\n")

    def clear(self, place: str) -> None:
        """Have the cgroups whose path begins so cleared and removed when the front has gone."""
        if place not in self._places:
            self._places.add(place)
            if self._process is not None:
                self._tell(_line_for(place))

    def ended(self, mark: str) -> None:
        """Say that a worker's process has ended: what carries its mark is ended soon after."""
        group = self._watched.pop(mark, None)
        if group is not None:
            self._tell(f"- {group} {mark}\n")
            if self._adopts:
                self._reap_in(REAP_SOON_S)

    def _start(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        places = [_line_for(place) for place in self._places]
        self._write("".join([*places, *(f"+ {group} {mark}\n" for mark, group in self._watched.items())]))

    def _tell(self, line: str) -> None:
        try:
            self._write(line)
        except BrokenPipeError:
            assert self._process is not None
            self._process.wait()
            self._start()

    def _write(self, text: str) -> None:
        """Write whole lines; a guard that is a full pipe behind misses some rather than hold up the front."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    async def close(self) -> None:
        """End the guard once no worker is left to watch, and wait for it: it finishes its sweeps first."""
        if self._watched:
            return
        if self._reaping is not None:
            self._reaping.cancel()
        adopted, self._adopts = self._adopts, False
        if self._process is not None:
            await self._end_process()
        if adopted:
            resign_as_subreaper()

    async def _end_process(self) -> None:
        assert self._process is not None
        process, self._process = self._process, None
        assert process.stdin is not None
        process.stdin.close()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        pidfd = os.pidfd_open(process.pid)
        loop.add_reader(pidfd, ended.set)
        try:
            await asyncio.wait_for(ended.wait(), CLOSE_S)
        except TimeoutError:
            process.kill()
        loop.remove_reader(pidfd)
        os.close(pidfd)
        process.wait()
        await self._reap_the_last()

    async def _reap_the_last(self) -> None:
        """Wait for what has just been killed, for a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REAP_LAST_S):
                while self._reaper.has_orphans():
                    self._reaper.reap()
                    await asyncio.sleep(REAP_PAUSE_S)


def _line_for(place: str) -> str:
    return f"/ 0 {place}\n"
