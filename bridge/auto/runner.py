"""Calls of functions that are placed by measurement: decided, run, and measured themselves.

`AutoPlacement` decides and owns the figures; `AutoRunner` has a call run by the runner of its way and takes in how long
that took. Functions that declare where they run never come here.
"""

from __future__ import annotations

import logging
import time
from contextlib import aclosing
from random import random
from typing import TYPE_CHECKING

from bridge.auto import choice as auto_choice
from bridge.auto.choice import Why
from bridge.auto.copies import Copies
from bridge.auto.counters import AutoCounters
from bridge.auto.figures import Figures
from bridge.errors import BridgeError
from bridge.receipts import receipts
from bridge.routing.router import Measured
from bridge.telemetry import log
from pool.errors import WorkerLost, WorkerMemoryLimit, WorkerProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from bridge.auto.figures import Known
    from bridge.call import Call
    from bridge.native import NativeRunner
    from bridge.pooled import PooledRunner
    from bridge.routing.router import NativeLimits
    from bridge.upkeep.front_load import FrontLoad
    from handlers.contract import FunctionSpec
    from pool.pool import Pool

WAIT_WEIGHT = 0.02
"""Of one call's wait, in how far predicted waits are corrected by real ones."""
WAIT_RANGE = (0.1, 10.0)
DEATHS = (WorkerLost, WorkerProtocol, WorkerMemoryLimit)
"""How a worker dies of a call."""


class Waits:
    """How real waits for a worker compare with predicted ones, by pool."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def factor(self, pool: str) -> float:
        """Return by what a predicted wait is to be multiplied."""
        real, predicted = self._sums.get(pool, (0.0, 0.0))
        return min(WAIT_RANGE[1], max(WAIT_RANGE[0], real / predicted)) if predicted > 0 else 1.0

    def learn(self, pool: str, predicted_s: float, real_s: float) -> None:
        """Take in a wait, and what the pool had predicted for it."""
        real, predicted = self._sums.get(pool, (predicted_s, predicted_s))
        self._sums[pool] = (
            real + WAIT_WEIGHT * (real_s - real),
            predicted + WAIT_WEIGHT * (predicted_s - predicted),
        )


class AutoPlacement:
    """Decides for one front."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        limits: NativeLimits,
        load: FrontLoad,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pools = pools
        self.waits = Waits()
        self.counters = AutoCounters()
        self.load = load
        self.now = now
        self.figures = Figures(now)
        self.renew(limits)

    def renew(self, limits: NativeLimits) -> None:
        """Take over limits, and forget what was measured of code that may be another now."""
        self.limits = limits
        self.figures.forget()

    def known(self, spec: FunctionSpec, request_bytes: int) -> Known:
        """Return what is known of calls of such a size."""
        return self.figures.known(spec.name, spec.pool or "", request_bytes)

    def wait_s(self, pool: str) -> float:
        """Return how long a call that came now would wait for a worker."""
        found = self.pools.get(pool)
        wait_s = 0.0 if found is None else found.wait_s
        return wait_s * self.waits.factor(pool) if wait_s else 0.0

    def decide(self, spec: FunctionSpec, request_bytes: int, running: int) -> Measured:
        """Return where a call goes, with the reason in words."""
        load, pool = self.load, spec.pool or ""
        load.touch()
        known = self.known(spec, request_bytes)
        wait_s = self.wait_s(pool)
        why = auto_choice.choose(known, wait_s, load, self.limits, request_bytes, running)
        decision = known.decisions.get(why)
        if decision is None:
            reason = in_words(why, known, wait_s, load, self.limits, request_bytes)
            decision = known.decisions[why] = Measured("" if why is Why.NATIVE_FASTER else pool, reason)
        self.counters.decisions[spec.name, "pooled" if decision.pool else "native", why] += 1
        return decision

    def keep_out(self, call: Call) -> None:
        """Keep a function out of the front for good: a worker has died in a call of it, as the front might."""
        if call.function not in self.figures.deadly:
            self.figures.deadly.add(call.function)
            message = f"'{call.function}' does not run in the front any more, until a reload: a worker died in it"
            log(logging.WARNING, message, function=call.function, worker=call.worker, request=call.identity.request_id)


def in_words(
    why: Why, known: Known, wait_s: float, load: auto_choice.Load, limits: NativeLimits, request_bytes: int
) -> str:
    """Return the reason of a decision, with its numbers."""
    pooled_s = wait_s + known.service_s + known.transfer_s
    if why is Why.NATIVE_FASTER:
        return f"auto: native {shown(known.native_s)} against pooled {shown(pooled_s)}"
    if why is Why.POOLED_FASTER:
        busy = f", the front is {load.busy:.0%} busy" if known.native_s < pooled_s else ""
        return f"auto: pooled {shown(pooled_s)} against native {shown(known.native_s)}{busy}"
    return f"auto: pooled, {because(why, known, load, limits, request_bytes)}"


