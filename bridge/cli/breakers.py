"""`bridge breaker ...`: the circuit breakers of a running server, and orders to them. Owns nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode
from bridge.cli.messages import plain
from bridge.cli.output import Output, clean, duration, table
from bridge.v1 import pool_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable


def run_list(address: str, output: Output) -> int:
    """Show the breakers. Raises Failure."""
    with Connection(address) as connection:
        seen = connection.ask("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse)
    if output.machine:
        output.json({"breakers": [plain(one) for one in seen.breakers]})
    elif seen.breakers:
        columns = ("BREAKER", "STATE", "FOR", "FAILED", "REFUSED", "CAUSE")
        output.show(table(columns, [_row(one) for one in seen.breakers]))
    else:
        output.note("no call has met a circuit breaker yet")
    return ExitCode.OK


def run_open(key: str, seconds: float, cause: str, address: str, output: Output) -> int:
    """Open a breaker. Raises Failure."""
    request = pool_pb2.OpenBreakerRequest(key=key, cause=cause)
    request.duration.FromNanoseconds(int(seconds * 1e9))
    with Connection(address) as connection:
        breaker = connection.ask("PoolService/OpenBreaker", request, pool_pb2.OpenBreakerResponse).breaker
    if output.machine:
        output.json({"breaker": plain(breaker)})
    else:
        output.line(f"{clean(key)} refuses calls for {_left(breaker)}; to end that: bridge breaker close {clean(key)}")
    return ExitCode.OK


def run_close(key: str, address: str, output: Output) -> int:
    """Close a breaker. Raises Failure."""
    with Connection(address) as connection:
        request = pool_pb2.CloseBreakerRequest(key=key)
        closed = connection.ask("PoolService/CloseBreaker", request, pool_pb2.CloseBreakerResponse).closed
    if output.machine:
        output.json({"closed": closed})
    else:
        output.line(f"{clean(key)} {'lets all calls through again' if closed else 'was closed already'}")
    return ExitCode.OK


def news(breakers: Iterable[pool_pb2.Breaker]) -> list[str]:
    """Return a line for each breaker that is not closed."""
    return [
        f"breaker {clean(one.key)} is {state(one)}"
        + (f" for {_left(one)} more" if one.HasField("left") else "")
        + f": {clean(one.cause)}"
        for one in breakers
        if one.state != pool_pb2.BREAKER_STATE_CLOSED
    ]


def state(one: pool_pb2.Breaker) -> str:
    """Return a breaker's state in words."""
    return pool_pb2.BreakerState.Name(one.state).removeprefix("BREAKER_STATE_").lower().replace("_", " ")


def _row(one: pool_pb2.Breaker) -> tuple[str, ...]:
    left = _left(one) if one.HasField("left") else ""
    return (one.key, state(one), left, f"{one.failures} of {one.calls}", str(one.refused), one.cause)


def _left(one: pool_pb2.Breaker) -> str:
    return duration(one.left.ToTimedelta().total_seconds())
