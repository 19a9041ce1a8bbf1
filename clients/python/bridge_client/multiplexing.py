"""The calls of one multiplexed stream: what is to be sent, what is open, what has been answered. Does no IO.

Owns the calls from `add` to their answer, whoever sends and receives. Not safe for threads by itself: its owner locks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from google.protobuf.message import DecodeError

from bridge_client import convert
from bridge_client.errors import UnexpectedReply
from bridge_client.failures import CallFacts, of_status
from bridge_client.v1 import common_pb2, invoke_pb2, session_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bridge_client.options import CallOptions
    from bridge_client.wire import Operation

FutureT = TypeVar("FutureT")

PATH = "/bridge.v1.InvokeService/Multiplex"
FRAME_CALLS = 256
FRAME_BYTES = 1 << 20
"""Calls that wait are sent as messages of at most so many, or of about so many bytes."""
FIRST_OPEN_CALLS = 256
"""Calls that may be open until the server has said how many may."""

_MODES = {"hint": session_pb2.SESSION_MODE_HINT, "strict": session_pb2.SESSION_MODE_STRICT}
_PRIORITIES = {
    "low": invoke_pb2.PRIORITY_LOW,
    "normal": invoke_pb2.PRIORITY_NORMAL,
    "high": invoke_pb2.PRIORITY_HIGH,
}


@dataclass(slots=True, kw_only=True)
class OpenCall(Generic[FutureT]):
    """A call that has no answer yet. `future` is whatever its owner wants to settle."""

    id: int
    message: invoke_pb2.MultiplexCall
    read: Callable[[bytes], Any]
    future: FutureT
    facts: CallFacts
    options: CallOptions
    sent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled(Generic[FutureT]):
    """A call that has been answered: by a value, or by an exception."""

    call: OpenCall[FutureT]
    value: Any = None
    error: Exception | None = None


class Outstanding(Generic[FutureT]):
    """The calls of one stream. `FutureT` is what the calls' owner gives and gets back."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._last = 0
        self._open: dict[int, OpenCall[FutureT]] = {}
        self._waiting: deque[OpenCall[FutureT]] = deque()
        self._cancelled: list[int] = []
        self._in_flight = 0
        self._limit = FIRST_OPEN_CALLS

    def __len__(self) -> int:
        return len(self._open)

    def add(self, operation: Operation[Any], future: FutureT, options: CallOptions) -> OpenCall[FutureT]:
        """Take a call in; `message` will have it."""
        self._last += 1
        message = invoke_pb2.MultiplexCall(id=self._last)
        message.request.CopyFrom(operation.request)  # type: ignore[arg-type]
        if options.timeout is not None:
            message.options.timeout_ms = max(1, round(options.timeout * 1000))
        if options.request_id is not None:
            message.options.request_id = options.request_id
        if options.session_id is not None:
            message.options.session_id = options.session_id
        if options.session_mode is not None:
            message.options.session_mode = _MODES[options.session_mode]
        if options.priority is not None:
            message.options.priority = _PRIORITIES[options.priority]
        if options.traceparent is not None:
            message.options.traceparent = options.traceparent
        facts = CallFacts(
            address=self._address, path=PATH, request_id=options.request_id or "", timeout=options.timeout
        )
        call = OpenCall(
            id=self._last, message=message, read=operation.read, future=future, facts=facts, options=options
        )
        self._open[call.id] = call
        self._waiting.append(call)
        return call

    def cancel(self, call_id: int) -> None:
        """Let go of a call: the server is told, where it knows of it, and its answer passed over."""
        call = self._open.pop(call_id, None)
        if call is None:
            return
        if call.sent:
            self._cancelled.append(call_id)
        else:
            self._waiting.remove(call)

    def message(self) -> bytes | None:
        """The next message to be sent; None where there is nothing that may be sent now."""
        request = invoke_pb2.MultiplexRequest(cancelled_ids=self._cancelled)
        self._cancelled.clear()
        size = 0
        while self._waiting and self._in_flight < self._limit and len(request.calls) < FRAME_CALLS:
            call = self._waiting[0]
            length = call.message.ByteSize()
            if size and size + length > FRAME_BYTES:
                break
            self._waiting.popleft()
            size += length
            request.calls.append(call.message)
            call.sent = True
            self._in_flight += 1
        return request.SerializeToString() if request.calls or request.cancelled_ids else None

    def answered(self, data: bytes) -> Iterator[Settled[FutureT]]:
        """Read a message of the server. Raises UnexpectedReply."""
        try:
            response = invoke_pb2.MultiplexResponse.FromString(data)
        except DecodeError as error:
            msg = f"expected a MultiplexResponse, got {len(data)} bytes that are none; is this a bridge?"
            raise UnexpectedReply(msg) from error
        if response.max_open_calls:
            self._limit = response.max_open_calls
        for result in response.results:
            self._in_flight -= 1
            call = self._open.pop(result.id, None)
            if call is not None:
                _hand_out_receipt(call, result, response.shared_receipts)
                yield _settled(call, result)

    def fail(self) -> list[OpenCall[FutureT]]:
        """The stream has ended: the calls that will have no answer."""
        left = list(self._open.values())
        self._open.clear()
        self._waiting.clear()
        return left


def _settled(call: OpenCall[FutureT], result: invoke_pb2.MultiplexResult) -> Settled[FutureT]:
    if result.WhichOneof("outcome") == "error":
        return Settled(call=call, error=of_status(result.error, call.facts))
    try:
        return Settled(call=call, value=call.read(result.response.SerializeToString()))
    except UnexpectedReply as error:
        return Settled(call=call, error=error)


def _hand_out_receipt(call: OpenCall[Any], result: invoke_pb2.MultiplexResult, shared: Any) -> None:
    if call.options.on_receipt is None:
        return
    receipt = common_pb2.Receipt()
    if 0 < result.shared_receipt <= len(shared):
        receipt.CopyFrom(shared[result.shared_receipt - 1])
    receipt.MergeFrom(result.receipt)
    call.options.on_receipt(convert.receipt(receipt))
