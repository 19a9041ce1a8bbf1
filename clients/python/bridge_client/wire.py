"""One call as a value, and what both the sync and the async wire do with it.

An `Operation` is a path, a request and a function that reads the reply's bytes: the services' modules make them and the
wires run them, so that each RPC is written once. Does no IO and owns no state.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from bridge_client import convert
from bridge_client.errors import UnexpectedReply
from bridge_client.failures import CallFacts, Trailers, find
from bridge_client.v1 import common_pb2

if TYPE_CHECKING:
    from bridge_client.options import CallOptions

ResultT = TypeVar("ResultT")
ReplyT = TypeVar("ReplyT", bound=Message)

RECEIPT_KEY = "bridge-receipt-bin"

DEADLINE_GRACE_S = 0.25
"""gRPC's own deadline lies this much behind the one in `x-timeout-ms`, so that the server, which knows whether the call
waited or worked, answers first and says so; without the grace the two race and the caller learns nothing."""


class UnknownEvent(Exception):
    """A stream's event that this client does not know, from a newer server: skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[ResultT]):
    """One RPC to make."""

    path: str
    """Such as ``/bridge.v1.InvokeService/Call``."""
    request: Message
    read: Callable[[bytes], ResultT]
    """Reads a reply, or one event of a stream. Raises `UnexpectedReply` or `UnknownEvent`."""


def operation(
    method: str, request: Message, reply: type[ReplyT], read: Callable[[ReplyT], ResultT]
) -> Operation[ResultT]:
    """An operation of the bridge's own services; `method` is such as ``InvokeService/Call``."""
    return Operation(path=f"/bridge.v1.{method}", request=request, read=reader(reply, read))


def reader(reply: type[ReplyT], read: Callable[[ReplyT], ResultT]) -> Callable[[bytes], ResultT]:
    """Parses a reply, then reads it. Bytes that are no such message raise `UnexpectedReply`."""

    def parse_and_read(data: bytes) -> ResultT:
        try:
            message = reply.FromString(data)
        except DecodeError as error:
            msg = f"expected a {reply.DESCRIPTOR.full_name}, got {len(data)} bytes that are none; is this a bridge?"
            raise UnexpectedReply(msg) from error
        return read(message)

    return parse_and_read


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What goes around one request."""

    metadata: tuple[tuple[str, str | bytes], ...]
    deadline_s: float | None
    facts: CallFacts


def seal(address: str, path: str, options: CallOptions) -> Envelope:
    """The metadata and the deadline of a call that starts now."""
    request_id = options.request_id or os.urandom(16).hex()
    metadata: list[tuple[str, str | bytes]] = [("x-request-id", request_id)]
    if options.timeout is not None:
        metadata.append(("x-timeout-ms", str(max(1, round(options.timeout * 1000)))))
    if options.idempotency_key is not None:
        metadata.append(("x-idempotency-key", options.idempotency_key))
    if options.session_id is not None:
        metadata.append(("x-session-id", options.session_id))
    if options.session_mode is not None:
        metadata.append(("x-session-mode", options.session_mode))
    if options.priority is not None:
        metadata.append(("x-priority", options.priority))
    if options.traceparent is not None:
        metadata.append(("traceparent", options.traceparent))
    if options.budget is not None:
        metadata.extend(options.budget.metadata())
    if options.key is not None:
        metadata.append(("authorization", f"Bearer {options.key}"))
    metadata.extend(options.metadata.items())
    return Envelope(
        metadata=tuple(metadata),
        deadline_s=None if options.timeout is None else options.timeout + DEADLINE_GRACE_S,
        facts=CallFacts(address=address, path=path, request_id=request_id, timeout=options.timeout),
    )


def only(results: list[ResultT]) -> ResultT:
    """The one result of a call that came as a stream. Raises `UnexpectedReply` where there is none, or another."""
    if len(results) != 1:
        msg = f"expected one result, got {len(results)}; use stream() for a function whose results come one by one"
        raise UnexpectedReply(msg)
    return results[0]


def one(result: ResultT) -> Iterator[ResultT]:
    """The results of a reply that has one."""
    return iter((result,))


def hand_out_receipt(trailers: Trailers | None, options: CallOptions) -> None:
    """Give the receipt in a call's trailers, if there is one, to who asked for receipts."""
    if options.on_receipt is None:
        return
    packed = find(trailers, RECEIPT_KEY)
    if isinstance(packed, bytes):
        try:
            receipt = common_pb2.Receipt.FromString(packed)
        except DecodeError:
            return  # a receipt that can not be read must not turn a good call into a failure
        options.on_receipt(convert.receipt(receipt))
