"""How busy the front is: what decides whether its event loop may take on work of its own.

Owns the running estimates of one loop. They are taken only while somebody asks: `touch` keeps the measuring going.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

TICK_S = 0.02
WEIGHT = 0.2
"""Of a new measurement against what was known."""
CALL_S = 150e-6
"""What a call takes of the front, without the run of a function: so its loop's work tells how many calls there are."""
STALE_S = 1.0
"""What nobody has asked for in so long is not known any more."""


Times = tuple[float, float]
"""Seconds that a thread has computed, and in which it was ready to and had no processor."""


class ThreadTimes:
    """Reads the times of the thread that it is made in. Owns an open file of the kernel's; call `close` in the end."""

    def __init__(self) -> None:
        self._file = -1
        with suppress(OSError):  # kernels may lack it
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def __call__(self) -> Times:
        """Return the times so far."""
        if self._file < 0:
            return time.thread_time(), 0.0
        computed, waited, _ = os.pread(self._file, 80, 0).split()
        return int(computed) / 1e9, int(waited) / 1e9

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class FrontLoad:
    """The load of an event loop. `times` returns those of its thread.

    `busy` is the part of the time that its thread computes, or would if it had a processor, 0 to 1; `calls_per_s` about
    how many calls come to it; `lag_s` how late its timers are; `turn_s` how long native calls have held up the present
    turn of the loop, so far.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, times: Callable[[], Times]) -> None:
        self._loop = loop
        self._times = times
        self._ticking = False
        self._at = 0.0
        self._times_at = (0.0, 0.0)
        self._turning = False
        self._native_s = 0.0
        self.busy = 0.0
        self.calls_per_s = 0.0
        self.lag_s = 0.0
        self.turn_s = 0.0

    def touch(self) -> None:
        """Go on measuring for a while."""
        if self._ticking:
            return
        now = self._loop.time()
        if now - self._at > STALE_S:
            self.busy = self.lag_s = self.calls_per_s = 0.0
        self._ticking = True
        self._native_s = 0.0
        self._at, self._times_at = now, self._times()
        self._loop.call_at(now + TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        now, (computed_s, waited_s) = self._loop.time(), self._times()
        passed_s = now - self._at
        if passed_s > 0:
            weight = min(1.0, WEIGHT * passed_s / TICK_S)
            worked_s = min(passed_s, computed_s - self._times_at[0])
            wanted_s = min(passed_s, worked_s + waited_s - self._times_at[1])
            self.busy += weight * (wanted_s / passed_s - self.busy)
            calls = max(0.0, worked_s - self._native_s) / CALL_S
            self.calls_per_s += weight * (calls / passed_s - self.calls_per_s)
            self.lag_s += WEIGHT * (max(0.0, passed_s - TICK_S) - self.lag_s)
        self._at = now

    def ran(self, seconds: float) -> None:
        """Say that a native call has held up the loop for so long."""
        self.turn_s += seconds
        self._native_s += seconds
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turned)

    def _turned(self) -> None:
        """Another turn of the loop has begun."""
        self._turning = False
        self.turn_s = 0.0
