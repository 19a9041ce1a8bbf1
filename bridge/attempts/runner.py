"""Calls of names that have a route: one attempt after another, or beside another, until one has the answer.

`AttemptsRunner` stands behind the dispatcher for those names alone. Each attempt is a call of its own, which goes the
way that its function's calls go. Owns the attempts that run, and what is left of the routes' budgets.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from bridge.attempts.choice import Chooser
from bridge.attempts.counters import RouteCounters
from bridge.attempts.plan import Budgets, Means
from bridge.attempts.shadow import Shadows
from bridge.attempts.work import Attempts
from bridge.envelope import first_name
from bridge.nested import HostedRunner
from bridge.routing.router import in_a_worker
from bridge.routing.routes import Route, RoutedSpec
from bridge.v1 import model_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from google.protobuf.message import Message

    from bridge.attempts.choice import BoundsChanged
    from bridge.call import Call
    from bridge.dispatch import Runner
    from bridge.native import NativeRunner
    from bridge.pooled import PooledRunner
    from bridge.routing.breakers import Breakers
    from bridge.routing.router import Decision, Router
    from bridge.routing.stats import RouteStats
    from pool.pool import Pool

_REQUESTS: Mapping[str, type[Message]] = {
    "ModelService/Generate": model_pb2.GenerateRequest,
    "ModelService/StreamGenerate": model_pb2.StreamGenerateRequest,
    "ModelService/Extract": model_pb2.ExtractRequest,
    "ModelService/StreamExtract": model_pb2.StreamExtractRequest,
    "ModelService/GenerateBatch": model_pb2.GenerateBatchRequest,
    "ModelService/StreamGenerateBatch": model_pb2.StreamGenerateBatchRequest,
    "ModelService/ExtractBatch": model_pb2.ExtractBatchRequest,
    "ModelService/GenerateImages": model_pb2.GenerateImagesRequest,
}
"""The RPCs whose requests name a language model, in field 1."""
DEFAULT_MODEL = "default"
"""What an empty name stands for."""


class AttemptsRunner:
    """Runs calls of functions whose catalogue entry is a `RoutedSpec`. `router` decides where attempts run."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        native: NativeRunner,
        pooled: PooledRunner,
        router: Router,
        stats: RouteStats,
        breakers: Breakers,
        listener: Callable[[BoundsChanged], None],
    ) -> None:
        chance = random.Random()  # noqa: S311  chances are no secrets
        self.loop = asyncio.get_running_loop()
        self.counters = RouteCounters()
        self.stats = stats
        self.breakers = breakers
        self.chooser = Chooser(stats, breakers, self.loop.time, listener, chance)
        self.means = Means(chooser=self.chooser, breakers=breakers, stats=stats, counters=self.counters, chance=chance)
        self.shadows = Shadows(pools, pooled, stats, self.counters, chance)
        self.late: set[asyncio.Task[bytes]] = set()
        """Attempts that lost against another and are ending."""
        self._native = native
        self._router = router
        self._runners: Mapping[type, Runner] = {}
        self._budgets: dict[str, tuple[Route, Budgets]] = {}

    def bind(self, runners: Mapping[type, Runner]) -> None:
        """Say who runs calls of each kind of decision."""
        self._runners = runners

    def forget(self, task: asyncio.Task[bytes]) -> None:
        """Take note that an attempt has ended for which nobody waits."""
        self.late.discard(task)
        if not task.cancelled():
            task.exception()  # so that asyncio does not complain

    def renew(self) -> None:
        """Forget what was worked out for other routes."""
        self._budgets.clear()
        self.chooser.renew()

    def budgets(self, route: Route) -> Budgets:
        """Return what is left of a route's retries and hedges."""
        known = self._budgets.get(route.name)
        if known is None or known[0] is not route:
            known = self._budgets[route.name] = (route, Budgets(route, self.loop.time))
        return known[1]

    def place(self, call: Call) -> Runner:
        """Decide where an attempt runs."""
        spec = call.spec
        assert spec is not None
        if spec.placement == "pooled":
            decision: Decision = in_a_worker(spec)  # what the router keeps by name holds for one pool alone
        else:
            decision = self._router.decide(spec, call.bytes_in, self._native.running)
        call.reason = decision.reason
        call.pool = decision.pool
        if call.nested is not None and call.nested.host(call.pool) is not None:
            return self._runners[HostedRunner]
        return self._runners[type(decision)]

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises what its last attempt raised that had begun."""
        route = self._route(call)
        if route is None:
            return await self._own_way(call).run(call)
        attempts = call.job = Attempts(self, call, route)
        try:
            return await attempts.run()
        finally:
            attempts.close()
            call.job = None

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call; once a message is sent there is no other attempt."""
        route = self._route(call)
        if route is None:
            async with aclosing(self._own_way(call).stream(call)) as batches:
                async for messages in batches:
                    yield messages
            return
        attempts = call.job = Attempts(self, call, route)
        try:
            async with aclosing(attempts.stream()) as batches:
                async for messages in batches:
                    yield messages
        finally:
            attempts.close()
            call.job = None

    @staticmethod
    def cancel(call: Call) -> bool:
        """End a call with all its attempts."""
        return isinstance(call.job, Attempts) and call.job.cancel()

    @staticmethod
    def turn_away(call: Call) -> None:
        """End with SHUTTING_DOWN what has not begun of a call."""
        if isinstance(call.job, Attempts):
            call.job.turn_away()

    def close(self) -> None:
        """Run no more copies of calls, and end those that run."""
        self.shadows.close()

    @staticmethod
    def _route(call: Call) -> Route | None:
        spec = call.spec
        assert isinstance(spec, RoutedSpec)
        if spec.by_model and (request := _REQUESTS.get(call.method)) is not None:
            model = first_name(call.request, request, "model") or DEFAULT_MODEL
            if (found := spec.by_model.get(model)) is not None:
                return found
        return spec.route

    def _own_way(self, call: Call) -> Runner:
        """Let a call go the way that it would go if its function had no route."""
        assert isinstance(call.spec, RoutedSpec)
        call.spec = call.spec.original
        return self.place(call)
