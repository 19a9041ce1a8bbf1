"""Operations on functions, pools, sessions and health. Pure: each function makes the `Operation` of one RPC."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from bridge_client import convert, records
from bridge_client.errors import UnexpectedReply
from bridge_client.parts import Items
from bridge_client.v1 import common_pb2, health_pb2, invoke_pb2, pool_pb2, session_pb2
from bridge_client.values import decode_value, encode_arguments
from bridge_client.wire import Operation, operation, reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ItemT = TypeVar("ItemT")

PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[ItemT]):
    """A page of a list and where to go on; an empty token is the end."""

    items: tuple[ItemT, ...]
    next_token: str


def call(function: str, arguments: Mapping[str, Any]) -> Operation[Any]:
    """Call a function with keyword arguments."""
    request = invoke_pb2.CallRequest(function=function, arguments=encode_arguments(arguments))
    return operation("InvokeService/Call", request, invoke_pb2.CallResponse, lambda reply: decode_value(reply.result))


def call_raw(function: str, data: bytes) -> Operation[bytes]:
    """Call a function of bytes to bytes."""
    request = invoke_pb2.CallRequest(function=function, arguments=common_pb2.Payload(raw=data))

    def read(reply: invoke_pb2.CallResponse) -> bytes:
        if reply.result.WhichOneof("body") == "raw":
            return reply.result.raw
        value = decode_value(reply.result)
        if isinstance(value, bytes):
            return value
        msg = f"expected bytes from {function!r}, got {type(value).__name__}; use call() for other results"
        raise UnexpectedReply(msg)

    return operation("InvokeService/Call", request, invoke_pb2.CallResponse, read)


def stream(function: str, arguments: Mapping[str, Any], chunk_bytes: int | None = None) -> Operation[Iterator[Any]]:
    """Call a function whose results come one by one; a reply has one or several, or a part of a large one."""
    request = invoke_pb2.StreamCallRequest(
        function=function, arguments=encode_arguments(arguments), aggregate=True, chunk_bytes=chunk_bytes or 0
    )
    return operation("InvokeService/StreamCall", request, invoke_pb2.StreamCallResponse, Items().read)


def list_functions(prefix: str, page_token: str) -> Operation[Page[records.FunctionInfo]]:
    """One page of the catalogue."""
    request = invoke_pb2.ListFunctionsRequest(prefix=prefix, page_size=PAGE_SIZE, page_token=page_token)

    def read(reply: invoke_pb2.ListFunctionsResponse) -> Page[records.FunctionInfo]:
        return Page(items=tuple(map(convert.function_info, reply.functions)), next_token=reply.next_page_token)

    return operation("InvokeService/ListFunctions", request, invoke_pb2.ListFunctionsResponse, read)


def describe_function(function: str) -> Operation[records.FunctionInfo]:
    """One function with its schemas."""
    return operation(
        "InvokeService/DescribeFunction",
        invoke_pb2.DescribeFunctionRequest(function=function),
        invoke_pb2.DescribeFunctionResponse,
        lambda reply: convert.function_info(reply.function),
    )


def list_pools() -> Operation[tuple[records.Pool, ...]]:
    """All pools."""
    return operation(
        "PoolService/List",
        pool_pb2.PoolServiceListRequest(),
        pool_pb2.PoolServiceListResponse,
        lambda reply: tuple(map(convert.pool, reply.pools)),
    )


def get_pool(name: str) -> Operation[records.Pool]:
    """One pool."""
    return operation(
        "PoolService/Get",
        pool_pb2.PoolServiceGetRequest(name=name),
        pool_pb2.PoolServiceGetResponse,
        lambda reply: convert.pool(reply.pool),
    )


def open_session(session_id: str | None, ttl: float | None) -> Operation[records.SessionInfo]:
    """Open a session; the server makes an id where none is given."""
    request = session_pb2.OpenRequest(id=session_id or "")
    if ttl is not None:
        if not 0 < ttl < datetime.timedelta.max.total_seconds():
            msg = f"expected a ttl of more than 0 seconds, or None for the server's default, got {ttl!r}"
            raise ValueError(msg)
        request.ttl.FromTimedelta(datetime.timedelta(seconds=ttl))
    return operation(
        "SessionService/Open",
        request,
        session_pb2.OpenResponse,
        lambda reply: convert.session_info(reply.session),
    )


def get_session(session_id: str) -> Operation[records.SessionInfo]:
    """A session."""
    return operation(
        "SessionService/Get",
        session_pb2.SessionServiceGetRequest(id=session_id),
        session_pb2.SessionServiceGetResponse,
        lambda reply: convert.session_info(reply.session),
    )


def close_session(session_id: str) -> Operation[None]:
    """End a session."""
    return operation(
        "SessionService/Close", session_pb2.CloseRequest(id=session_id), session_pb2.CloseResponse, lambda _: None
    )


def check_health(service: str) -> Operation[records.HealthStatus]:
    """The health of the server, a service or a pool, by the standard health protocol."""

    def read(reply: health_pb2.HealthCheckResponse) -> records.HealthStatus:
        try:
            name = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
        except ValueError:
            name = "UNKNOWN"
        return cast("records.HealthStatus", name)

    return Operation(
        path="/grpc.health.v1.Health/Check",
        request=health_pb2.HealthCheckRequest(service=service),
        read=reader(health_pb2.HealthCheckResponse, read),
    )
