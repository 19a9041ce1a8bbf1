"""How late the front's event loop is: what blocks it delays every call, so it is measured and told.

Owns the measuring task's findings. A lag is the time from when a timer was due until it ran.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from bridge.telemetry import log

TICK_S = 0.25
WINDOW_S = 60.0
WARN_S = 0.5


class LoopLag:
    """The worst lag of the last minute."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._worst = 0.0
        self._worst_before = 0.0

    @property
    def worst_s(self) -> float:
        """The worst lag of the last one to two minutes, in seconds."""
        self._turn()
        return max(self._worst, self._worst_before)

    async def watch(self) -> None:
        """Measure for ever."""
        while True:
            due = self._now() + TICK_S
            await asyncio.sleep(TICK_S)
            self.note(self._now() - due)

    def note(self, late_s: float) -> None:
        """Take a measured lag; a long one is logged."""
        self._turn()
        self._worst = max(self._worst, late_s)
        if late_s >= WARN_S:
            log(
                logging.WARNING,
                f"the event loop stood still for {late_s:.2f} s: no call was served meanwhile; look for a native "
                "function that takes long, or for a machine that has too little processor time",
            )

    def _turn(self) -> None:
        """Begin another window where this one is over."""
        passed = self._now() - self._began
        if passed >= WINDOW_S:
            self._worst_before = self._worst if passed < 2 * WINDOW_S else 0.0
            self._worst = 0.0
            self._began = self._now()
