"""A call of a typed method, as a worker gets it: the message, and how to read it and to write the answer.

The front puts the caller's bytes beside the description of the method (`envelope`) and looks into neither; the worker
turns them into an ordinary call of the function and the result into the method's response. What is made of a
description is kept, so that it is made once per method and worker. Knows nothing of what functions do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf.message import DecodeError

from bridge.v1 import common_pb2, invoke_pb2
from handlers import codec
from handlers.errors import BadInput
from handlers.typed.shapes import Api, Enum, Message, Method
from handlers.typed.values import Values
from handlers.values.outgoing import varint

if TYPE_CHECKING:
    from handlers.context import CallContext

CALL = "Typed/Call"
STREAM_CALL = "Typed/StreamCall"
_INNER = {CALL: "InvokeService/Call", STREAM_CALL: "InvokeService/StreamCall"}
_NAME, _DESCRIPTION, _MESSAGE = b"\x0a", b"\x7a", b"\x82\x01"
"""Fields 1, 15 and 16: the function's name stands where all requests have it."""
MOST_KEPT = 256
_ENCODE = msgspec.msgpack.Encoder().encode


class Description(msgspec.Struct, frozen=True):
    """All that a worker needs to know of a method."""

    api: Api
    request: str
    response: str
    program: bool = False
    """Whether the response has the keys of the result, not the result as its only field."""


def describe(api: Api, method: Method) -> bytes:
    """Return the description of a method: the messages that it uses, without what is for people."""
    messages = {message.name: message for message in api.messages}
    used: dict[str, Message] = {}
    names = [method.request, method.response]
    while names:
        name = names.pop()
        if name in messages and name not in used:
            used[name] = _bare(messages[name])
            names += [field.type.name for field in messages[name].fields]
    kinds = {field.type.name for message in used.values() for field in message.fields}
    enums = tuple(_bare_enum(enum) for enum in api.enums if enum.name in kinds)
    whole = Api(api.package, (), tuple(used.values()), enums)
    return msgspec.msgpack.encode(Description(whole, method.request, method.response, method.program))


def _bare(message: Message) -> Message:
    fields = tuple(msgspec.structs.replace(field, doc="", note="", default="") for field in message.fields)
    return msgspec.structs.replace(message, fields=fields, doc="", reserved=())


def _bare_enum(enum: Enum) -> Enum:
    return msgspec.structs.replace(enum, doc="", reserved=())


def envelope(function: str, description: bytes, request: bytes) -> bytes:
    """Return the request of a typed call for a worker."""
    name = function.encode()
    head = (_NAME, varint(len(name)), name, _DESCRIPTION, varint(len(description)), description)
    return b"".join((*head, _MESSAGE, varint(len(request)), request))


def typed_call(
    call: Callable[[str, bytes, CallContext], bytes | Awaitable[bytes]], request: bytes, context: CallContext
) -> bytes | Awaitable[bytes]:
    """Answer a typed call by a handler's own `call`."""
    method, inner = open_typed(request)
    answer = call(_INNER[CALL], inner, context)
    return method.answer(answer) if isinstance(answer, bytes) else _later(method, answer)


async def _later(method: TypedMethod, answer: Awaitable[bytes]) -> bytes:
    return method.answer(await answer)


def typed_stream(
    stream: Callable[[str, bytes, CallContext], Iterator[bytes] | AsyncIterator[bytes]],
    request: bytes,
    context: CallContext,
) -> Iterator[bytes] | AsyncIterator[bytes]:
    """Answer a typed call whose answers are a stream, by a handler's own `stream`."""
    method, inner = open_typed(request)
    items = stream(_INNER[STREAM_CALL], inner, context)
    return _items_later(method, items) if isinstance(items, AsyncIterator) else _items(method, items)


def _items(method: TypedMethod, items: Any) -> Iterator[bytes]:
    with closing(items):
        for item in items:
            yield method.answer(item)


async def _items_later(method: TypedMethod, items: Any) -> AsyncIterator[bytes]:
    async with aclosing(items):
        async for item in items:
            yield method.answer(item)


class TypedMethod:
    """One method, ready to read requests and to write responses. It has no state but its message classes."""

    def __init__(self, description: Description) -> None:
        values = Values(description.api)
        self._name = description.request
        self._request = values.message_class(description.request)
        self._response = values.message_class(description.response)
        self._read = values.reader(description.request)
        self._write = values.writer(description.response)
        self._program = description.program

    def arguments(self, data: bytes) -> bytes:
        """Return the CallRequest of a request message. Raises BadInput."""
        try:
            message = self._request.FromString(data)
        except DecodeError as error:
            name = self._request.DESCRIPTOR.full_name
            raise BadInput(f"expected a {name} message, got other bytes: {error}", reason="MALFORMED_REQUEST") from None
        beside: list[Any] = []
        payload = common_pb2.Payload(msgpack=_ENCODE(self._read(message, beside)))
        for index, tensor in enumerate(beside):
            payload.tensors.add(name=f"t{index}", dtype=tensor.dtype, shape=tensor.shape, data=tensor.data)
        return invoke_pb2.CallRequest(arguments=payload).SerializeToString()

    def answer(self, data: bytes) -> bytes:
        """Return the response message of a CallResponse or a StreamCallResponse. Raises ResultInvalid."""
        value = codec.decode_value(invoke_pb2.CallResponse.FromString(data).result)
        response = self._response()
        self._write(response, value if self._program else {"result": value}, "")
        return bytes(response.SerializeToString())


def open_typed(request: bytes) -> tuple[TypedMethod, bytes]:
    """Return the method of a typed call, and the CallRequest that it stands for. Raises BadInput."""
    description, message = _parts(request)
    method = _method(description)
    return method, method.arguments(message)


@lru_cache(maxsize=MOST_KEPT)
def _method(description: bytes) -> TypedMethod:
    return TypedMethod(msgspec.msgpack.decode(description, type=Description))


def _parts(request: bytes) -> tuple[bytes, bytes]:
    """Return the description and the message of an envelope."""
    _, at = _sized(request, 1)
    description, at = _sized(request, at + 1)
    message, _ = _sized(request, at + 2)
    return description, message


def _sized(data: bytes, at: int) -> tuple[bytes, int]:
    size = shift = 0
    while True:
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return data[at : at + size], at + size
        shift += 7
