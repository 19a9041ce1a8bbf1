"""RPCs that the front answers by itself: parse, answer, serialize, with the same boundary for errors as calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import DecodeError, Message

from bridge.errors import malformed
from bridge.interceptors.errors import refusal
from bridge.interceptors.identity import identify
from bridge.server import Answer, Metadata, Unary

if TYPE_CHECKING:
    from bridge.telemetry import Telemetry

Request = TypeVar("Request", bound=Message)


def local(request_type: type[Request], answer: Callable[[Request], Message], telemetry: Telemetry) -> Unary:
    """Return the handler of an RPC that `answer` answers from what the front knows."""

    async def handle(request: bytes, metadata: Metadata, _remaining_s: float | None) -> Answer:
        request_id = ""
        try:
            request_id = identify(metadata).request_id
            return Answer(answer(_parse(request_type, request)).SerializeToString())
        except BaseException as error:  # noqa: BLE001 - handed whole to the one boundary
            return refusal(error, None, request_id, telemetry)

    return handle


def _parse(request_type: type[Request], request: bytes) -> Request:
    try:
        return request_type.FromString(request)
    except DecodeError:
        raise malformed(request_type.DESCRIPTOR.name) from None
