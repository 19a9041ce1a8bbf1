"""How busy the front is: what decides whether its event loop may take on work of its own.

Owns the running estimates of one loop. They are taken only while somebody asks: `touch` keeps the measuring going.
"""

from __future__ import annotations

import time
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


class FrontLoad:
    """The load of an event loop. `cpu` returns the CPU seconds of its thread.

    `busy` is the part of the time that its thread computes, 0 to 1; `calls_per_s` about how many calls come to it;
    `lag_s` how late its timers are; `turn_s` how long native calls have held up the present turn of the loop, so far.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, cpu: Callable[[], float] = time.thread_time) -> None:
        self._loop = loop
        self._cpu = cpu
        self._ticking = False
        self._at = self._cpu_at = 0.0
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
        self._at, self._cpu_at = now, self._cpu()
        self._loop.call_at(now + TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        now, cpu = self._loop.time(), self._cpu()
        passed_s = now - self._at
        if passed_s > 0:
            weight = min(1.0, WEIGHT * passed_s / TICK_S)
            worked_s = min(passed_s, cpu - self._cpu_at)
            self.busy += weight * (worked_s / passed_s - self.busy)
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
