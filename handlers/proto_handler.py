"""A handler whose work is a Python function from one protobuf message to another.

Such a function is reached in two ways, and this class is both of them: by its own typed RPC (the request bytes are the
message), and by `InvokeService` (the arguments are a plain object with the message's field names). It owns nothing
but its description; it must not know what the function does, nor gRPC.
"""

from __future__ import annotations

import json
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from bridge.v1 import invoke_pb2
from handlers import codec, proto_json
from handlers.contract import BatchRule, FunctionSpec, MetricDetails, PlacementName
from handlers.errors import BadInput, HandlerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from google.protobuf.message import Message

    from handlers.context import CallContext

_CALL = "InvokeService/Call"
_STREAM_CALL = "InvokeService/StreamCall"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """One RPC and the function that answers it.

    `run(request, context)` returns the response message, or for a stream an iterator of response messages. Where the
    handler is async it returns an awaitable, or an async generator.
    """

    method: str
    """Service and RPC, such as ``ModelService/Generate``."""
    request: type[Message]
    response: type[Message]
    run: Callable[[Any, CallContext], Any]
    required: tuple[str, ...] = ()
    """Fields without which the request makes no sense, for the schema. `run` checks them."""
    omit: tuple[str, ...] = ()
    """Fields that the function's own name already says; they are not in the schema."""


class ProtoHandler:
    """Serves one function by the RPCs in `rpcs` and by InvokeService, which uses the first of them."""

    def __init__(
        self,
        *rpcs: Rpc,
        name: str,
        doc: str,
        streaming: bool = False,
        is_async: bool = False,
        idempotent: bool = False,
        example: dict[str, Any] | None = None,
        placement: PlacementName = "pooled",
        pool: str | None = None,
        metric: MetricDetails | None = None,
        batch: BatchRule | None = None,
        warm_up: Callable[[], None] | None = None,
        preload: Callable[[], None] | None = None,
    ) -> None:
        self._rpcs = {rpc.method: rpc for rpc in rpcs}
        self._first = rpcs[0]
        self._warm_up = warm_up
        self._preload = preload
        first = self._first
        self.spec = FunctionSpec(
            name=name,
            kind="builtin",
            doc=doc,
            pool=pool,
            placement=placement,
            streaming=streaming,
            is_async=is_async,
            idempotent=idempotent,
            arguments_schema=proto_json.arguments_schema(
                first.request.DESCRIPTOR, required=first.required, omit=first.omit
            ),
            result_schema=proto_json.result_schema(first.response.DESCRIPTOR),
            example=json.dumps(example or {}),
            metric=metric,
            batch=batch,
        )

    def preload(self) -> None:
        """Import what calls will need, if anything."""
        if self._preload is not None:
            self._preload()

    def warm_up(self) -> None:
        """Do what must be done before the first call, if anything."""
        if self._warm_up is not None:
            self._warm_up()

    def call(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a unary call of one of the RPCs, or `InvokeService/Call`."""
        if self.spec.is_async:
            return self._call_async(method, request, context)
        asked = self._ask(method, request)
        return asked.reply(asked.rpc.run(asked.message, context))

    def stream(self, method: str, request: bytes, context: CallContext) -> Iterator[bytes] | AsyncIterator[bytes]:
        """Answer a streaming call of one of the RPCs, or `InvokeService/StreamCall`.

        Through `InvokeService/StreamCall` a function that does not stream sends its one result.
        """
        if self.spec.is_async:
            return self._stream_async(method, request, context)
        return self._stream(method, request, context)

    async def _call_async(self, method: str, request: bytes, context: CallContext) -> bytes:
        asked = self._ask(method, request)
        return asked.reply(await asked.rpc.run(asked.message, context))

    def _stream(self, method: str, request: bytes, context: CallContext) -> Iterator[bytes]:
        asked = self._ask(method, request)
        if not self.spec.streaming:
            yield asked.reply(asked.rpc.run(asked.message, context))
            return
        with closing(asked.rpc.run(asked.message, context)) as items:
            for item in items:
                yield asked.reply(item)

    async def _stream_async(self, method: str, request: bytes, context: CallContext) -> AsyncIterator[bytes]:
        asked = self._ask(method, request)
        if not self.spec.streaming:
            yield asked.reply(await asked.rpc.run(asked.message, context))
            return
        async with aclosing(asked.rpc.run(asked.message, context)) as items:
            async for item in items:
                yield asked.reply(item)

    def _ask(self, method: str, request: bytes) -> Asked:
        rpc = self._rpcs.get(method)
        if rpc is not None:
            message = _parse(rpc.request, request)
            return Asked(rpc=rpc, message=message, form=None, streamed=False)
        if method not in {_CALL, _STREAM_CALL}:
            methods = ", ".join([*self._rpcs, _CALL, _STREAM_CALL])
            message = f"{self.spec.name} does not answer {method}; it answers {methods}."
            raise HandlerError(message, code="UNIMPLEMENTED", reason="UNKNOWN_METHOD")
        if method == _CALL and self.spec.streaming:
            raise BadInput(
                f"{self.spec.name} sends a stream of results: call it with InvokeService/StreamCall.",
                reason="FUNCTION_STREAMS",
            )
        envelope = invoke_pb2.CallRequest if method == _CALL else invoke_pb2.StreamCallRequest
        arguments, form = codec.decode_arguments(_parse(envelope, request).arguments)
        if not isinstance(arguments, dict):
            raise BadInput(f"{self.spec.name} takes an object of arguments (json or msgpack), not raw bytes.")
        message = self._first.request()
        proto_json.fill(message, arguments)
        return Asked(rpc=self._first, message=message, form=form, streamed=method == _STREAM_CALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A decoded request, and how its replies are encoded."""

    rpc: Rpc
    message: Message
    form: codec.Form | None
    """The form of the arguments; None for the typed RPC."""
    streamed: bool

    def reply(self, response: Message) -> bytes:
        """Return a response in the form of the request."""
        if self.form is None:
            return response.SerializeToString()
        payload = codec.encode_value(proto_json.to_plain(response), self.form)
        if self.streamed:
            return invoke_pb2.StreamCallResponse(item=payload).SerializeToString()
        return invoke_pb2.CallResponse(result=payload).SerializeToString()


def _parse(kind: type[Any], data: bytes) -> Any:
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        message = f"The request is not a {kind.DESCRIPTOR.full_name} message: {error}"
        raise BadInput(message, reason="MALFORMED_REQUEST") from error
    return message
