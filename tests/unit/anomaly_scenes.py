"""Pools that are played to the detection of anomalies: seeded, with workers, calls and a time of our own."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bridge.anomalies.detector import Detector
from bridge.anomalies.records import Finding, PoolSight, Rules, Sample, WorkerSight

MIB = 1 << 20

Seconds = Callable[["Scene", str, str, int], float]
"""What a call takes, of (scene, worker, function, size)."""


def lognormal(median_s: float = 0.02, sigma: float = 0.5) -> Seconds:
    return lambda scene, _worker, _function, _size: median_s * math.exp(scene.random.gauss(0, sigma))


def pareto(least_s: float = 0.005, alpha: float = 1.1) -> Seconds:
    """So heavy a tail that it has next to no mean."""
    return lambda scene, _worker, _function, _size: least_s * scene.random.paretovariate(alpha)


@dataclass
class Scene:
    """A pool that is played, a second at a time. What a test changes in it holds from then on."""

    seed: int = 0
    workers: list[str] = field(default_factory=lambda: ["w-1", "w-2", "w-3", "w-4"])
    rate: float = 40.0
    seconds: Seconds = field(default_factory=lognormal)
    functions: tuple[str, ...] = ("work",)
    sizes: tuple[int, ...] = (7,)
    tenants: tuple[str, ...] = ("",)
    fails: Callable[[Scene, str, str, str], bool] = lambda _scene, _worker, _function, _tenant: False
    provider: str = ""
    memory: Callable[[Scene, str], int] = lambda _scene, _worker: 100 * MIB
    limit: int | None = None
    rules: Rules = field(default_factory=Rules)
    now: float = 1000.0
    target: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.detector = Detector(self.rules)
        self.found: Counter[tuple[str, str]] = Counter()
        self.first: dict[tuple[str, str], float] = {}
        self.last: Finding | None = None
        self.looks = 0

    def sight(self) -> PoolSight:
        sights = tuple(WorkerSight(id=one, ready=True, rss_bytes=self.memory(self, one)) for one in self.workers)
        size = len(sights)
        return PoolSight(name="rig", workers=sights, target=size, most=size, memory_limit_bytes=self.limit)

    def sample(self) -> Sample:
        worker, function = self.random.choice(self.workers), self.random.choice(self.functions)
        size, tenant = self.random.choice(self.sizes), self.random.choice(self.tenants)
        failed = self.fails(self, worker, function, tenant)
        return Sample(
            pool="rig",
            worker=worker,
            function=function,
            size=size,
            seconds=self.seconds(self, worker, function, size),
            failed=failed,
            provider=self.provider if failed else "",
            tenant=tenant,
        )

    def calls(self) -> int:
        """How many come in this second: more or fewer by chance."""
        return max(0, round(self.random.gauss(self.rate, math.sqrt(self.rate))))

    def play(self, seconds: float) -> Scene:
        """Let time pass; what was found is in `found`, by kind and name, and when first in `first`."""
        until = self.now + seconds
        while self.now < until:
            self.now += 1.0
            samples = [self.sample() for _ in range(self.calls())]
            for finding in self.detector.turn(self.now, self.sight(), samples):
                self.found[finding.about] += 1
                self.first.setdefault(finding.about, self.now)
                self.last = finding
            self.looks += 1
        return self

    def kinds(self) -> set[str]:
        return {kind for kind, _ in self.found}
