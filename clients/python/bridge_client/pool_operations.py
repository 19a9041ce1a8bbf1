"""Operations on pools and on what goes on in a server. Pure: each function makes the `Operation` of one RPC."""

from __future__ import annotations

import datetime

from bridge_client import convert
from bridge_client.pool_records import Breaker, Pool, ServerStatus
from bridge_client.reading import read
from bridge_client.v1 import pool_pb2
from bridge_client.wire import Operation, operation


def list_pools() -> Operation[tuple[Pool, ...]]:
    """All pools."""
    return operation(
        "PoolService/List",
        pool_pb2.PoolServiceListRequest(),
        pool_pb2.PoolServiceListResponse,
        lambda reply: tuple(map(convert.pool, reply.pools)),
    )


def status() -> Operation[ServerStatus]:
    """The pools, open calls, breakers and fronts."""
    return operation(
        "PoolService/List",
        pool_pb2.PoolServiceListRequest(),
        pool_pb2.PoolServiceListResponse,
        lambda reply: read(ServerStatus, reply),
    )


def get_pool(name: str) -> Operation[Pool]:
    """One pool."""
    return operation(
        "PoolService/Get",
        pool_pb2.PoolServiceGetRequest(name=name),
        pool_pb2.PoolServiceGetResponse,
        lambda reply: convert.pool(reply.pool),
    )


def scale(name: str, size: int | None, min_size: int | None, max_size: int | None) -> Operation[Pool]:
    """Set how many workers a pool has."""
    return operation(
        "PoolService/Scale",
        pool_pb2.ScaleRequest(name=name, size=size, min_size=min_size, max_size=max_size),
        pool_pb2.ScaleResponse,
        lambda reply: convert.pool(reply.pool),
    )


def drain(name: str, timeout: float | None) -> Operation[bool]:
    """Let a pool take no more calls."""
    request = pool_pb2.DrainRequest(name=name)
    if timeout is not None:
        request.timeout.FromTimedelta(datetime.timedelta(seconds=timeout))
    return operation("PoolService/Drain", request, pool_pb2.DrainResponse, lambda reply: bool(reply.drained))


def resume(name: str) -> Operation[Pool]:
    """Let a pool take calls again."""
    return operation(
        "PoolService/Resume",
        pool_pb2.ResumeRequest(name=name),
        pool_pb2.ResumeResponse,
        lambda reply: convert.pool(reply.pool),
    )


def restart(name: str, worker: str) -> Operation[int]:
    """Replace workers."""
    return operation(
        "PoolService/Restart",
        pool_pb2.RestartRequest(name=name, worker=worker),
        pool_pb2.RestartResponse,
        lambda reply: int(reply.replaced),
    )


def cancel(request_id: str) -> Operation[int]:
    """End calls."""
    return operation(
        "PoolService/Cancel",
        pool_pb2.CancelRequest(request_id=request_id),
        pool_pb2.CancelResponse,
        lambda reply: int(reply.cancelled),
    )


def release_input(name: str, fingerprint: str) -> Operation[int]:
    """Let refused inputs run again."""
    return operation(
        "PoolService/ReleaseInput",
        pool_pb2.ReleaseInputRequest(name=name, fingerprint=fingerprint),
        pool_pb2.ReleaseInputResponse,
        lambda reply: int(reply.released),
    )


def open_breaker(key: str, duration: float | None, cause: str) -> Operation[Breaker]:
    """Let a breaker refuse calls."""
    request = pool_pb2.OpenBreakerRequest(key=key, cause=cause)
    if duration is not None:
        request.duration.FromTimedelta(datetime.timedelta(seconds=duration))
    return operation(
        "PoolService/OpenBreaker", request, pool_pb2.OpenBreakerResponse, lambda reply: read(Breaker, reply.breaker)
    )


def close_breaker(key: str) -> Operation[bool]:
    """Let a breaker let calls through."""
    return operation(
        "PoolService/CloseBreaker",
        pool_pb2.CloseBreakerRequest(key=key),
        pool_pb2.CloseBreakerResponse,
        lambda reply: bool(reply.closed),
    )
