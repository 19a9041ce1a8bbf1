"""Looks at the pools once a second for anomalies, and does what each pool's setting lets it do.

The only part of the detection with a clock, a task and effects. Owns the detectors and policies of the pools; what was
found is kept by `Telemetry`. A pool that is switched off costs nothing, nor does a pool without calls.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bridge.anomalies.detector import Detector
from bridge.anomalies.policy import Policy
from bridge.anomalies.records import Anomaly, Finding, PoolSight, Rules, WorkerSight
from bridge.anomalies.sampler import Sampler
from bridge.anomalies.words import what
from bridge.gateway.providers import provider_places
from bridge.routing.breakers import function_key, provider_key
from pool.events import PoolEvent, WorkerReady
from pool.lifecycle import State
from pool.limits import descendants, proportional_bytes

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.telemetry import Telemetry
    from pool.pool import Pool
    from pool.snapshot import PoolSnapshot

LEAST_SAMPLES = 64
"""Of a pool in a second,"""
WORKER_SAMPLES = 16
"""or so many of each worker,"""
MOST_SAMPLES = 400
"""but no more than these: each costs the front some microseconds."""
EXACT_S = 30.0
"""For how long it is believed how much of its memory a worker shares."""
GROWN_BYTES = 1 << 20
"""Functions that made workers grow by less are not named."""

OpenBreaker = Callable[[str, str, float], None]
"""Opens a circuit breaker: (key, cause, seconds)."""


class AnomalyWatch:
    """Watches the pools of one server. `pools` are the running ones, by name, as they come and go."""

    def __init__(
        self, pools: Mapping[str, Pool], telemetry: Telemetry, config: Config, open_breaker: OpenBreaker | None = None
    ) -> None:
        self._pools = pools
        self._telemetry = telemetry
        self._open_breaker = open_breaker
        self._sampler = Sampler(telemetry.watch, provider_places(config.models))
        self._config = config
        self._rules = rules_of(config)
        self._known: dict[str, tuple[Detector, Policy]] = {}
        self._start_s: dict[str, float] = {}
        self._calls: dict[str, int] = {}
        self._exact: dict[str, float] = {}
        """When it was last looked up how much memory a worker shares."""

    def renew(self, config: Config) -> None:
        """Take over other settings; with other rules everything is learnt anew."""
        rules = rules_of(config)
        if rules != self._rules:
            self._known.clear()
        self._config, self._rules = config, rules
        self._sampler.places = provider_places(config.models)

    def pool_event(self, event: PoolEvent) -> None:
        """Take note of how long workers take to start."""
        if isinstance(event, WorkerReady):
            self._start_s[event.pool] = event.seconds

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await asyncio.sleep(self._rules.interval_s)
            await self.turn(time.monotonic())

    async def turn(self, now: float) -> None:
        """Look at every pool once."""
        wanted: dict[str, int] = {}
        idle: dict[str, int] = {}
        for name, pool in list(self._pools.items()):
            if self._mode(name) == "off" or pool.draining:
                self._known.pop(name, None)
                continue
            snapshot = pool.snapshot()
            await self._look(now, name, pool, snapshot)
            room = min(MOST_SAMPLES, max(LEAST_SAMPLES, WORKER_SAMPLES * len(snapshot.workers)))
            moves = snapshot.calls != self._calls.get(name, 0) or snapshot.waiting > 0
            (wanted if moves else idle)[name] = room
            self._calls[name] = snapshot.calls
        gone = set(self._known) - set(self._pools)
        for name in gone:
            del self._known[name]
        self._sampler.begin(wanted or idle)

    def _mode(self, pool: str) -> str:
        settings = self._config.pools.get(pool)
        return "off" if settings is None else settings.anomalies

    async def _look(self, now: float, name: str, pool: Pool, snapshot: PoolSnapshot) -> None:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = Detector(self._rules), Policy(self._rules)
        detector, policy = known
        sight = self._sight(pool, snapshot)
        for finding in detector.turn(now, sight, self._sampler.drain(name)):
            if finding.kind == "memory_trend" and not await self._is_exact(now, detector, snapshot, finding.worker):
                continue
            mode = self._config.pools[name].anomalies
            anomaly = policy.decide(now, mode, self._named(finding, snapshot), sight)
            if anomaly is not None:
                self._tell(anomaly, pool)

    def _sight(self, pool: Pool, snapshot: PoolSnapshot) -> PoolSight:
        workers = tuple(
            WorkerSight(
                id=worker.id, ready=worker.state is State.READY, rss_bytes=worker.rss_bytes, recycle=worker.recycle
            )
            for worker in snapshot.workers
        )
        return PoolSight(
            name=snapshot.name,
            workers=workers,
            target=snapshot.target,
            most=snapshot.most,
            waiting=snapshot.waiting,
            running=sum(worker.running for worker in snapshot.workers if worker.state is State.READY),
            concurrency=pool.options.concurrency,
            arrivals=snapshot.arrivals,
            scale_up_wait_s=pool.options.scale_up_wait_s,
            memory_limit_bytes=pool.options.memory_limit_bytes,
            start_s=self._start_s.get(snapshot.name, 0.0),
        )

    async def _is_exact(self, now: float, detector: Detector, snapshot: PoolSnapshot, worker: str) -> bool:
        """Whether it is known how much of a worker's memory is its own; if not, that is looked up for the next look."""
        self._exact = {name: at for name, at in self._exact.items() if now - at < EXACT_S}
        if worker in self._exact:
            return True
        (seen,) = [one for one in snapshot.workers if one.id == worker]
        own = await asyncio.to_thread(_own_bytes, seen.pid)
        self._exact[worker] = now
        detector.shares(worker, max(0, seen.rss_bytes - own) if own else 0)
        return False

    def _named(self, finding: Finding, snapshot: PoolSnapshot) -> Finding:
        """Name the function that made the pool's workers grow most, where one runs out of memory."""
        if finding.kind != "memory_trend" or not snapshot.growth or snapshot.growth[0].grown_bytes < GROWN_BYTES:
            return finding
        most = snapshot.growth[0]
        mebibytes = most.grown_bytes / (1 << 20)
        grown = f"; '{most.function}' made workers grow most, by {mebibytes:.0f} MiB in {most.calls} calls"
        return dataclasses.replace(finding, function=most.function, cause=finding.cause + grown)

    def _tell(self, anomaly: Anomaly, pool: Pool) -> None:
        """Do what is to be done, and tell it."""
        if anomaly.acted and (failed := self._act(anomaly, pool)):
            anomaly = dataclasses.replace(anomaly, acted=False, held=failed)
        self._telemetry.anomaly(anomaly)

    def _act(self, anomaly: Anomaly, pool: Pool) -> str:
        """Do it; return why that could not be done, or nothing."""
        finding = anomaly.finding
        cause = f"{what(finding)}: {finding.cause}"
        if finding.action == "recycle":
            return "" if pool.recycle(finding.worker, cause) else "it does not serve any more"
        if finding.action == "scale_up":
            return "" if pool.grow(finding.workers, cause) else "it has as many as it may have"
        if self._open_breaker is None:
            return "it has no circuit breaker"
        key = provider_key(finding.provider)
        if not finding.provider:
            key = function_key(finding.function, f"pool/{anomaly.pool}")
        self._open_breaker(key, cause, self._rules.breaker_s)
        return ""


def rules_of(config: Config) -> Rules:
    """Return the rules that the configuration has."""
    return Rules(**config.anomalies.model_dump())


def _own_bytes(pid: int) -> int:
    """Return the proportional memory of a worker and what it has started; 0 where that can not be read."""
    return sum(map(proportional_bytes, [pid, *descendants(pid)]))
