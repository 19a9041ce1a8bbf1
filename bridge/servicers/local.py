"""RPCs that the front answers by itself: parse, answer, serialize, behind the same boundary for errors as calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from bridge.errors import malformed
from bridge.interceptors.errors import guard_local

if TYPE_CHECKING:
    from bridge.server import Unary
    from bridge.telemetry import Telemetry

Request = TypeVar("Request", bound=Message)


Answer = Callable[[Request], Message] | Callable[[Request], Awaitable[Message]]


def local(method: str, request_type: type[Request], answer: Answer[Request], telemetry: Telemetry) -> Unary:
    """Return the handler of an RPC that `answer` answers from what the front knows, at once or after a while."""

    async def run(request: bytes) -> bytes:
        reply = answer(_parse(request_type, request))
        return (reply if isinstance(reply, Message) else await reply).SerializeToString()

    return guard_local(method, run, telemetry)


def _parse(request_type: type[Request], request: bytes) -> Request:
    try:
        return request_type.FromString(request)
    except DecodeError:
        raise malformed(request_type.DESCRIPTOR.name) from None
