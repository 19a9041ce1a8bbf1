"""Holds the workers of a pool against its memory limits. One task, which the supervisor starts and ends.

A worker that runs a call is looked at the more often the nearer it is to its hard limit, an idle one ten times a
second, and one without a limit once a second so that its figure is known. Shared pages count by share before anything
is decided. Owns what it remembers of each worker's memory; must not know how workers are ended or replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from pool.clock import Clock, MonotonicClock
from pool.limits import descendants, members_by_group, proportional_bytes, resident_bytes
from pool.options import PoolOptions

SLOW_S = 1.0
"""Between two samples of a worker without a limit."""
SAMPLE_S = 0.1
"""Between two samples of a worker with one, at most."""
FAST_S = 0.01
"""Between two samples of a worker that is about to reach its hard limit."""
FILL_BYTES_S = 4_000_000_000
"""Memory grows no faster than this, in bytes a second; on it depends how soon a worker is looked at again."""
SCAN_S = 1.0
"""Between two looks at all processes, for members of a group whose parents have ended."""
CONFIRM_SHARE = 50
"""Of the time that exact readings take, at most one part in so many is spent on a worker that only shares much."""


class Watched(Protocol):
    """What the watch wants of a worker."""

    rss_bytes: int

    @property
    def id(self) -> str:
        """Its name, never used again."""
        ...

    @property
    def pid(self) -> int:
        """Its process, which leads its group."""
        ...

    @property
    def running(self) -> int:
        """Calls that it has begun."""
        ...


class Readings(Protocol):
    """Where figures come from."""

    def scan(self, leaders: Iterable[int]) -> None:
        """Look through all processes for those of the leaders' groups, where they are not known otherwise."""
        ...

    def members(self, leader: int) -> list[int]:
        """Return the processes whose memory counts, the leader first."""
        ...

    def resident(self, pids: Iterable[int]) -> int:
        """Return their resident bytes."""
        ...

    def proportional(self, pids: Iterable[int]) -> int:
        """Return their proportional bytes; slow."""
        ...


class ProcReadings:
    """Readings of /proc.

    The members of a worker are what its cgroup has, where `cgroup_members` knows one; else its descendants at each
    look, and the rest of its process group as of the last scan.
    """

    def __init__(self, cgroup_members: Callable[[int], list[int] | None] = lambda _leader: None) -> None:
        self._cgroup_members = cgroup_members
        self._groups: dict[int, list[int]] = {}

    def scan(self, leaders: Iterable[int]) -> None:
        """Look up who belongs to each leader's group."""
        wanted = [leader for leader in leaders if self._cgroup_members(leader) is None]
        self._groups = members_by_group(wanted) if wanted else {}

    def members(self, leader: int) -> list[int]:
        """Return the leader and all whose memory counts with its own."""
        inside = self._cgroup_members(leader)
        if inside is None:
            inside = descendants(leader) + self._groups.get(leader, [])
        return list(dict.fromkeys([leader, *inside]))

    def resident(self, pids: Iterable[int]) -> int:
        """Return the sum of their resident bytes."""
        return sum(map(resident_bytes, pids))

    def proportional(self, pids: Iterable[int]) -> int:
        """Return the sum of their proportional bytes."""
        return sum(map(proportional_bytes, pids))


class _Track:
    """What is remembered of a worker: when it is due, who its members are, and what an exact reading has shown."""

    __slots__ = ("due", "look_at", "next_limit", "pids", "recheck_at", "shared")

    def __init__(self, pid: int, next_limit: int) -> None:
        self.due = 0.0
        self.look_at = 0.0
        self.pids = [pid]
        self.shared = 0
        self.next_limit = next_limit
        self.recheck_at = 0.0


W = TypeVar("W", bound=Watched)


class MemoryWatch(Generic[W]):
    """Samples the workers and tells who is over a limit; `rss_bytes` of each worker is kept up to date.

    `over_hard` gets a worker and the bytes it holds, above the hard limit. `over_soft` gets the same above the soft
    limit, and again about once a second while that lasts.
    """

    def __init__(
        self,
        options: PoolOptions,
        *,
        workers: Callable[[], Iterable[W]],
        over_hard: Callable[[W, int], None],
        over_soft: Callable[[W, int], None],
        readings: Readings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._hard = options.memory_limit_bytes
        self._soft = options.memory_soft_limit_bytes
        self._limits = sorted(limit for limit in (self._hard, self._soft) if limit is not None)
        self._workers = workers
        self._over_hard = over_hard
        self._over_soft = over_soft
        self._readings = readings or ProcReadings()
        self._clock = clock or MonotonicClock()
        self._tracks: dict[str, _Track] = {}
        self._scanned_at = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch until `stopping` is set."""
        while not stopping.is_set():
            pause_s = await self.turn()
            try:
                async with asyncio.timeout(pause_s):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def turn(self) -> float:
        """Sample the workers that are due and act on what they hold; return the seconds until the next is due."""
        now = self._clock.now()
        workers = list(self._workers())
        self._tracks = {
            worker.id: self._tracks.get(worker.id) or _Track(worker.pid, self._next_limit(0)) for worker in workers
        }
        self._scan(workers, now)
        for worker in workers:
            track = self._tracks[worker.id]
            if track.due <= now and self._sample(worker, track, now):
                await self._confirm(worker, track)
        now = self._clock.now()
        return max(0.0, min((track.due - now for track in self._tracks.values()), default=SAMPLE_S))

    def _scan(self, workers: list[W], now: float) -> None:
        if self._limits and now - self._scanned_at >= SCAN_S:
            self._scanned_at = now
            self._readings.scan([worker.pid for worker in workers])

    def _sample(self, worker: W, track: _Track, now: float) -> bool:
        """Read what a worker holds; return whether an exact reading is called for."""
        if now + FAST_S / 2 >= track.look_at:
            track.pids = self._readings.members(worker.pid)
            track.look_at = now + SAMPLE_S
        worker.rss_bytes = rss = self._readings.resident(track.pids)
        track.due = now + self._pace_s(worker, rss - track.shared)
        if not self._limits or rss <= self._limits[0]:
            return False
        return rss - track.shared > track.next_limit or now >= track.recheck_at

    def _pace_s(self, worker: W, used: int) -> float:
        if not self._limits:
            return SLOW_S
        if self._hard is None or not worker.running or used > self._hard:
            return SAMPLE_S
        return min(SAMPLE_S, max(FAST_S, (self._hard - used) / FILL_BYTES_S))

    async def _confirm(self, worker: W, track: _Track) -> None:
        """Read exactly what a worker holds, and tell where that is over a limit.

        The reading is made in a thread: it takes long where there is much memory, and the front serves calls meanwhile.
        Where it shows that the pages over the limit are shared, the next one waits until as much has been added, or for
        a second: pages that are written to become the worker's own without its resident memory growing.
        """
        started = self._clock.now()
        used = await asyncio.to_thread(self._readings.proportional, track.pids) or worker.rss_bytes
        now = self._clock.now()
        track.shared = max(0, worker.rss_bytes - used)
        track.next_limit = self._next_limit(used)
        track.recheck_at = now + max(SLOW_S, (now - started) * CONFIRM_SHARE)
        if self._hard is not None and used > self._hard:
            self._over_hard(worker, used)
        elif self._soft is not None and used > self._soft:
            self._over_soft(worker, used)

    def _next_limit(self, used: int) -> int:
        """Return the limit that a worker with so much comes to next; beyond the last, that one."""
        return next((limit for limit in self._limits if limit >= used), self._limits[-1] if self._limits else 0)
