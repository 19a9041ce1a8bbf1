"""InvokeService.Explain: where a call would go, every way that it might, and the figures behind that. Runs nothing.

Owns nothing: it reads what the router, the placement by measurement and the pools know. `Explainer.of_function` is for
one function; an answer may have the alternatives of several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.attempts.work import sticky_key
from bridge.auto import choice as auto_choice
from bridge.auto.choice import Why
from bridge.auto.figures import LEAST, NATIVE, SOME, best_class, way_of
from bridge.auto.runner import because, in_words
from bridge.conversion import calls as convert
from bridge.errors import BridgeError
from bridge.routing.explain_routes import RouteExplainer
from bridge.routing.router import Native, in_a_worker
from bridge.routing.routes import RoutedSpec
from bridge.routing.stats import class_bounds
from bridge.routing.table import MODEL_FUNCTIONS
from bridge.v1 import common_pb2
from bridge.v1 import invoke_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.auto.figures import Known
    from bridge.call import Identity
    from bridge.routing.parts import RouteParts
    from bridge.routing.router import Decision
    from bridge.routing.stats import Fading
    from bridge.runners import Runners
    from bridge.sessions.sessions import Sessions
    from handlers.contract import FunctionSpec
    from pool.pool import Pool

Ways = tuple[str, list[pb.Alternative]]
"""A decision's reason, and the alternatives."""


