"""Functions that every server has: echo in its two placements, and the canary that proves a worker."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.v1.invoke_pb2 import CallRequest, CallResponse, StreamCallRequest, StreamCallResponse
from handlers.context import CallContext
from handlers.contract import EntryOptions, FunctionSpec, Handler, PlacementName

ANYTHING = "{}"


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
        return CallResponse(result=CallRequest.FromString(request).arguments).SerializeToString()

    def stream(self, _method: str, request: bytes, _context: CallContext) -> Iterator[bytes]:
        """Send the arguments as the only item."""
        yield StreamCallResponse(item=StreamCallRequest.FromString(request).arguments).SerializeToString()


def open_handlers(options: EntryOptions) -> list[Handler]:
    """Open the core functions. Each pool has the canary; `bridge.echo` is served by pool general alone."""
    handlers: list[Handler] = [
        Echo("bridge.canary", "pooled", "Proves a worker: goes the way of every call and returns its arguments."),
    ]
    if options.native_only or options.pool == "general":
        handlers.append(Echo("bridge.echo_native", "native", "Returns its arguments, from the front process."))
        handlers.append(Echo("bridge.echo", "pooled", "Returns its arguments, from a worker of pool general."))
    return handlers
