"""How many places a pool has: opened and closed as `pool.scaling` decides, or as an operator orders.

Owns the target and its bounds.
"""

from __future__ import annotations

from pool.admission import Admission
from pool.clock import Clock
from pool.events import Listener, PoolScaled
from pool.lifecycle import State
from pool.options import PoolOptions
from pool.places import Place, Places
from pool.runs import Crew
from pool.scaling import Bounds, Load, Scaling, Waits

TICKS = 4
"""Looks within the wait after which a worker is added."""
LEAST_TICK_S = 0.02


class Sizing:
    """The size of one pool."""

    def __init__(
        self,
        options: PoolOptions,
        crew: Crew,
        places: Places,
        admission: Admission,
        listener: Listener,
        clock: Clock,
    ) -> None:
        self._options = options
        self._crew = crew
        self._places = places
        self._admission = admission
        self._listener = listener
        self._clock = clock
        self._scaling, self._waits = Scaling(), Waits()
        self.target = options.size
        """Workers that there are to be."""
        self.least, self.most = options.least, options.most

    @property
    def tick_s(self) -> float:
        """The seconds between two looks, at most."""
        fixed = self.least == self.most
        return 1.0 if fixed else max(LEAST_TICK_S, self._options.scale_up_wait_s / TICKS)

    def look(self) -> None:
        """See how the workers are kept busy, and fit their number where it may change."""
        if self.least == self.most:
            return
        now = self._clock.now()
        ready = [worker for worker in self._crew.workers.values() if worker.state is State.READY]
        oldest = [self._admission.oldest(), *(worker.next_lined for worker in ready)]
        number = min((number for number in oldest if number is not None), default=None)
        load = Load(
            target=self.target,
            ready=len(ready),
            idle=sum(run.idle for run in self._crew.runs.values()),
            waited_s=self._waits.look(now, self._admission.arrivals, number),
        )
        bounds = Bounds(
            least=self.least,
            most=self.most,
            up_wait_s=self._options.scale_up_wait_s,
            down_idle_s=self._options.scale_down_idle_s,
        )
        self._fit(*self._scaling.decide(now, load, bounds))

    def resize(self, minimum: int, maximum: int) -> None:
        """Keep to other bounds from now on. Raises ValueError where they are none."""
        if not 1 <= minimum <= maximum:
            name = self._options.name
            raise ValueError(f"pool '{name}': expected 1 <= minimum <= maximum, got {minimum} and {maximum}")
        self.least, self.most = minimum, maximum
        self._fit(min(max(self.target, minimum), maximum), "resized by an operator")

    def grow(self, workers: int, cause: str) -> bool:
        """Have more workers, within the bounds; return whether that is a change. The usual rules take them back."""
        wanted = min(workers, self.most)
        if wanted <= self.target:
            return False
        self._fit(wanted, cause)
        return True

    def reload(self, options: PoolOptions) -> None:
        """Take over new options; a size that scaling has found stays where they name the same as before."""
        old, self._options = self._options, options
        self.least, self.most = options.least, options.most
        target = options.size if options.size != old.size else self.target
        self._fit(min(max(target, self.least), self.most), "reloaded")

    def _fit(self, target: int, cause: str) -> None:
        """Open or close places until there are as many as wanted; those that cost least go first."""
        if target == self.target:
            return
        self._listener(PoolScaled(pool=self._options.name, old=self.target, new=target, cause=cause))
        self.target = target
        places = [place for place in self._places.all if not place.closing]
        for _ in range(target - len(places)):
            self._places.open()
        for place in sorted(places, key=_cost_to_close)[: max(0, len(places) - target)]:
            self._places.close(place)


def _cost_to_close(place: Place) -> tuple[bool, bool, int, int]:
    """Order places by what it costs to close them: empty ones first, then idle ones, those without sessions before."""
    run = place.run
    if run is None or run.worker is None:
        return False, False, 0, -place.number
    return True, run.holders > 0, run.worker.running, -place.number
