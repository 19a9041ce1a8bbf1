"""Language models of ModelService at the boundary of their call: what they are asked and answer can be written down.

Owns no state. Costs a look at a context variable where nobody does so.
"""

from __future__ import annotations

import functools
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.boundary import BOUNDARY, Shape
from handlers.contract import UsageRecord
from handlers.models import litellm_library
from handlers.models.chat import ChatAnswer, ToolCallPiece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from handlers.context import CallContext
    from handlers.models.chat import ChatRequest, Streamed

_HIDDEN = ("api_key", "api_base", "num_retries", "max_retries", "bridge_way")


def asked(ask: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Let a model's `ask(arguments, context, usage)` go by the boundary of its call."""

    @functools.wraps(ask)
    async def through(self: Any, arguments: dict[str, Any], context: CallContext, usage: list[UsageRecord]) -> Any:
        boundary = BOUNDARY.get()
        if boundary is None:
            return await ask(self, arguments, context, usage)
        before = len(usage)

        async def send() -> tuple[Any, UsageRecord]:
            response = await ask(self, arguments, context, usage)
            return response, usage[-1]

        used = UsageRecord(model=str(arguments["model"]), calls=1)
        try:
            response, used = await boundary.athrough("model", _plain(arguments), send, _RESPONSE)
        finally:
            if len(usage) == before:
                usage.append(used)
        return response

    return through


def streamed(stream: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., AsyncGenerator[Any, None]]:
    """Let a model's `stream(request, context)` go by the boundary of its call."""

    @functools.wraps(stream)
    async def through(self: Any, request: ChatRequest, context: CallContext) -> AsyncGenerator[Streamed, None]:
        boundary = BOUNDARY.get()
        items = stream(self, request, context)
        if boundary is not None:
            plain = {"model": self.name, "messages": request.messages, "tools": request.tools, **request.options}
            items = boundary.aitems("model", plain, lambda: stream(self, request, context), _PIECE)
        async with aclosing(items):
            async for item in items:
                yield item

    return through


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in _HIDDEN and value is not None}


def _of_response(pair: tuple[Any, UsageRecord]) -> Any:
    response, used = pair
    return {"response": response.model_dump(mode="json", exclude_none=True), "usage": msgspec.to_builtins(used)}


def _to_response(plain: Any) -> tuple[Any, UsageRecord]:
    response = litellm_library.load().ModelResponse(**plain["response"])
    return response, msgspec.convert(plain["usage"], UsageRecord)


def _of_piece(item: Streamed) -> Any:
    if isinstance(item, str):
        return item
    if isinstance(item, ToolCallPiece):
        return {"tool_call": asdict(item)}
    fields = ("text", "finish_reason", "model", "tool_calls")
    return {**{name: getattr(item, name) for name in fields}, "usage": msgspec.to_builtins(item.usage)}


def _to_piece(plain: Any) -> Streamed:
    if isinstance(plain, str):
        return plain
    if "tool_call" in plain:
        return ToolCallPiece(**plain["tool_call"])
    return ChatAnswer(**{**plain, "usage": msgspec.convert(plain["usage"], UsageRecord)})


_RESPONSE = Shape(_of_response, _to_response)
_PIECE = Shape(_of_piece, _to_piece)
