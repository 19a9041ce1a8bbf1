"""Functions that every server has: echo in its two placements, and the canary that proves a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from google.protobuf.message import DecodeError

from bridge.v1.invoke_pb2 import CallRequest, CallResponse, StreamCallRequest, StreamCallResponse
from handlers.context import CallContext
from handlers.contract import EntryOptions, FunctionSpec, Handler, PlacementName
from handlers.errors import BadInput

Envelope = TypeVar("Envelope", CallRequest, StreamCallRequest)
ANYTHING = "{}"
SMALL_BYTES = 4096


class Echo:
    """Returns its arguments as they came. The payload is not looked into, so any form and size goes."""

    def __init__(self, name: str, placement: PlacementName, doc: str) -> None:
        self.spec = FunctionSpec(
            name=name,
            kind="builtin",
            doc=doc,
            placement=placement,
            idempotent=True,
            arguments_schema=ANYTHING,
            result_schema=ANYTHING,
            example='{"text": "hello"}',
        )

    def call(self, _method: str, request: bytes, _context: CallContext) -> bytes:
        """Return the arguments as the result."""
        at = _arguments_at(request)
        if not at:
            return _echo(request)
        if len(request) < SMALL_BYTES:
            return _RESULT + request[at + 1 :]
        return b"".join((_RESULT, memoryview(request)[at + 1 :]))  # one copy instead of two

    def stream(self, _method: str, request: bytes, _context: CallContext) -> Iterator[bytes]:
        """Send the arguments as the only item."""
        yield StreamCallResponse(item=_parse(StreamCallRequest, request).arguments).SerializeToString()


_RESULT = b"\x0a"
"""The tag of a response's field 1."""


def _arguments_at(request: bytes) -> int:
    """Return where the tag of the arguments stands, in a request that is a short name and then its arguments, else 0.

    Most requests are; the payload, which may be large, is then copied once and not looked into.
    """
    size = len(request)
    if size < 2 or request[0] != 0x0A or request[1] >= 0x80:
        return 0
    at = 2 + request[1]
    if at + 1 >= size or request[at] != 0x12:
        return 0
    if (length := request[at + 1]) < 0x80:  # the usual short one
        return at if at + 2 + length == size else 0
    return at if _is_last(request, at + 1) else 0


def _is_last(request: bytes, at: int) -> bool:
    """Return whether the length that stands at `at` reaches to the end of the request."""
    length = shift = 0
    for index in range(at, min(at + 5, len(request))):
        length |= (request[index] & 0x7F) << shift
        if request[index] < 0x80:
            return index + 1 + length == len(request)
        shift += 7
    return False


def _echo(request: bytes) -> bytes:
    return CallResponse(result=_parse(CallRequest, request).arguments).SerializeToString()


def _parse(kind: type[Envelope], request: bytes) -> Envelope:
    try:
        return kind.FromString(request)
    except DecodeError as error:
        message = f"expected a {kind.DESCRIPTOR.full_name} message, got other bytes: {error}"
        raise BadInput(message, reason="MALFORMED_REQUEST") from None


def open_handlers(options: EntryOptions) -> list[Handler]:
    """Open the core functions. Each pool has the canary; `bridge.echo` is served by pool general alone."""
    handlers: list[Handler] = [
        Echo("bridge.canary", "pooled", "Proves a worker: goes the way of every call and returns its arguments."),
    ]
    if options.native_only or options.pool == "general":
        handlers.append(Echo("bridge.echo_native", "native", "Returns its arguments, from the front process."))
        handlers.append(Echo("bridge.echo", "pooled", "Returns its arguments, from a worker of pool general."))
    return handlers
