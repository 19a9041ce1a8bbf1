"""Gives back the memory that the front has kept for large messages, when no call runs.

Owns what it saw last: two looks in a row without a call are idle enough.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from pool import heap
from pool.idle import KeptMemory
from pool.own_memory import rss_pages, rss_reader


class Calls(Protocol):
    """Whatever knows of all calls of this process."""

    @property
    def is_idle(self) -> bool:
        """Whether no call runs or waits."""
        ...


class IdleMemory:
    """Watches for idleness."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._statm = rss_reader()
        self._kept = KeptMemory(self._statm)
        self._was_idle = False

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(heap.IDLE_S)
            self.look()

    def look(self) -> bool:
        """Give memory back where no call runs and none ran at the last look; return whether it did."""
        idle, before = self._calls.is_idle, self._was_idle
        self._was_idle = idle
        if not (idle and before and self._kept.worth(rss_pages(self._statm))):
            return False
        self._kept.give_back()
        return True
