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
from handlers.models.images import ImageAnswer, MadeImage
from handlers.models.images import arguments as image_arguments
from handlers.models.stream_answer import StreamAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from handlers.context import CallContext
    from handlers.models.chat import ChatRequest, Streamed
    from handlers.models.images import ImageRequest

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


def followed(follow: Callable[..., AsyncGenerator[str, None]]) -> Callable[..., AsyncGenerator[str, None]]:
    """Let a model's `follow(arguments, context, usage, answer)` go by the boundary of its call."""

    @functools.wraps(follow)
    async def through(
        self: Any, arguments: dict[str, Any], context: CallContext, usage: list[UsageRecord], answer: StreamAnswer
    ) -> AsyncGenerator[str, None]:
        boundary = BOUNDARY.get()
        if boundary is None:
            async with aclosing(follow(self, arguments, context, usage, answer)) as texts:
                async for text in texts:
                    yield text
            return
        used = [UsageRecord(model=str(arguments["model"]), calls=1)]

        async def steps() -> AsyncGenerator[Streamed, None]:
            inner, taken = StreamAnswer(), list[UsageRecord]()
            try:
                async with aclosing(follow(self, arguments, context, taken, inner)) as texts:
                    async for text in texts:
                        if text:
                            yield text
                        for piece in inner.added_calls:
                            yield piece
            finally:
                used.extend(taken)
            yield inner.whole(taken[-1])

        try:
            plain = {**_plain(arguments), "stream": True}
            async with aclosing(boundary.aitems("model", plain, steps, _PIECE)) as items:
                async for item in items:
                    if isinstance(item, ChatAnswer):
                        answer.end(item)
                        used.append(item.usage)
                    else:
                        yield answer.take(item)
        finally:
            usage.append(used[-1])

    return through


def made(make: Callable[..., Awaitable[ImageAnswer]]) -> Callable[..., Awaitable[ImageAnswer]]:
    """Let a model's `make_images(request, context)` go by the boundary of its call."""

    @functools.wraps(make)
    async def through(self: Any, request: ImageRequest, context: CallContext) -> ImageAnswer:
        boundary = BOUNDARY.get()
        if boundary is None:
            return await make(self, request, context)
        plain = {"model": self.options.model, **image_arguments(request)}
        return await boundary.athrough("model", plain, lambda: make(self, request, context), _IMAGES)

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


def _of_images(answer: ImageAnswer) -> Any:
    images = [asdict(image) for image in answer.images]
    return {"images": images, "model": answer.model, "usage": msgspec.to_builtins(answer.usage)}


def _to_images(plain: Any) -> ImageAnswer:
    images = [MadeImage(**image) for image in plain["images"]]
    return ImageAnswer(images=images, model=plain["model"], usage=msgspec.convert(plain["usage"], UsageRecord))


_IMAGES = Shape(_of_images, _to_images)
_RESPONSE = Shape(_of_response, _to_response)
_PIECE = Shape(_of_piece, _to_piece)
