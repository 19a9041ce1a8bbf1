"""The handler of a user's function: envelope -> arguments -> call -> result -> envelope.

Answers `InvokeService/Call` and `InvokeService/StreamCall`. Owns no state; knows nothing of how it was found and
where it runs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from bridge.v1 import invoke_pb2
from handlers import codec
from handlers.errors import BadInput, HandlerError
from handlers.values.large import LARGE_BYTES
from handlers.values.large import read_arguments as read_large

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from handlers.codec import Form
    from handlers.context import CallContext
    from handlers.contract import FunctionSpec
    from handlers.functions.signature import Signature

CALL = "InvokeService/Call"
STREAM_CALL = "InvokeService/StreamCall"


class FunctionHandler:
    """One function, ready to be called."""

    def __init__(self, function: Callable[..., Any], spec: FunctionSpec, signature: Signature) -> None:
        self._function = function
        self._signature = signature
        self._validate = signature.arguments.validate
        self._dump = signature.result.dump
        self._raw = signature.raw_parameter
        self._spec = spec

    @property
    def spec(self) -> FunctionSpec:
        """How the catalogue publishes this function."""
        return self._spec

    def call(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a call. Raises BadInput, ResultInvalid, and whatever the function raises."""
        if method != CALL:
            return self._call_typed(method, request, context)
        if self._spec.streaming:
            raise BadInput(
                f"{self._spec.name} sends a stream of results: call it with InvokeService/StreamCall.",
                reason="FUNCTION_STREAMS",
            )
        arguments, form = self._read(invoke_pb2.CallRequest, request)
        result = self._function(**arguments)
        if self._spec.is_async:
            return self._answer_later(result, form)
        return self._answer(result, form)

    def stream(self, method: str, request: bytes, context: CallContext) -> Iterator[bytes] | AsyncIterator[bytes]:
        """Answer a streaming call; a function that does not stream sends one item. Raises as `call` does."""
        if method != STREAM_CALL:
            return self._stream_typed(method, request, context)
        arguments, form = self._read(invoke_pb2.StreamCallRequest, request)
        return self._items_later(arguments, form) if self._spec.is_async else self._items(arguments, form)

    def _items(self, arguments: dict[str, Any], form: Form) -> Iterator[bytes]:
        returned = self._function(**arguments)
        if not self._spec.streaming:
            yield self._answer(returned, form)
            return
        with _closing(returned):
            for value in returned:
                yield self._answer(value, form)

    async def _items_later(self, arguments: dict[str, Any], form: Form) -> AsyncIterator[bytes]:
        returned = self._function(**arguments)
        if self._signature.returns_awaitable:
            returned = await returned
        if not self._spec.streaming:
            yield self._answer(returned, form)
            return
        if not hasattr(returned, "__aiter__"):
            for value in returned:
                yield self._answer(value, form)
            return
        async with _closing_later(returned):
            async for value in returned:
                yield self._answer(value, form)

    async def _answer_later(self, awaitable: Awaitable[Any], form: Form) -> bytes:
        return self._answer(await awaitable, form)

    def _answer(self, value: Any, form: Form) -> bytes:
        return codec.encode_response(self._dump(value), form)

    def _read(self, envelope: Any, request: bytes) -> tuple[dict[str, Any], Form]:
        payload = read_large(request) if len(request) >= LARGE_BYTES else None
        if payload is None:
            try:
                payload = envelope.FromString(request).arguments
            except DecodeError as error:
                message = f"expected a {envelope.DESCRIPTOR.full_name} message, got other bytes: {error}"
                raise BadInput(message, reason="MALFORMED_REQUEST") from None
        arguments, form = codec.decode_arguments(payload)
        if form != "raw":
            return self._validate(arguments, form), form  # type: ignore[arg-type]
        if self._raw is None:
            raise BadInput(
                f"{self._spec.name}: expected JSON or MessagePack arguments, got raw bytes; "
                "raw is for a function with one parameter of type bytes"
            )
        if self._signature.raw_is_plain:
            return {self._raw: arguments}, form
        return self._validate({self._raw: arguments}, form), form

    def _call_typed(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a call of the function's own typed method."""
        from handlers.typed import calls

        if method != calls.CALL:
            raise self._not_answered(method, CALL)
        return calls.typed_call(self.call, request, context)

    def _stream_typed(
        self, method: str, request: bytes, context: CallContext
    ) -> Iterator[bytes] | AsyncIterator[bytes]:
        from handlers.typed import calls

        if method != calls.STREAM_CALL:
            raise self._not_answered(method, STREAM_CALL)
        return calls.typed_stream(self.stream, request, context)

    def _not_answered(self, method: str, expected: str) -> HandlerError:
        message = f"{self._spec.name} answers {expected} here, got {method}"
        return HandlerError(message, code="UNIMPLEMENTED", reason="UNKNOWN_METHOD")


@contextlib.contextmanager
def _closing(returned: Any) -> Iterator[None]:
    """Close a generator when its reader stops early; other iterators have nothing to close."""
    try:
        yield
    finally:
        if hasattr(returned, "close"):
            returned.close()


@contextlib.asynccontextmanager
async def _closing_later(returned: Any) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if hasattr(returned, "aclose"):
            await returned.aclose()
