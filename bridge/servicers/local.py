"""RPCs that the front answers by itself: parse, answer, serialize, behind the same boundary for errors as calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from bridge.errors import malformed
from bridge.interceptors.errors import guard_local

if TYPE_CHECKING:
    from bridge.server import Unary
    from bridge.telemetry import Telemetry

Request = TypeVar("Request", bound=Message)


def local(
    method: str, request_type: type[Request], answer: Callable[[Request], Message], telemetry: Telemetry
) -> Unary:
    """Return the handler of an RPC that `answer` answers from what the front knows."""
    return guard_local(method, lambda request: answer(_parse(request_type, request)).SerializeToString(), telemetry)


def _parse(request_type: type[Request], request: bytes) -> Request:
    try:
        return request_type.FromString(request)
    except DecodeError:
        raise malformed(request_type.DESCRIPTOR.name) from None
