"""Models that stand in for each other: the next is asked where one can not answer. One rule for all who ask models.

Owns no state: which models have failed lately the front knows, whose gate then passes them over.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from handlers.errors import HandlerError
from handlers.models.chat import ChatAnswer, Way

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from handlers.context import CallContext
    from handlers.models.answer_schema import AnswerSchema
    from handlers.models.chat import ChatModel, ChatRequest, Extracted, Grown, Streamed
    from handlers.models.images import ImageAnswer, ImageRequest

T = TypeVar("T")
RequestT = TypeVar("RequestT", "ChatRequest", "ImageRequest")
_PASSED_OVER = frozenset({"BREAKER_OPEN", "MODEL_COOLING", "MODEL_RATE_LIMITED"})
"""Reasons of the front's refusals that mean this one model."""
_MAY_PASS = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"})
_NOT_TO_BE_USED = frozenset({"401", "402", "403", "404"})
"""Statuses by which a provider says that this model can not be used, whatever it is asked."""


def may_fall(error: HandlerError, context: CallContext | None) -> bool:
    """Return whether another model may answer what this one has not. A request that is wrong stays wrong."""
    if context is not None and context.remaining_s() == 0.0:
        return False
    if error.reason in _PASSED_OVER:
        return True
    if error.reason != "PROVIDER_ERROR":
        return False
    return error.code in _MAY_PASS or error.metadata.get("status") in _NOT_TO_BE_USED


class Chain:
    """A walk along models: what was passed so far, and whether the next failure lets it go on."""

    def __init__(self, names: tuple[str, ...], context: CallContext | None) -> None:
        self._names = names
        self._context = context
        self._passed: tuple[tuple[str, str], ...] = ()

    def way(self, way: Way) -> Way:
        """Return how a request comes to the model whose turn it is."""
        return replace(way, passed=self._passed, last=len(self._passed) == len(self._names) - 1)

    def fell(self, error: HandlerError | None) -> bool:
        """Take in a failure; return whether it is the next model's turn."""
        if error is None or len(self._passed) == len(self._names) - 1 or not may_fall(error, self._context):
            return False
        self._passed += ((self._names[len(self._passed)], error.reason),)
        return True


class ChainModel:
    """Models in the order in which they are asked, behind the interface of one."""

    def __init__(self, models: tuple[tuple[str, ChatModel], ...]) -> None:
        self._models = models
        self._names = tuple(name for name, _ in models)

    async def complete(self, request: ChatRequest, context: CallContext) -> ChatAnswer:
        """Return the first whole answer. Raises the failure of the last that was asked."""
        return await self._first(request, context, lambda model, asked: model.complete(asked, context))

    async def extract(
        self, request: ChatRequest, schema: AnswerSchema, max_retries: int, context: CallContext
    ) -> Extracted:
        """Return the first answer that fits. One that never fits is an answer, so no other model is asked then."""
        return await self._first(
            request, context, lambda model, asked: model.extract(asked, schema, max_retries, context)
        )

    async def make_images(self, request: ImageRequest, context: CallContext) -> ImageAnswer:
        """Return the first images."""
        return await self._first(request, context, lambda model, asked: model.make_images(asked, context))

    async def stream(self, request: ChatRequest, context: CallContext) -> AsyncGenerator[Streamed, None]:
        """Yield the first answer. Once a piece of it has gone out, no other model is asked."""
        async with aclosing(
            self._events(request, context, lambda model, asked: model.stream(asked, context))
        ) as events:
            async for event in events:
                yield event

    async def stream_extract(
        self, request: ChatRequest, schema: AnswerSchema, max_retries: int, context: CallContext
    ) -> AsyncGenerator[Grown | Extracted, None]:
        """Do as `stream` with an answer that fits a schema."""

        def ask(model: ChatModel, asked: ChatRequest) -> AsyncGenerator[Grown | Extracted, None]:
            return model.stream_extract(asked, schema, max_retries, context)

        async with aclosing(self._events(request, context, ask)) as events:
            async for event in events:
                yield event

    async def _events(
        self,
        request: ChatRequest,
        context: CallContext,
        ask: Callable[[ChatModel, ChatRequest], AsyncGenerator[T, None]],
    ) -> AsyncGenerator[T, None]:
        chain = Chain(self._names, context)
        for _, model in self._models:
            began = False
            try:
                async with aclosing(ask(model, replace(request, way=chain.way(request.way)))) as events:
                    async for event in events:
                        began = True
                        yield event
            except HandlerError as error:
                if began or not chain.fell(error):
                    raise
            else:
                return

    async def _first(
        self, request: RequestT, context: CallContext, ask: Callable[[ChatModel, RequestT], Awaitable[T]]
    ) -> T:
        chain = Chain(self._names, context)
        for _, model in self._models:
            try:
                return await ask(model, replace(request, way=chain.way(request.way)))
            except HandlerError as error:
                if not chain.fell(error):
                    raise
        raise AssertionError("the last model's failure is raised")
