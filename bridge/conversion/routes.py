"""From the records of routes and breakers to the API's messages: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.routing.breakers import BreakerSnapshot, State
from bridge.v1 import common_pb2, pool_pb2

if TYPE_CHECKING:
    from bridge.routing.routes import Alternative, Route


_STATES = {
    State.CLOSED: pool_pb2.BREAKER_STATE_CLOSED,
    State.OPEN: pool_pb2.BREAKER_STATE_OPEN,
    State.HALF_OPEN: pool_pb2.BREAKER_STATE_HALF_OPEN,
}


def breaker_message(one: BreakerSnapshot) -> pool_pb2.Breaker:
    """Describe a circuit breaker."""
    message = pool_pb2.Breaker(
        key=one.key,
        state=_STATES[one.state],
        cause=one.cause,
        calls=one.calls,
        failures=one.failures,
        refused=one.refused,
    )
    if one.state is State.OPEN:
        message.left.FromNanoseconds(int(one.remaining_s * 1e9))
    return message


def route_info(route: Route) -> common_pb2.RouteInfo:
    """Describe a route."""
    config = route.config
    return common_pb2.RouteInfo(
        name=route.name,
        choose=config.choose,
        alternatives=[_alternative(one) for one in route.alternatives],
        fallback=[one.label for one in route.fallback],
        attempts=1 if config.retry is None else config.retry.attempts,
        hedged=config.hedge is not None,
    )


def _alternative(one: Alternative) -> common_pb2.RouteAlternative:
    return common_pb2.RouteAlternative(
        label=one.label,
        function=one.function,
        pool="" if one.spec is None else one.spec.pool or "",
        model=one.model,
        weight=one.weight,
        shadow=one.shadow,
    )
