"""A spawner that puts every worker which another one starts into a cgroup of its own, before it reads its first frame.

Owns the groups through `pool.cgroups`; where there is no support for them it only passes on.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pool.cgroup_support import CgroupSupport, detect
from pool.cgroups import Cgroups
from pool.exits import Killed, out_of_memory
from pool.memory import ProcReadings, Readings
from pool.options import PoolOptions
from pool.spawn import Child, HowStarted, Launch, Spawner
from pool.stop import kill_group

CLOSE_TURNS = 100
CLOSE_PAUSE_S = 0.01


def confine(options: PoolOptions, spawner: Spawner) -> tuple[Spawner, Readings]:
    """Return the spawner to use for a pool, and where the memory of its workers is read."""
    if options.cgroups == "off":
        return spawner, ProcReadings()
    confined = ConfinedSpawner(options, spawner)
    return confined, ProcReadings(confined.members)


class ConfinedSpawner:
    """Starts workers by `inner`, then confines them."""

    def __init__(self, options: PoolOptions, inner: Spawner) -> None:
        self._options = options
        self._inner = inner
        self._cgroups = Cgroups(detect())
        self.guard = inner.guard
        for place in self._cgroups.places:
            self.guard.clear(place)
        self.failure = ""
        """Why the last worker has no group although groups are supported; empty where it has one."""

    @property
    def support(self) -> CgroupSupport:
        """Whether and where workers have cgroups."""
        return self._cgroups.support

    async def spawn(self, launch: Launch) -> Child:
        """Start a worker and confine it. A worker that can not be confined runs all the same."""
        child = await self._inner.spawn(launch)
        if self.support.path is not None:
            # in a thread: the kernel may take some milliseconds
            self.failure = await asyncio.to_thread(self._attach, launch.worker, child.pid)
            if (event := self._cgroups.event(child.pid)) is not None:
                asyncio.get_running_loop().add_reader(event, self._on_full, child)
        return child

    def _on_full(self, child: Child) -> None:
        """The kernel may have killed one process of a worker's group: then all must go. `ended` tells why."""
        if self._cgroups.is_full(child.pid):
            kill_group(child)

    def _attach(self, worker: str, pid: int) -> str:
        options = self._options
        return self._cgroups.attach(worker, pid, memory_bytes=options.memory_limit_bytes, tasks=options.tasks_limit)

    def members(self, leader: int) -> list[int] | None:
        """Return the processes in a worker's group; None where it has none."""
        return self._cgroups.members(leader)

    def ended(self, child: Child) -> Killed | None:
        """Remove a worker's group, with what still runs in it; return why the kernel killed the worker, if it did."""
        told = self._inner.ended(child)
        if (event := self._cgroups.event(child.pid)) is not None:
            asyncio.get_running_loop().remove_reader(event)
        verdict = self._cgroups.ended(child.pid)
        if verdict is None:
            return told
        return out_of_memory(verdict.peak_bytes, self._options.memory_limit_bytes if verdict.own_limit else None)

    def describe(self) -> HowStarted:
        """Return how workers start, and where they have their groups."""
        return replace(self._inner.describe(), cgroups=self.failure or self.support.why)

    def rebuild(self, options: PoolOptions | None = None) -> None:
        """Start further workers with these options and new code. Whether there are cgroups stays as it was."""
        self._options = options or self._options
        self._inner.rebuild(options)

    def halt(self) -> None:
        """Start nothing more."""
        self._inner.halt()

    async def close(self) -> None:
        """Give back what spawning holds. What was just killed is waited for, a second at most."""
        await self._inner.close()
        for _ in range(CLOSE_TURNS):
            if self._cgroups.close():
                return
            await asyncio.sleep(CLOSE_PAUSE_S)
