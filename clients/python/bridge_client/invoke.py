"""Operations on functions, tools and health. Pure: each function makes the `Operation` of one RPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from bridge_client import convert, records
from bridge_client.errors import UnexpectedReply
from bridge_client.parts import Items
from bridge_client.v1 import common_pb2, health_pb2, invoke_pb2, tool_pb2
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


def list_tools(registration: str) -> Operation[tuple[records.ToolInfo, ...]]:
    """The tools that clients host."""
    return operation(
        "ToolService/ListTools",
        tool_pb2.ListToolsRequest(registration=registration),
        tool_pb2.ListToolsResponse,
        lambda reply: tuple(map(convert.tool_info, reply.tools)),
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
