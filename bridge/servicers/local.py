"""RPCs that the front answers by itself: parse, answer, serialize, behind the same boundary for errors as calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from bridge.call import Call, Identity, new_call
from bridge.errors import malformed
from bridge.interceptors.errors import guard_local, guard_streaming
from bridge.interceptors.identity import identify

if TYPE_CHECKING:
    from bridge.server import Answer as Served
    from bridge.server import Metadata, Streaming, Unary, Write
    from bridge.telemetry import Telemetry
    from bridge.upkeep.slow_readers import SlowReaders

Request = TypeVar("Request", bound=Message)


Answer = Callable[[Request], Message] | Callable[[Request], Awaitable[Message]]


def local(method: str, request_type: type[Request], answer: Answer[Request], telemetry: Telemetry) -> Unary:
    """Return the handler of an RPC that `answer` answers from what the front knows, at once or after a while."""

    async def run(request: bytes) -> bytes:
        reply = answer(_parse(request_type, request))
        return (reply if isinstance(reply, Message) else await reply).SerializeToString()

    return guard_local(method, run, telemetry)


def local_of_caller(
    method: str,
    request_type: type[Request],
    answer: Callable[[Request, Identity], Message] | Callable[[Request, Identity], Awaitable[Message]],
    telemetry: Telemetry,
) -> Unary:
    """Do as `local` for an RPC whose answer depends on who calls."""

    async def handle(request: bytes, metadata: Metadata, remaining_s: float | None) -> Served:
        def answer_caller(message: Request) -> Message | Awaitable[Message]:
            return answer(message, identify(metadata))

        return await local(method, request_type, answer_caller, telemetry)(request, metadata, remaining_s)  # type: ignore[arg-type]

    return handle


def local_of_tenant(
    method: str,
    request_type: type[Request],
    answer: Callable[[Request, str], Message] | Callable[[Request, str], Awaitable[Message]],
    telemetry: Telemetry,
) -> Unary:
    """Do as `local` for an RPC whose answer depends on the caller's tenant."""

    def of_tenant(request: Request, identity: Identity) -> Message | Awaitable[Message]:
        return answer(request, identity.tenant)

    return local_of_caller(method, request_type, of_tenant, telemetry)  # type: ignore[arg-type]


def local_stream(
    method: str,
    request_type: type[Request],
    answer: Callable[[Request, str], AsyncIterator[Message]],
    readers: SlowReaders,
    telemetry: Telemetry,
) -> Streaming:
    """Return the handler of an RPC that the front answers with a stream; `answer` gets the caller's tenant."""

    async def run(call: Call, write: Write) -> None:
        messages = answer(_parse(request_type, call.request), call.identity.tenant)
        async with aclosing(messages):  # type: ignore[type-var]
            with readers.stream(call.deadline) as writing:
                async for message in messages:
                    writing.since = asyncio.get_running_loop().time()
                    await write(message.SerializeToString())
                    writing.since = None

    def begin(method: str, request: bytes, metadata: Metadata, _remaining_s: float | None) -> Call:
        return new_call(method, identify(metadata), request, inf)

    return guard_streaming(method, begin, run, telemetry)


def _parse(request_type: type[Request], request: bytes) -> Request:
    try:
        return request_type.FromString(request)
    except DecodeError:
        raise malformed(request_type.DESCRIPTOR.name) from None
