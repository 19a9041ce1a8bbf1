"""Calls a plain function as the bridge would, without a server: for unit tests of a user's own functions.

    from handlers.testing import call

    def test_add():
        assert call(add, a=1, b=2) == 3

A function that uses its session is called `with in_session("s1", {"count": 3}) as variables:`.

Arguments and results go through the real schemas and the real codec, so what comes back is what a client would see:
bytes as base64 in JSON, arrays as read-only arrays, dates as strings. Owns no state.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from bridge.v1 import invoke_pb2
from handlers import codec
from handlers.context import CallContext
from handlers.contract import CallMeta
from handlers.functions.discovery import handler_of
from handlers.functions.handler import CALL, STREAM_CALL
from handlers.testing_session import CURRENT, in_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.codec import Form
    from handlers.functions.handler import FunctionHandler


__all__ = ["acall", "astream", "call", "in_session", "stream"]


def call(function: Callable[..., Any], form: Form = "msgpack", /, **arguments: Any) -> Any:
    """Return what a client gets from a call with these arguments in this form.

    Runs asynchronous functions in an event loop of its own; inside a running one use `acall`. Raises what the bridge
    would report: BadInput, ResultInvalid, or the function's own exception.
    """
    handler, request, context = _prepared(function, form, arguments, CALL)
    with _Current(context):
        reply = handler.call(CALL, request, context)
        return _result(asyncio.run(_awaited(reply)) if inspect.isawaitable(reply) else reply)


def stream(function: Callable[..., Any], form: Form = "msgpack", /, **arguments: Any) -> list[Any]:
    """Return the items that a client gets from a streaming call. Otherwise as `call`."""
    handler, request, context = _prepared(function, form, arguments, STREAM_CALL)
    with _Current(context):
        replies = handler.stream(STREAM_CALL, request, context)
        items = asyncio.run(_collected(replies)) if hasattr(replies, "__aiter__") else list(replies)
        return [_item(item) for item in items]


async def acall(function: Callable[..., Any], form: Form = "msgpack", /, **arguments: Any) -> Any:
    """Do as `call` inside a running event loop."""
    handler, request, context = _prepared(function, form, arguments, CALL)
    with _Current(context):
        reply = handler.call(CALL, request, context)
        return _result(await _awaited(reply) if inspect.isawaitable(reply) else reply)


async def astream(function: Callable[..., Any], form: Form = "msgpack", /, **arguments: Any) -> list[Any]:
    """Do as `stream` inside a running event loop."""
    handler, request, context = _prepared(function, form, arguments, STREAM_CALL)
    with _Current(context):
        replies = handler.stream(STREAM_CALL, request, context)
        items = await _collected(replies) if hasattr(replies, "__aiter__") else list(replies)
        return [_item(item) for item in items]


def _prepared(
    function: Callable[..., Any], form: Form, arguments: dict[str, Any], method: str
) -> tuple[FunctionHandler, bytes, CallContext]:
    handler = handler_of(function)
    value: Any = arguments
    if form == "raw":
        if len(arguments) != 1:
            raise TypeError(f"expected one argument of type bytes for the form 'raw', got {len(arguments)}")
        value = next(iter(arguments.values()))
    envelope = invoke_pb2.CallRequest if method == CALL else invoke_pb2.StreamCallRequest
    request = envelope(function=handler.spec.name, arguments=codec.encode_value(value, form)).SerializeToString()
    session = CURRENT.get()
    if session is None:
        return handler, request, CallContext(CallMeta(method=method))
    return handler, request, CallContext(CallMeta(method, session_id=session.id, session_mode="hint"), None, session)


class _Current:
    """Makes a call the current one, so that `handlers.context.current()` works in the function."""

    def __init__(self, context: CallContext) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = self._context.enter()

    def __exit__(self, *_: object) -> None:
        self._context.leave(self._token)


async def _awaited(reply: Any) -> bytes:
    return await reply  # type: ignore[no-any-return]


async def _collected(replies: Any) -> list[bytes]:
    return [item async for item in replies]


def _result(reply: bytes) -> Any:
    return codec.decode_value(invoke_pb2.CallResponse.FromString(reply).result)


def _item(reply: bytes) -> Any:
    return codec.decode_value(invoke_pb2.StreamCallResponse.FromString(reply).item)
