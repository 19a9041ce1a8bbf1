"""The records of a conversation with a model, and what a model can do.

Plain data in the form of OpenAI's API, which every provider's adapter takes. Knows neither protobuf nor providers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from handlers.context import CallContext
    from handlers.contract import UsageRecord
    from handlers.models.answer_schema import AnswerSchema
    from handlers.models.images import ImageAnswer, ImageRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a request came to its model."""

    passed: tuple[tuple[str, str], ...] = ()
    """Models that were to answer before it, each with the reason of its failure."""
    last: bool = True
    """Whether no other model is asked after it."""
    cache: bool = True
    """Whether its answer may come out of the front's cache, and be kept there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A conversation, checked."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    """Any of temperature, top_p, max_tokens, stop, seed, tool_choice, parallel_tool_calls."""
    way: Way = Way()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """A model's whole answer."""

    text: str
    finish_reason: str
    """OpenAI's word: stop, length, tool_calls, content_filter."""
    model: str
    """As the provider knows it."""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    """Dicts of id, name and arguments (JSON text)."""
    usage: UsageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallPiece:
    """What was added to a tool call that is still written."""

    index: int
    """Which call of the answer."""
    id: str = ""
    """On its first piece, as `name`."""
    name: str = ""
    arguments: str = ""
    """JSON text that is added."""


Streamed = str | ToolCallPiece | ChatAnswer
"""What a stream yields: pieces of the text and of tool calls, at last the whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """An answer that fits a schema."""

    json_text: str
    model: str
    usage: UsageRecord
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """An answer that is still written, or one whole item of an answer that is a list."""

    number: int
    """Counts the events, from 1."""
    attempt: int
    """From 1. A new attempt begins anew."""
    json_text: str
    index: int | None = None
    """The item's place in the list; None for an answer so far."""


class ChatModel(Protocol):
    """One configured model. Each method records what it used in the call's context, failures included."""

    async def complete(self, request: ChatRequest, context: CallContext) -> ChatAnswer:
        """Return the whole answer. Raises HandlerError."""
        ...

    def stream(self, request: ChatRequest, context: CallContext) -> AsyncGenerator[Streamed, None]:
        """Yield pieces of the answer, then the whole answer. Closing it closes the connection to the provider."""
        ...

    async def extract(
        self, request: ChatRequest, schema: AnswerSchema, max_retries: int, context: CallContext
    ) -> Extracted:
        """Return an answer that fits, asking again up to `max_retries` times. Raises HandlerError."""
        ...

    def stream_extract(
        self, request: ChatRequest, schema: AnswerSchema, max_retries: int, context: CallContext
    ) -> AsyncGenerator[Grown | Extracted, None]:
        """Yield what grows of the answer, then the one that fits. Closing it closes the connection to the provider."""
        ...

    async def make_images(self, request: ImageRequest, context: CallContext) -> ImageAnswer:
        """Return images. Raises HandlerError."""
        ...
