"""The places of a pool, each kept filled by a task of its own that runs the place's whole story.

Owns the places, the restart budget and each place's row of failures, and the cause where no worker starts. A worker is
replaced, then retired: it stays until another one is ready in its place. Only a place's own task changes what is in it;
everyone else gives it orders and wakes it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from pool.clock import Clock
from pool.errors import StartFailed
from pool.events import Listener, PoolFailed, ReplacementFailed, WorkerRecycled
from pool.exits import Killed
from pool.lifecycle import Event, State
from pool.options import PoolOptions
from pool.restart import Backoff, RestartBudget, RestartPolicy
from pool.runs import Crew, Run
from pool.tasks import Tasks


@dataclass(eq=False, slots=True, kw_only=True)
class Order:
    """A place is to get a new worker. `done` gets the run of that; `once` gives up where it does not start."""

    cause: str
    once: bool
    options: PoolOptions | None
    """What it is started with; None for the pool's own."""
    done: asyncio.Future[Run]


class Place:
    """One place of a pool."""

    def __init__(self, number: int, policy: RestartPolicy, spares: Backoff) -> None:
        self.number = number
        self.run: Run | None = None
        """The worker that serves here."""
        self.starting: Run | None = None
        """One that is not proved yet: the first, or the replacement of `run`."""
        self.order: Order | None = None
        self.closing = False
        self.not_before = 0.0
        """No worker is started before this time."""
        self.served_since = 0.0
        """When `run` was proved."""
        self.policy = policy
        self.spares = spares
        self.wake = asyncio.Event()


