"""Copies of calls: run a second time on the way that was not taken, with the answer thrown away.

Only so is it noticed that the other way has become the better one. Functions that are placed by measurement are pure,
so a copy does no harm, and copies never take the place of callers: one waits for an idle worker or an idle front,
there is one at a time on each way, and one in a worker leaves when callers wait for it. Owns the copies that run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from bridge.auto import choice as auto_choice
from bridge.call import Identity, new_call
from bridge.errors import BridgeError
from pool.calls import LOW
from pool.errors import PoolError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from bridge.auto.counters import Outcome, Way
    from bridge.auto.figures import Known
    from bridge.auto.runner import AutoPlacement
    from bridge.call import Call

IDLE = 0.5
"""A front that is busier runs no copies."""
TIMES_PREDICTED = 20.0
LEAST_S = 0.1
"""A copy may take so many times what is predicted, and at least this."""
LOOK_S = 0.002
"""How often a copy in a worker looks whether callers wait."""


class Runner(Protocol):
    """Runs and measures calls: `bridge.auto.runner.AutoRunner`. Each returns the answer and how long it has taken."""

    def in_front(self, call: Call, known: Known) -> Coroutine[Any, Any, tuple[bytes, float]]:
        """Run a call in the front."""
        ...

    def in_worker(self, call: Call, known: Known) -> Coroutine[Any, Any, tuple[bytes, float]]:
        """Run a call in a worker."""
        ...


class Copies:
    """Makes and runs the copies of one front. `running` tells how many native calls are under way."""

    def __init__(self, placement: AutoPlacement, runner: Runner, running: Callable[[], int]) -> None:
        self._placement = placement
        self._runner = runner
        self._native_running = running
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By pool; the front's is the empty one."""

    def consider(self, call: Call, known: Known, took_s: float) -> None:
        """Run a call that has been answered once more on the other way, where that takes nobody's place."""
        assert call.spec is not None
        pool = "" if call.pool else call.spec.pool or ""
        if pool in self._tasks or not (self._may_pool(pool) if pool else self._may_front(call.bytes_in, known)):
            return
        predicted_s = known.service_s + known.transfer_s if pool else known.native_s
        deadline = self._loop.time() + max(LEAST_S, TIMES_PREDICTED * predicted_s)
        identity = Identity(call.identity.request_id, traceparent=call.identity.traceparent, priority=LOW)
        copy = new_call(call.method, identity, call.request, deadline)
        copy.function, copy.spec, copy.pool, copy.reason = call.function, call.spec, pool, "auto: a copy"
        task = self._tasks[pool] = self._loop.create_task(self._run(copy, known, took_s))
        task.add_done_callback(lambda _: self._tasks.pop(pool, None))

    def _may_pool(self, name: str) -> bool:
        pool = self._placement.pools.get(name)
        return pool is not None and not pool.saturated and not pool.waiting and not pool.draining

    def _may_front(self, request_bytes: int, known: Known) -> bool:
        placement, running = self._placement, self._native_running()
        load = placement.load
        if load.busy > IDLE or load.turn_s or running:
            return False
        return auto_choice.excluded(known, load, placement.limits, request_bytes, running) is None

    async def _run(self, copy: Call, known: Known, took_s: float) -> None:
        counters = self._placement.counters
        way: Way = "pooled" if copy.pool else "native"
        outcome: Outcome = "gave_way"
        try:
            if copy.pool:
                self._watch(copy.pool)
                _, other_s = await self._runner.in_worker(copy, known)
            else:
                await asyncio.sleep(0)  # what was answered is sent first
                if not self._may_front(copy.bytes_in, known):
                    return
                _, other_s = await self._runner.in_front(copy, known)
            counters.comparison(copy.function, took_s, other_s)
            outcome = "ok"
        except (BridgeError, PoolError):
            outcome = "failed"
        finally:
            counters.copies[copy.function, way, outcome] += 1

    def _watch(self, pool: str) -> None:
        """Let a copy leave a pool where callers wait."""
        task = self._tasks[pool]

        def look() -> None:
            if task.done():
                return
            if self._placement.pools[pool].waiting:
                task.cancel()
            else:
                self._loop.call_later(LOOK_S, look)

        self._loop.call_later(LOOK_S, look)

    def close(self) -> None:
        """End the copies that run."""
        for task in self._tasks.values():
            task.cancel()
