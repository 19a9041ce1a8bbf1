"""Supervises one pool: has its places filled, its workers checked, replaced and held to their limits, its size fitted.

Only wiring and what the operator asks for: the processes are the business of `pool.runs`, each place's story that of
`pool.places`, what the evidence means that of `pool.checks`, how many there are to be that of `pool.sizing`. Owns the
pool's options. A task that dies of a bug ends the process: a pool without its supervisor would only look alive.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping

from pool.admission import Admission
from pool.checks import Checks, tick_s
from pool.clock import Clock, MonotonicClock
from pool.errors import PoolUnavailable, StartFailed, mebibytes
from pool.events import Listener, PoolEvent
from pool.exits import ExitReport, Killed, over_memory
from pool.growth import Growth
from pool.lifecycle import State
from pool.memory import MemoryWatch, ProcReadings, Readings
from pool.options import PoolOptions
from pool.places import Place, Places
from pool.recycling import Recycling, jittered
from pool.runs import Crew, Run
from pool.sizing import Sizing
from pool.spawn import HowStarted, Spawner
from pool.tasks import Tasks
from pool.worker import Worker


class Supervisor:
    """Supervises one pool. `fatal` is called with the exception of a supervising task that died."""

    def __init__(
        self,
        options: PoolOptions,
        admission: Admission,
        spawner: Spawner,
        listener: Listener,
        fatal: Callable[[BaseException], None],
        clock: Clock | None = None,
        proved: Callable[[], None] = lambda: None,
        readings: Readings | None = None,
    ) -> None:
        self._options = options
        self._admission = admission
        self._spawner = spawner
        self._listener = listener
        self._fatal = fatal
        self._clock = clock or MonotonicClock()
        self._readings = readings or ProcReadings()
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(lambda error: self._fatal(error))
        self.growth = Growth()
        self._crew = Crew(
            options.name,
            admission,
            spawner,
            self._tell,
            self._tasks,
            fatal=lambda error: self._fatal(error),
            grew=self.growth.add,
            hooks=self,
        )
        self._places = Places(lambda: self._options, self._crew, self._tasks, self._tell, self._clock, self._refuse)
        self._checks = Checks(lambda: self._options, self._crew.runs, admission, self._tell, self._clock, proved)
        self._sizing = Sizing(options, self._crew, self._places, admission, self._tell, self._clock)
        self._recycling = Recycling(self._places, lambda: self._sizing.target, self._loop.time)
        self._memory_ends = asyncio.Event()
        self._orders = asyncio.Lock()
        self.catalogue: asyncio.Future[bytes] = self._loop.create_future()

    # -- what a snapshot tells ---------------------------------------------------------------------------------------

    @property
    def workers(self) -> Mapping[str, Worker]:
        """The workers there are, by id."""
        return self._crew.workers

    @property
    def runs(self) -> Mapping[str, Run]:
        """The runs of the workers there are, by id."""
        return self._crew.runs

    @property
    def exits(self) -> deque[ExitReport]:
        """The last exits, newest first."""
        return self._crew.exits

    @property
    def target(self) -> int:
        """Workers that there are to be."""
        return self._sizing.target

    @property
    def least(self) -> int:
        """The fewest that scaling leaves."""
        return self._sizing.least

    @property
    def most(self) -> int:
        """The most that scaling starts."""
        return self._sizing.most

    @property
    def restarts(self) -> int:
        """Workers that had to be replaced because they died or were unfit."""
        return self._places.restarts

    @property
    def failure(self) -> str:
        """Why no worker starts; empty while they do."""
        return self._places.failure

    def how_started(self) -> HowStarted:
        """Return how workers start."""
        return self._spawner.describe()

    # -- hooks of the rooms ------------------------------------------------------------------------------------------

    def _tell(self, event: PoolEvent) -> None:
        self._listener(event)

    def _refuse(self, cause: str) -> None:
        name, slow_s = self._options.name, self._options.restart.slow_s
        self._admission.refuse(lambda: PoolUnavailable(name, cause, slow_s))

    def proved(self, run: Run) -> None:
        """A worker has started: `Crew` tells."""
        run.due_calls = jittered(run.options.max_calls, random.random)
        run.due_age_s = jittered(run.options.max_age_s, random.random)
        if not self.catalogue.done():
            self.catalogue.set_result(run.ready.result())

    def start_failed(self, error: StartFailed) -> None:
        """A worker did not start: `Crew` tells."""
        if not self.catalogue.done():
            self.catalogue.set_exception(error)
            self.catalogue.exception()  # seen by `Pool.start`; a pool that nobody starts must not complain

    # -- tasks -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start filling every place; returns at once."""
        for _ in range(self.target):
            self._places.open()
        self._tasks.run(self._watch(), f"{self._options.name}: watch")
        self._watch_memory()

    async def _watch(self) -> None:
        """Look at the workers several times a second."""
        while not self._tasks.stopping.is_set():
            self._checks.look()
            self._recycling.look()
            self._sizing.look()
            await self._tasks.pause(min(tick_s(self._options), self._sizing.tick_s))

    def _watch_memory(self) -> None:
        watch = MemoryWatch(
            self._options,
            workers=self.workers.values,
            over_hard=self._over_memory,
            over_soft=self._over_soft_memory,
            readings=self._readings,
        )
        self._memory_ends.set()
        self._memory_ends = asyncio.Event()
        self._tasks.run(watch.run(self._memory_ends), f"{self._options.name}: memory")

    def _over_memory(self, worker: Worker, used: int) -> None:
        """End a worker that holds more than its hard limit."""
        worker.kill(over_memory(used, self._options.memory_limit_bytes or 0))

    def _over_soft_memory(self, worker: Worker, used: int) -> None:
        """A worker holds more than its soft limit: it is replaced, then retired."""
        limit = self._options.memory_soft_limit_bytes or 0
        run = self.runs.get(worker.id)
        if run is not None and not run.recycle:
            run.recycle = f"it held {mebibytes(used)} of memory, its soft limit is {mebibytes(limit)}"

    # -- what the operator asks for ----------------------------------------------------------------------------------

    def hold(self, worker: str) -> None:
        """Count a strict session that is bound to a worker."""
        self._crew.hold(worker)

    def unhold(self, worker: str) -> None:
        """Count one such session less."""
        self._crew.unhold(worker)

    def resize(self, minimum: int, maximum: int) -> None:
        """Let scaling keep to other bounds from now on."""
        self._sizing.resize(minimum, maximum)

    def grow(self, workers: int, cause: str) -> bool:
        """Have more workers, within the bounds of scaling; return whether that is a change."""
        return self._sizing.grow(workers, cause)

    def recycle(self, worker: str, cause: str) -> bool:
        """Have a worker replaced in its turn; return whether it serves and was to stay."""
        run = self.runs.get(worker)
        if run is None or run.recycle or run.worker is None or run.worker.state is not State.READY:
            return False
        run.recycle = cause
        return True

    async def restart(self, worker: str | None = None) -> int:
        """Replace one worker, or all in turn; return how many. Raises StartFailed, and the old ones stay then.

        Raises ValueError for a worker that does not serve here.
        """
        async with self._orders:
            if worker is not None:
                place = self._places.find(worker)
                if place is None:
                    known = ", ".join(sorted(self.workers)) or "none"
                    raise ValueError(f"pool '{self._options.name}' has no worker '{worker}' to replace; it has {known}")
                await self._replace(place, "restarted by an operator", None)
                return 1
            self._places.forgive()
            self._spawner.rebuild()
            return len(await self._replace_all("restarted by an operator", None))

    async def reload(self, options: PoolOptions) -> bytes:
        """Replace all workers by such with new options and code; return the catalogue that they report.

        Raises StartFailed where the first does not start; everything stays as it was then.
        """
        if options.name != self._options.name:
            raise ValueError(f"pool '{self._options.name}' can not become pool '{options.name}'; make a new one")
        async with self._orders:
            self._places.forgive()
            self._spawner.rebuild(options)
            try:
                first, run = await self._replace_first(options)
            except StartFailed:
                self._spawner.rebuild(self._options)
                raise
            self._adopt(options)
            await self._replace_all("reloaded", first)
            return run.ready.result()

    async def _replace_first(self, options: PoolOptions) -> tuple[Place, Run]:
        """Replace one worker by one with new options; another one where scaling gives up its place meanwhile."""
        while True:
            first = next(place for place in self._places.all if not place.closing)
            try:
                return first, await self._replace(first, "reloaded", options)
            except StartFailed:
                if first in self._places.all:
                    raise

    def _adopt(self, options: PoolOptions) -> None:
        """Take over new options; a size that scaling has found stays where the options name the same as before."""
        self._options = options
        self._places.forgive()  # they have their limits from the options
        self._sizing.reload(options)
        self._admission.configure(options)
        self._watch_memory()

    async def _replace_all(self, cause: str, done: Place | None) -> list[Run]:
        """Replace the workers of all places but `done`, one after the other; not those that are as new already.

        A place that scaling gives up meanwhile has no worker to replace.
        """
        began, runs = self._clock.now(), []
        for place in list(self._places.all):
            if place is done or place.closing:
                continue
            if place.run is not None and place.run.began >= began:
                runs.append(place.run)
                continue
            try:
                runs.append(await self._replace(place, cause, None))
            except StartFailed:
                if place in self._places.all:
                    raise
        return runs

    async def _replace(self, place: Place, cause: str, options: PoolOptions | None) -> Run:
        if self._tasks.stopping.is_set():
            raise StartFailed(self._options.name, "the server stopped", "")
        order = self._places.order(place, cause, once=True, options=options)
        return await asyncio.shield(order.done)

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls and let those in flight end; return whether they all did in time."""
        self._admission.stop()
        try:
            async with asyncio.timeout(timeout_s):
                while busy := [w for w in self.workers.values() if w.running and w.state is not State.STARTING]:
                    await busy[0].idle()
        except TimeoutError:
            return False
        return True

    def resume(self) -> None:
        """Take calls again after `drain`."""
        self._admission.resume()
        if self.failure:
            self._refuse(self.failure)

    async def stop(self) -> None:
        """End every worker: by request, and by force where that takes longer than `stop_timeout_s`."""
        self._tasks.stopping.set()
        self._memory_ends.set()
        self._admission.stop()
        self._spawner.halt()
        for place in self._places.all:
            place.wake.set()
        for worker in list(self.workers.values()):
            if worker.state is State.STARTING or worker.running:
                worker.kill(Killed(why="the server stopped", stopped=True))
            else:
                worker.ask_to_stop()
        await self._tasks.ended(self._options.stop_timeout_s)
        for worker in list(self.workers.values()):
            worker.kill(Killed(why=f"did not stop within {self._options.stop_timeout_s:g} s", stopped=True))
        await self._tasks.ended()
        await self._spawner.close()
        self.start_failed(StartFailed(self._options.name, "the server stopped", ""))