class Places:
    """Keeps the places of one pool. `options` returns what workers are started with now."""

    def __init__(
        self,
        options: Callable[[], PoolOptions],
        crew: Crew,
        tasks: Tasks,
        listener: Listener,
        clock: Clock,
        refuse: Callable[[str], None],
    ) -> None:
        self._options = options
        self._crew = crew
        self._tasks = tasks
        self._listener = listener
        self._clock = clock
        self._refuse = refuse
        self._budget = RestartBudget(options().restart)
        self._name = options().name
        self.all: list[Place] = []
        self.restarts = 0
        """Workers that had to be replaced because they died or were unfit."""
        self.failure = ""
        """Why no worker starts; empty while they do."""

    # -- what others ask ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Add a place, under the lowest free number, and start to fill it."""
        taken = {place.number for place in self.all}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        place = Place(number, *self._records())
        self.all.append(place)
        self._tasks.run(self._story(place), f"{self._name}: place {number}")

    def _records(self) -> tuple[RestartPolicy, Backoff]:
        restart = self._options().restart
        return RestartPolicy(restart, random.random, self._budget), Backoff(restart, random.random)

    def close(self, place: Place) -> None:
        """Give up a place: what is in it ends its calls, then goes."""
        place.closing = True
        if place.starting is not None:
            place.starting.kill(Killed(why="it is no longer needed", stopped=True))
        place.wake.set()

    def order(self, place: Place, cause: str, *, once: bool = False, options: PoolOptions | None = None) -> Order:
        """Replace what is in a place. It takes the place of an order that stands already, for which nobody may wait."""
        done: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        order = place.order = Order(cause=cause, once=once, options=options, done=done)
        if once:
            place.not_before = 0.0
        place.wake.set()
        return order

    def forgive(self) -> None:
        """Forget all failures: each place tries again at once, and from now on as the options say now."""
        self._budget = RestartBudget(self._options().restart)
        for place in self.all:
            place.policy, place.spares = self._records()
            place.not_before = 0.0
            place.wake.set()

    def find(self, worker: str) -> Place | None:
        """Return the place that a worker serves in."""
        for place in self.all:
            if place.run is not None and place.run.worker is not None and place.run.worker.id == worker:
                return place
        return None

    # -- a place's story ---------------------------------------------------------------------------------------------

    async def _story(self, place: Place) -> None:
        """Keep one place filled for as long as the pool, and the place, last."""
        while not self._tasks.stopping.is_set():
            place.wake.clear()
            self._look(place)
            if place.closing:
                break
            wanted = place.run is None or place.order is not None
            if wanted and self._clock.now() >= place.not_before:
                await self._fill(place)
            else:
                await self._wait(place, place.not_before - self._clock.now() if wanted else None)
        self._end(place)
        if self._tasks.stopping.is_set() and place.run is not None and place.run.alive:
            await place.run.exited

    async def _wait(self, place: Place, seconds: float | None) -> None:
        """Wait until something happens to the place, or for as long as its next start is put off."""
        try:
            async with asyncio.timeout(seconds):
                await place.wake.wait()
        except TimeoutError:
            return

    def _look(self, place: Place) -> None:
        """Take note of what has become of the worker."""
        run = place.run
        if run is None:
            return
        if run.exited.done():
            place.run = None
            self.restarts += 1
            self._put_off(place, self._clock.now() - place.served_since)
        elif run.unfit:
            place.run = None
            self.restarts += 1
            self._crew.retire(run)

    def _put_off(self, place: Place, served_s: float) -> None:
        """After a death: say when the place is filled again, and refuse calls where that is the end of the budget.

        A suspended worker may go on, and would then take none of the calls that were refused for lack of it.
        """
        now = self._clock.now()
        pause_s = place.policy.died(now, served_s)
        place.not_before = now + pause_s
        serves = any(worker.state in (State.READY, State.SUSPENDED) for worker in self._crew.workers.values())
        if pause_s and place.policy.exhausted(now) and not serves:
            cause = self._crew.exits[0].cause if self._crew.exits else ""
            self._fail(place.starting.failure.cause if place.starting and place.starting.failure else cause)

    def _fail(self, cause: str) -> None:
        if not self.failure:
            self._listener(PoolFailed(pool=self._name, cause=cause))
        self.failure = cause
        self._refuse(cause)

    async def _fill(self, place: Place) -> None:
        """Start a worker; once it is proved it serves here, and the one that did so far is retired."""
        order = place.order
        options = order.options if order is not None and order.options is not None else self._options()
        run = place.starting = Run(place.number, options, place.wake.set, self._clock.now())
        await self._crew.start(run)
        if run.proved:
            self._take_over(place, run, order)
        elif not place.closing and not self._tasks.stopping.is_set():
            self._not_started(place, run, order)
        place.starting = None

    def _take_over(self, place: Place, run: Run, order: Order | None) -> None:
        self.failure = ""
        place.spares.clear()
        old, place.run, place.served_since = place.run, run, self._clock.now()
        if order is not None:
            if place.order is order:
                place.order = None
            if not order.done.done():
                order.done.set_result(run)
        if old is None:
            return
        assert old.worker is not None
        assert run.worker is not None
        if old.exited.done() or old.unfit:
            self.restarts += 1
        else:
            cause = order.cause if order is not None else ""
            old.recycle = cause
            self._listener(
                WorkerRecycled(pool=self._name, worker=old.worker.id, replacement=run.worker.id, cause=cause)
            )
        if old.alive:
            if old.worker.state in (State.READY, State.SUSPENDED):
                old.worker.advance(Event.RETIRE)
            self._crew.retire(old)

    def _not_started(self, place: Place, run: Run, order: Order | None) -> None:
        assert run.failure is not None
        once = order is not None and order.once
        old = place.run
        if old is not None and old.alive and not old.unfit:
            pause_s = place.spares.failed()
            place.not_before = self._clock.now() + pause_s
            assert old.worker is not None
            self._listener(
                ReplacementFailed(
                    pool=self._name,
                    worker=old.worker.id,
                    cause=run.failure.cause,
                    retry_s=None if once else pause_s,
                )
            )
        else:
            self.restarts += 1
            self._put_off(place, 0.0)  # however long it has imported, it has not served
        if order is not None and order.once:
            if place.order is order:
                place.order = None
            if not order.done.done():
                order.done.set_exception(run.failure)
                order.done.exception()  # whoever waited may have left

    def _end(self, place: Place) -> None:
        """The place is given up, or the pool stops: nobody waits for it any more."""
        if place.order is not None and not place.order.done.done():
            place.order.done.set_exception(StartFailed(self._name, "its place was given up", ""))
            place.order.done.exception()
        if not place.closing:
            return
        self.all.remove(place)
        run = place.run
        if run is not None and run.alive and not self._tasks.stopping.is_set():
            assert run.worker is not None
            if run.worker.state in (State.READY, State.SUSPENDED):
                run.worker.advance(Event.DRAIN)
            self._crew.retire(run)
