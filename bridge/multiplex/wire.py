"""What a multiplexed stream carries, read and written without touching the calls' arguments and results.

Requests are parsed by classes of the same shape as the API's, but for one thing: the request and the options of a call
are bytes, as a message and bytes are the same on the wire. Answers are put together from bytes that exist already.
Tests hold both to the generated classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from bridge.errors import malformed
from bridge.receipts.receipts import Shared
from bridge.receipts.wire import SHORT, VARINTS, varint
from bridge.v1.common_pb2 import Receipt
from bridge.v1.invoke_pb2 import MultiplexCall, MultiplexRequest, MultiplexResponse

MESSAGE_BYTES = 1 << 20
"""Answers that come together go out as messages of about this size: clients take 4 MiB unless told otherwise."""


class Entry(Protocol):
    """A call as it came: `MultiplexCall` with its messages as bytes."""

    id: int
    request: bytes
    options: bytes


class Received(Protocol):
    """A request as it came."""

    calls: Sequence[Entry]
    cancelled_ids: Sequence[int]


def _received_type() -> Any:
    """Return the class of `MultiplexRequest` with the messages of its calls left as bytes."""
    call, request = DescriptorProto(), DescriptorProto()
    MultiplexCall.DESCRIPTOR.CopyToProto(call)
    MultiplexRequest.DESCRIPTOR.CopyToProto(request)
    for field in call.field:
        if field.type == FieldDescriptorProto.TYPE_MESSAGE:
            field.type = FieldDescriptorProto.TYPE_BYTES
            field.ClearField("type_name")
    file = FileDescriptorProto(name="multiplex", package="bridge.v1", syntax="proto3", message_type=[call, request])
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(MultiplexRequest.DESCRIPTOR.full_name))


_RECEIVED = _received_type()


def read(request: bytes) -> Received:
    """Parse a `MultiplexRequest`. Raises MALFORMED_REQUEST."""
    try:
        return _RECEIVED.FromString(request)  # type: ignore[no-any-return]
    except DecodeError:
        raise malformed("MultiplexRequest") from None


def greeting(max_open_calls: int) -> bytes:
    """Return the first message of a stream."""
    return MultiplexResponse(max_open_calls=max_open_calls).SerializeToString()


Ended = tuple[int, bytes, int, int, int, int]
"""A packed call that has ended well: number, response, microseconds in the queue, the worker and in all, bytes in."""


class Answers:
    """The answers that wait to be sent. `size` is their bytes."""

    __slots__ = ("_bytes", "_results", "_sealed", "_shared", "size")

    def __init__(self) -> None:
        self._sealed: list[bytes] = []
        self._results: list[bytes] = []
        self._shared: dict[Shared, int] = {}
        self._bytes = 0
        self.size = 0

    def add(self, number: int, outcome: bytes, body: bytes, shared: Shared | None, receipt: bytes) -> None:
        """Add the answer of a call. `outcome` is the tag of its field."""
        at = 0 if shared is None else self._place(shared)
        head = b"\x08%b%b%b" % (varint(number), outcome, varint(len(body)))
        tail = b"\x22%b%b(%b" % (varint(len(receipt)), receipt, varint(at))
        size = len(head) + len(body) + len(tail)
        self._results += (b"\x0a%b%b" % (varint(size), head), body, tail)
        self._count(size)

    def add_ended(self, calls: list[Ended], shared: Shared) -> None:
        """Add the answers of packed calls: the same as `add` for each, in a third of the time."""
        table, at = VARINTS, b""
        for number, body, queue_us, worker_us, total_us, bytes_in in calls:
            at = at or varint(self._place(shared))
            size = len(body)
            tail = b"@%bH%bX%b`%bh%b" % (
                table[queue_us] if 0 <= queue_us < SHORT else varint(queue_us),
                table[worker_us] if worker_us < SHORT else varint(worker_us),
                table[total_us] if 0 <= total_us < SHORT else varint(total_us),
                table[bytes_in] if bytes_in < SHORT else varint(bytes_in),
                table[size] if size < SHORT else varint(size),
            )
            result = b"\x08%b\x12%b%b\x22%b%b(%b" % (
                table[number] if number < SHORT else varint(number),
                table[size] if size < SHORT else varint(size),
                body,
                table[len(tail)],
                tail,
                at,
            )
            size = len(result)
            self._results.append(b"\x0a%b%b" % (table[size] if size < SHORT else varint(size), result))
            self._count(size)
            if not self._results:
                at = b""  # what came so far has been made a message

    def _place(self, shared: Shared) -> int:
        """Return the place in the next message of what receipts have in common."""
        at = self._shared.get(shared, 0)
        if at == 0:
            at = self._shared[shared] = len(self._shared) + 1
        return at

    def _count(self, size: int) -> None:
        self._bytes += size
        self.size += size
        if self._bytes > MESSAGE_BYTES:
            self._seal()

    def take(self) -> list[bytes]:
        """Return the messages to be sent; there are none left then."""
        if self._results:
            self._seal()
        messages, self._sealed, self.size = self._sealed, [], 0
        return messages

    def _seal(self) -> None:
        shared = b"".join([b"\x12%b%b" % (varint(len(data)), data) for data in map(_shared_receipt, self._shared)])
        self._sealed.append(b"".join(self._results) + shared)
        self._results.clear()
        self._shared.clear()
        self._bytes = 0


RESPONSE = b"\x12"
ERROR = b"\x1a"
"""Tags of the fields that say how a call ended."""


@lru_cache(maxsize=4096)
def _shared_receipt(shared: Shared) -> bytes:
    function, route, reason, pool, worker = shared
    receipt = Receipt(function=function, reason=reason, pool=pool, worker=worker)
    receipt.route = route  # type: ignore[assignment]
    return receipt.SerializeToString()
