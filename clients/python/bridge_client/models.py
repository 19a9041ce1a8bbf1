"""Language models: `client.models`, sync and async. Owns no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from bridge_client import convert
from bridge_client.conversation import Conversation, to_messages, to_options, to_schema, to_tools
from bridge_client.records import Extraction, Generation, GenerationEvent, TextDelta, Tool
from bridge_client.v1 import model_pb2
from bridge_client.wire import Operation, UnknownEvent, operation

if TYPE_CHECKING:
    from bridge_client.async_wire import AsyncStream, AsyncWire
    from bridge_client.sync_wire import Stream, SyncWire

ValueT = TypeVar("ValueT")

Tools = Sequence[Tool | Mapping[str, Any]]


class Models:
    """The language models of the server's configuration."""

    def __init__(self, wire: SyncWire) -> None:
        self._wire = wire

    def generate(
        self,
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        tools: Tools = (),
    ) -> Generation:
        """A model's whole answer to a text or a conversation. `model` is its name in the server's configuration."""
        options = to_options(temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed)
        return self._wire.unary(_generate(messages, model, options, tools))

    def stream(
        self,
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        tools: Tools = (),
    ) -> Stream[GenerationEvent]:
        """A model's answer as it is written (`TextDelta`), then the whole of it (`Generation`)."""
        options = to_options(temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed)
        return self._wire.stream(_stream_generate(messages, model, options, tools))

    @overload
    def extract(
        self, schema: type[ValueT], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ...,
    ) -> Extraction[ValueT]: ...  # fmt: skip
    @overload
    def extract(
        self, schema: Mapping[str, Any], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ...,
    ) -> Extraction[dict[str, Any]]: ...  # fmt: skip
    def extract(
        self,
        schema: type[Any] | Mapping[str, Any],
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        max_retries: int | None = None,
    ) -> Extraction[Any]:
        """An answer that fits a JSON Schema, a pydantic model, a dataclass or a TypedDict.

        A model that answers something else is asked again up to `max_retries` times (0 to 10; None means 2).
        """
        options = to_options(temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed)
        return self._wire.unary(_extract(schema, messages, model, options, max_retries))


class AsyncModels:
    """The language models of the server's configuration."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def generate(
        self,
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        tools: Tools = (),
    ) -> Generation:
        """A model's whole answer to a text or a conversation. `model` is its name in the server's configuration."""
        options = to_options(temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed)
        return await self._wire.unary(_generate(messages, model, options, tools))

    def stream(
        self,
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        tools: Tools = (),
    ) -> AsyncStream[GenerationEvent]:
        """A model's answer as it is written (`TextDelta`), then the whole of it (`Generation`)."""
        options = to_options(temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed)
        return self._wire.stream(_stream_generate(messages, model, options, tools))

    @overload
    async def extract(
        self, schema: type[ValueT], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ...,
    ) -> Extraction[ValueT]: ...  # fmt: skip
    @overload
    async def extract(
        self, schema: Mapping[str, Any], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ...,
    ) -> Extraction[dict[str, Any]]: ...  # fmt: skip
    async def extract(
        self,
        schema: type[Any] | Mapping[str, Any],
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        max_retries: int | None = None,
    ) -> Extraction[Any]:
        """An answer that fits a JSON Schema, a pydantic model, a dataclass or a TypedDict.

        A model that answers something else is asked again up to `max_retries` times (0 to 10; None means 2).
        """
        options = to_options(temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed)
        return await self._wire.unary(_extract(schema, messages, model, options, max_retries))


def _generate(
    messages: Conversation, model: str, options: model_pb2.GenerationOptions, tools: Tools
) -> Operation[Generation]:
    request = model_pb2.GenerateRequest(
        model=model, messages=to_messages(messages), options=options, tools=to_tools(tools)
    )
    return operation("ModelService/Generate", request, model_pb2.GenerateResponse, convert.generation)


def _stream_generate(
    messages: Conversation, model: str, options: model_pb2.GenerationOptions, tools: Tools
) -> Operation[GenerationEvent]:
    request = model_pb2.StreamGenerateRequest(
        model=model, messages=to_messages(messages), options=options, tools=to_tools(tools)
    )
    return operation("ModelService/StreamGenerate", request, model_pb2.StreamGenerateResponse, _event)


def _event(reply: model_pb2.StreamGenerateResponse) -> GenerationEvent:
    kind = reply.WhichOneof("event")
    if kind == "text_delta":
        return TextDelta(text=reply.text_delta)
    if kind == "final":
        return convert.generation(reply.final)
    raise UnknownEvent


def _extract(
    schema: type[Any] | Mapping[str, Any],
    messages: Conversation,
    model: str,
    options: model_pb2.GenerationOptions,
    max_retries: int | None,
) -> Operation[Extraction[Any]]:
    text, read_value = to_schema(schema)
    request = model_pb2.ExtractRequest(
        model=model, messages=to_messages(messages), schema=text, options=options, max_retries=max_retries
    )

    def read(reply: model_pb2.ExtractResponse) -> Extraction[Any]:
        return Extraction(
            value=read_value(reply.json),
            model=reply.model,
            usage=convert.usage(reply.usage),
            attempts=reply.attempts,
        )

    return operation("ModelService/Extract", request, model_pb2.ExtractResponse, read)
