"""Copies of calls for alternatives that are only watched: run after the caller has its answer, compared, thrown away.

Owns the copies that run. They are few at a time, of low priority, and sent only where a worker is idle, so that they
delay nobody; what they use is no caller's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from bridge.attempts.record import copy_of, cost_usd
from bridge.errors import BridgeError
from handlers.errors import HandlerError
from pool.calls import LOW
from pool.errors import CancelledByOperator, DeadlineExceeded, DeadlineUnreachable, PoolError, QueueFull, Stopped

if TYPE_CHECKING:
    import random

    from bridge.attempts.counters import RouteCounters
    from bridge.call import Call
    from bridge.pooled import PooledRunner
    from bridge.routing.routes import Alternative, Route
    from bridge.routing.stats import RouteStats
    from handlers.contract import FunctionSpec
    from pool.pool import Pool

MOST = 8
"""Copies that run at a time."""
LARGEST_BYTES = 1 << 20
"""Requests beyond this are not copied: each is kept until its copy has run."""
LONGEST_S = 60.0

_NOBODY = (QueueFull, DeadlineUnreachable, Stopped, CancelledByOperator)


class Answer:
    """What a caller got, as far as a copy's answer is compared with it."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)

    def add(self, message: bytes) -> None:
        """Take in a message."""
        self._hash.update(len(message).to_bytes(8, "big"))
        self._hash.update(message)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answer) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]


class Shadows:
    """Runs copies of calls."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        pooled: PooledRunner,
        stats: RouteStats,
        counters: RouteCounters,
        chance: random.Random,
    ) -> None:
        self._pools = pools
        self._pooled = pooled
        self._stats = stats
        self._counters = counters
        self._chance = chance
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()

    def wanted(self, call: Call, route: Route) -> list[Alternative]:
        """Return who is to get a copy of a call, by chance. Calls of sessions are not copied: they leave traces."""
        if call.session is not None or call.bytes_in > LARGEST_BYTES or self._closed:
            return []
        return [one for one in route.shadows if self._chance.random() < one.shadow]

    def send(
        self,
        call: Call,
        route: Route,
        one: Alternative,
        spec: FunctionSpec,
        answer: Answer,
        *,
        streams: bool,
    ) -> None:
        """Run a copy of a call that has been answered, where that delays nobody."""
        pool = self._pools.get(str(spec.pool))
        if self._closed or len(self._running) >= MOST or pool is None or pool.saturated:
            self._counters.copies[route.name, one.label, "dropped"] += 1
            return
        identity = msgspec.structs.replace(
            call.identity,
            request_id=f"{call.identity.request_id}-copy",
            session_id="",
            session_mode=None,
            session_ordered=None,
            priority=LOW,
            budget=None,
        )
        deadline = self._loop.time() + LONGEST_S
        copy = copy_of(call, one, spec, identity, deadline)
        copy.pool, copy.reason = str(spec.pool), "a copy"
        task = self._loop.create_task(self._run(route, one, copy, answer, streams=streams))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, route: Route, one: Alternative, copy: Call, expected: Answer, *, streams: bool) -> None:
        answer, started, ended = Answer(), time.perf_counter(), ""
        try:
            if streams:
                async for messages in self._pooled.stream(copy):
                    for message in messages:
                        answer.add(message)
            else:
                answer.add(await self._pooled.run(copy))
            ended = "equal" if answer == expected else "different"
        except _NOBODY:
            ended = "dropped"
        except DeadlineExceeded as error:
            ended = "dropped" if error.where == "IN_QUEUE" else "failed"
        except (BridgeError, HandlerError, PoolError):
            ended = "failed"
        finally:
            self._counters.copies[route.name, one.label, ended or "dropped"] += 1
        if ended != "dropped":
            seconds = time.perf_counter() - started
            cost = cost_usd(copy.meta)
            self._stats.observe(route.name, one.label, seconds=seconds, ok=ended != "failed", cost_usd=cost)

    def close(self) -> None:
        """Run no more, and end those that run."""
        self._closed = True
        for task in self._running:
            task.cancel()