class Explainer:
    """Explains the decisions of one front. `find` returns a function by its name, or raises why it is not there."""

    def __init__(
        self,
        find: Callable[[str], FunctionSpec],
        runners: Runners,
        pools: Mapping[str, Pool],
        sessions: Sessions,
        routes: RouteParts,
    ) -> None:
        self._routes = routes
        self._of_routes = RouteExplainer(runners.attempts.chooser, routes.stats, routes.breakers)
        self._find = find
        self._runners = runners
        self._pools = pools
        self._sessions = sessions

    def explain(self, request: pb.ExplainRequest, identity: Identity) -> pb.ExplainResponse:
        """Answer InvokeService.Explain. Raises Unknown, ExtraMissing or POOL_UNAVAILABLE, as a call would."""
        spec, size = self._spec(request.function), request_bytes(request)
        if isinstance(spec, RoutedSpec):
            reason, alternatives, spec = self._routed(request.function, spec, size, identity)
        else:
            reason, alternatives = self.of_function(spec, size)
        for alternative in alternatives:
            alternative.worker = self._worker(identity, alternative.pool)
        answer = pb.ExplainResponse(
            function=request.function, request_bytes=size, reason=reason, alternatives=alternatives
        )
        answer.placement = convert.PLACEMENTS[spec.placement]
        if spec.placement != "pooled":
            answer.front.CopyFrom(self._front_load())
        return answer

    def _spec(self, name: str) -> FunctionSpec:
        """Return the function of a name; of a model that has a route, what its calls call."""
        route = self._routes.table.routes.get(name)
        if route is not None and route.config.of_models:
            return self._find(MODEL_FUNCTIONS[0])
        return self._find(name)

    def _routed(
        self, name: str, spec: RoutedSpec, size: int, identity: Identity
    ) -> tuple[str, list[pb.Alternative], FunctionSpec]:
        """Explain a name that has a route; the function whose calls they are comes with it."""
        own = spec.original
        route = spec.by_model.get(name) or spec.route
        if route is None:
            assert own is not None
            return *self.of_function(own, size), own
        sticky = sticky_key(route, identity)
        ways = self._of_routes.explain(route, own, sticky, lambda one: self.of_function(one, size)[1])
        return *ways, own or spec

    def of_function(self, spec: FunctionSpec, size: int) -> Ways:
        """Return why a call of a function with a request of `size` bytes goes where it goes, and its ways."""
        if spec.placement == "auto":
            return self._measured(spec, size)
        if spec.placement == "pooled":
            decision: Decision = in_a_worker(spec)  # the router would keep it by name, also that of an alternative
        else:
            decision = self._runners.router.decide(spec, size, self._runners.native.running)
        there = self._in_pool(spec)
        if spec.placement == "pooled":
            there.chosen = True
            return decision.reason, [there]
        here = pb.Alternative(function=spec.name, route=common_pb2.ROUTE_NATIVE)
        if isinstance(decision, Native):
            here.chosen, there.excluded = True, "it is declared native, and there is room for it in the front"
            return decision.reason, [here, there]
        here.excluded, there.chosen = decision.reason.removeprefix("declared native, but "), True
        return decision.reason, [there, here]

    def _in_pool(self, spec: FunctionSpec) -> pb.Alternative:
        found = pb.Alternative(function=spec.name, route=common_pb2.ROUTE_POOLED, pool=spec.pool or "")
        if (pool := self._pools.get(found.pool)) is not None:
            found.load.workers, found.load.waiting = pool.ready_workers, pool.waiting
            found.load.wait_us = _us(self._runners.placement.wait_s(found.pool))
        return found

    def _measured(self, spec: FunctionSpec, size: int) -> Ways:
        placement, running = self._runners.placement, self._runners.native.running
        load, limits, pool = placement.load, placement.limits, spec.pool or ""
        load.touch()
        known, wait_s = placement.known(spec, size), placement.wait_s(pool)
        why = auto_choice.choose(known, wait_s, load, limits, size, running)
        here = self._front_way(spec, known)
        there = self._pool_way(spec, known, wait_s)
        native = why is Why.NATIVE_FASTER
        here.chosen, there.chosen = native, not native
        if not native and why is not Why.POOLED_FASTER:
            here.excluded = because(why, known, load, limits, size)
        reason = in_words(why, known, wait_s, load, limits, size)
        return reason, [here, there] if native else [there, here]

    def _front_way(self, spec: FunctionSpec, known: Known) -> pb.Alternative:
        placement = self._runners.placement
        found = pb.Alternative(function=spec.name, route=common_pb2.ROUTE_NATIVE)
        if known.timed:
            found.prediction.CopyFrom(
                pb.Prediction(
                    total_us=_us(known.native_s),
                    service_us=_us(known.native_s),
                    burden_us=_us(auto_choice.native_burden_s(known, placement.load)),
                )
            )
        self._add_times(found.service, placement.figures.times.sizes(spec.name, NATIVE), known.kind)
        return found

    def _pool_way(self, spec: FunctionSpec, known: Known, wait_s: float) -> pb.Alternative:
        placement, found = self._runners.placement, self._in_pool(spec)
        if known.service_s:
            found.prediction.CopyFrom(
                pb.Prediction(
                    total_us=_us(wait_s + known.service_s + known.transfer_s),
                    queue_us=_us(wait_s),
                    transfer_us=_us(known.transfer_s),
                    service_us=_us(known.service_s),
                    burden_us=_us(auto_choice.pooled_burden_s(known, placement.load, wait_s)),
                )
            )
        way = way_of(found.pool)
        self._add_times(found.service, placement.figures.times.sizes(spec.name, way), known.kind)
        self._add_times(found.transfer, placement.figures.transfers.sizes(spec.name, way), known.kind)
        return found

    def _add_times(self, into: pb.MeasuredTimes, sizes: Mapping[int, Fading], kind: int) -> None:
        """Write the times that count for a size: its own, or those of the next larger one that has enough."""
        now = self._runners.placement.now()
        found = best_class(sizes, kind, LEAST, now) or best_class(sizes, kind, SOME, now)
        if found is None:
            return
        times = sizes[found]
        p50, p99 = times.quantiles((0.5, 0.99))
        into.samples = times.samples(now)
        into.mean_us, into.p50_us, into.p99_us = _us(times.mean or 0.0), _us(p50), _us(p99)
        into.min_request_bytes, into.max_request_bytes = class_bounds(found)

    def _front_load(self) -> pb.FrontLoad:
        placement = self._runners.placement
        load, limits = placement.load, placement.limits
        load.touch()
        return pb.FrontLoad(
            busy=load.busy,
            lag_us=_us(load.lag_s),
            native_running=self._runners.native.running,
            native_limit=limits.concurrency,
            max_request_bytes=limits.max_request_bytes,
            max_p99_us=_us(limits.max_p99_s),
        )

    def _worker(self, identity: Identity, pool: str) -> str:
        """Return the worker that the call's session has in a pool."""
        if not identity.session_id or not pool:
            return ""
        try:
            session = self._sessions.get(identity.session_id, identity.tenant)
        except BridgeError:
            return ""  # the call would open it
        return session.workers.get(pool, "")


def request_bytes(request: pb.ExplainRequest) -> int:
    """Return the size of the request message of the call that is asked about."""
    if not request.HasField("arguments") and request.request_bytes:
        return request.request_bytes
    return pb.CallRequest(function=request.function, arguments=request.arguments).ByteSize()


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