def because(why: Why, known: Known, load: auto_choice.Load, limits: NativeLimits, request_bytes: int) -> str:
    """Return why a call may not run in the front."""
    if why is Why.UNTIMED:
        return "calls of this size have not been timed yet"
    if why is Why.OVER_LIMIT:
        return f"native p99 of {shown(known.native_p99_s)} is over {shown(limits.max_p99_s)}"
    if why is Why.OVERRAN:
        return f"a native call of this size took over {shown(limits.max_p99_s)}"
    if why is Why.TOO_LARGE:
        return f"its request of {request_bytes} bytes is over {limits.max_request_bytes}"
    if why is Why.DEADLY:
        return "a worker has died in a call of it"
    if why is Why.RUNNING:
        return f"{limits.concurrency} native calls run already"
    return f"the front is behind by {shown(max(load.lag_s, load.turn_s))}"


def shown(seconds: float) -> str:
    """Return a time with two digits that count: 0.12 ms, 34 ms, 1.2 s."""
    if seconds < 0.0995:
        return f"{seconds * 1e3:.2g} ms"
    return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"


class AutoRunner:
    """Runs calls that `AutoPlacement` has placed; an empty pool in the call's record stands for the front."""

    def __init__(
        self,
        placement: AutoPlacement,
        native: NativeRunner,
        pooled: PooledRunner,
        chance: Callable[[], float] = random,
    ) -> None:
        self._placement = placement
        self._native = native
        self._pooled = pooled
        self._chance = chance
        self.copies = Copies(placement, self, lambda: native.running)

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises as the runner of its way does."""
        assert call.spec is not None
        placement = self._placement
        known = placement.known(call.spec, call.bytes_in)
        if call.pool:
            body, took_s = await self.in_worker(call, known)
        else:
            body, took_s = await self.in_front(call, known)
        if self._chance() < placement.limits.copies:
            self.copies.consider(call, known, took_s)
        return body

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Answer with a stream of one item: in a worker, since streams are not measured."""
        assert call.spec is not None
        if not call.pool:
            call.pool, call.reason = call.spec.pool or "", "auto: streams run in a worker"
        try:
            async with aclosing(self._pooled.stream(call)) as batches:
                async for messages in batches:
                    yield messages
        except DEATHS:
            self._placement.keep_out(call)
            raise

    def cancel(self, call: Call) -> bool:
        """End a call with CANCELLED_BY_OPERATOR; return whether it had not ended yet."""
        return (self._pooled if call.route == receipts.POOLED else self._native).cancel(call)

    def turn_away(self, call: Call) -> None:
        """End a call with SHUTTING_DOWN where it waits for a worker."""
        self._pooled.turn_away(call)

    async def in_front(self, call: Call, known: Known) -> tuple[bytes, float]:
        """Run a call in the front; return its answer, and how long it took."""
        predicted_s = known.native_s
        try:
            body = await self._native.run(call)
        except BridgeError:
            self._ran_native(call, known, predicted_s)
            raise
        self._ran_native(call, known, predicted_s)
        return body, call.worker_ns / 1e9

    def _ran_native(self, call: Call, known: Known, predicted_s: float) -> None:
        placement, seconds = self._placement, call.worker_ns / 1e9
        placement.counters.predicted(call.function, "native", predicted_s, seconds)
        if call.spec is not None and not call.spec.is_async:
            placement.load.ran(seconds)
        seconds = call.meta.own_s or seconds
        placement.figures.ran_native(call.function, call.bytes_in, seconds)
        if seconds > placement.limits.max_p99_s:
            placement.counters.overruns[call.function] += 1
            placement.figures.overran(known)

    async def in_worker(self, call: Call, known: Known) -> tuple[bytes, float]:
        """Run a call in a worker; return its answer, and how long it took in all."""
        placement = self._placement
        pool = placement.pools.get(call.pool)
        raw_wait_s = 0.0 if pool is None else pool.wait_s
        predicted_s = raw_wait_s * placement.waits.factor(call.pool) + known.service_s + known.transfer_s
        began = time.perf_counter()
        try:
            body = await self._pooled.run(call)
        except BaseException as error:
            self._failed_in_worker(call, known, error)
            raise
        took_s = time.perf_counter() - began
        if call.retried:
            placement.keep_out(call)
            return body, took_s
        service_s = call.meta.own_s or call.worker_ns / 1e9
        queue_s = max(0.0, (call.leased_at or began) - began)
        placement.figures.ran_pooled(call.function, call.pool, call.bytes_in, service_s, took_s - queue_s - service_s)
        if raw_wait_s:
            placement.waits.learn(call.pool, raw_wait_s, queue_s)
        if known.timed:
            placement.counters.predicted(call.function, "pooled", predicted_s, took_s)
        return body, took_s

    def _failed_in_worker(self, call: Call, known: Known, error: BaseException) -> None:
        """Learn from a call that has failed: how long it had run at least, and whether its worker has died in it."""
        placement = self._placement
        if call.retried or isinstance(error, DEATHS):
            placement.keep_out(call)
        elif call.leased_at is not None:
            ran_s = call.meta.own_s or call.worker_ns / 1e9 or time.perf_counter() - call.leased_at
            if call.worker_ns or ran_s > known.service_s:
                placement.figures.ran_pooled(call.function, call.pool, call.bytes_in, ran_s, known.transfer_s)
