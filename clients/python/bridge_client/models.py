"""Language models: `client.models`, sync and async. Owns no state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from bridge_client import model_operations as operations
from bridge_client import spending_operations
from bridge_client.conversation import Conversation
from bridge_client.model_operations import CachedSettings, Delivery, Schema, Settings, Tools, to_settings
from bridge_client.records import Extraction, Generation, GenerationEvent

if TYPE_CHECKING:
    from bridge_client.async_wire import AsyncStream, AsyncWire
    from bridge_client.model_records import Batch, BatchAnswer, BatchSummary, ExtractionEvent, GeneratedImages
    from bridge_client.spending_records import ModelInfo, Spent
    from bridge_client.sync_wire import Stream, SyncWire

ValueT = TypeVar("ValueT")


class Models:
    """The language models of the server's configuration."""

    def __init__(self, wire: SyncWire) -> None:
        self._wire = wire

    def list(self) -> tuple[ModelInfo, ...]:
        """The configured models with their limits, and how they stand."""
        return self._wire.unary(spending_operations.list_models())

    def costs(self, function: str = "") -> Spent:
        """What calls have used of models, by tenant, function and model, and what is left of standing budgets.

        `function` asks for the calls of one function alone. A client whose metadata name a tenant sees its own.
        """
        return self._wire.unary(spending_operations.list_costs(function))

    def generate(
        self,
        messages: Conversation,
        *,
        model: str = "",
        tools: Tools = (),
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        cache: bool = True,
        **settings: Unpack[Settings],
    ) -> Generation:
        """A model's whole answer to a text or a conversation. `model` is its name in the server's configuration.

        `tool_choice` is ``auto``, ``none``, ``required`` or the name of the tool that must be called. With
        `cache` false no answer will do that the server has kept, and this one is not kept.
        """
        options, choice = to_settings(settings), (tool_choice, parallel_tool_calls)
        return self._wire.unary(operations.generate(messages, model, options, tools, choice, cache=cache))

    def stream(
        self,
        messages: Conversation,
        *,
        model: str = "",
        tools: Tools = (),
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        cache: bool = True,
        **settings: Unpack[Settings],
    ) -> Stream[GenerationEvent]:
        """A model's answer as it is written (`TextDelta`, `ToolCallDelta`), then the whole of it (`Generation`)."""
        options, choice = to_settings(settings), (tool_choice, parallel_tool_calls)
        return self._wire.stream(operations.stream_generate(messages, model, options, tools, choice, cache=cache))

    @overload
    def extract(
        self, schema: type[ValueT], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ..., cache: bool = ...,
    ) -> Extraction[ValueT]: ...  # fmt: skip
    @overload
    def extract(
        self, schema: Mapping[str, Any], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ..., cache: bool = ...,
    ) -> Extraction[dict[str, Any]]: ...  # fmt: skip
    def extract(
        self,
        schema: Schema,
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        max_retries: int | None = None,
        cache: bool = True,
    ) -> Extraction[Any]:
        """An answer that fits a JSON Schema, a pydantic model, a dataclass or a TypedDict.

        A model that answers something else is asked again up to `max_retries` times (0 to 10; None means 2).
        """
        given = CachedSettings(
            temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed, cache=cache
        )
        return self._wire.unary(operations.extract(schema, messages, model, to_settings(given), max_retries))

    def stream_extract(
        self,
        schema: Schema,
        messages: Conversation,
        *,
        model: str = "",
        max_retries: int | None = None,
        **settings: Unpack[CachedSettings],
    ) -> Stream[ExtractionEvent]:
        """An answer that fits a schema while it is written, then the whole of it (`Extraction`).

        It comes as `PartialAnswer` that grow; where the schema is a list (`list[Person]`) as one `AnswerItem` after
        the other. Where an attempt does not fit, a new one begins: `attempt` says which one an event belongs to.
        """
        options = to_settings(settings)
        return self._wire.stream(operations.stream_extract(schema, messages, model, options, max_retries))

    def generate_batch(
        self,
        prompts: Sequence[Conversation],
        *,
        model: str = "",
        tools: Tools = (),
        max_concurrency: int = 0,
        **settings: Unpack[CachedSettings],
    ) -> Batch[Generation]:
        """A model's answers to many texts or conversations, in their order. One that fails does not fail the others.

        `max_concurrency` of them (1 to 64; 0 means 8) are under way at the same time.
        """
        options = to_settings(settings)
        return self._wire.unary(operations.generate_batch(prompts, model, options, tools, max_concurrency))

    def stream_generate_batch(
        self,
        prompts: Sequence[Conversation],
        *,
        model: str = "",
        tools: Tools = (),
        max_concurrency: int = 0,
        **settings: Unpack[CachedSettings],
    ) -> Stream[BatchAnswer[Generation] | BatchSummary]:
        """A model's answers to many prompts as they are ready, in any order, then a summary."""
        options = to_settings(settings)
        return self._wire.stream(operations.stream_generate_batch(prompts, model, options, tools, max_concurrency))

    def extract_batch(
        self,
        schema: Schema,
        prompts: Sequence[Conversation],
        *,
        model: str = "",
        max_retries: int | None = None,
        max_concurrency: int = 0,
        **settings: Unpack[CachedSettings],
    ) -> Batch[Extraction[Any]]:
        """For each of many prompts an answer that fits one schema. One that fails does not fail the others."""
        options = to_settings(settings)
        asked = operations.extract_batch(schema, prompts, model, options, max_retries, max_concurrency)
        return self._wire.unary(asked)

    def generate_images(
        self,
        prompt: str,
        *,
        model: str = "",
        count: int = 1,
        size: str = "",
        quality: str = "",
        delivery: Delivery = "any",
    ) -> GeneratedImages:
        """Images from a text. Sizes (``1024x1024``) and qualities are those that the model knows.

        `delivery` says whether bytes or addresses are wanted, for models that have the choice.
        """
        asked = operations.generate_images(prompt, model, count, size, quality, delivery)
        return self._wire.unary(asked)


class AsyncModels:
    """The language models of the server's configuration."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def list(self) -> tuple[ModelInfo, ...]:
        """The configured models with their limits, and how they stand."""
        return await self._wire.unary(spending_operations.list_models())

    async def costs(self, function: str = "") -> Spent:
        """What calls have used of models, by tenant, function and model, and what is left of standing budgets.

        `function` asks for the calls of one function alone. A client whose metadata name a tenant sees its own.
        """
        return await self._wire.unary(spending_operations.list_costs(function))

    async def generate(
        self,
        messages: Conversation,
        *,
        model: str = "",
        tools: Tools = (),
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        cache: bool = True,
        **settings: Unpack[Settings],
    ) -> Generation:
        """A model's whole answer to a text or a conversation. `model` is its name in the server's configuration.

        `tool_choice` is ``auto``, ``none``, ``required`` or the name of the tool that must be called. With
        `cache` false no answer will do that the server has kept, and this one is not kept.
        """
        options, choice = to_settings(settings), (tool_choice, parallel_tool_calls)
        return await self._wire.unary(operations.generate(messages, model, options, tools, choice, cache=cache))

    def stream(
        self,
        messages: Conversation,
        *,
        model: str = "",
        tools: Tools = (),
        tool_choice: str | None = None,
        parallel_tool_calls: bool | None = None,
        cache: bool = True,
        **settings: Unpack[Settings],
    ) -> AsyncStream[GenerationEvent]:
        """A model's answer as it is written (`TextDelta`, `ToolCallDelta`), then the whole of it (`Generation`)."""
        options, choice = to_settings(settings), (tool_choice, parallel_tool_calls)
        return self._wire.stream(operations.stream_generate(messages, model, options, tools, choice, cache=cache))

    @overload
    async def extract(
        self, schema: type[ValueT], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ..., cache: bool = ...,
    ) -> Extraction[ValueT]: ...  # fmt: skip
    @overload
    async def extract(
        self, schema: Mapping[str, Any], messages: Conversation, *, model: str = ..., temperature: float | None = ...,
        top_p: float | None = ..., max_tokens: int | None = ..., stop: str | Sequence[str] = ...,
        seed: int | None = ..., max_retries: int | None = ..., cache: bool = ...,
    ) -> Extraction[dict[str, Any]]: ...  # fmt: skip
    async def extract(
        self,
        schema: Schema,
        messages: Conversation,
        *,
        model: str = "",
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        max_retries: int | None = None,
        cache: bool = True,
    ) -> Extraction[Any]:
        """An answer that fits a JSON Schema, a pydantic model, a dataclass or a TypedDict.

        A model that answers something else is asked again up to `max_retries` times (0 to 10; None means 2).
        """
        given = CachedSettings(
            temperature=temperature, top_p=top_p, max_tokens=max_tokens, stop=stop, seed=seed, cache=cache
        )
        return await self._wire.unary(operations.extract(schema, messages, model, to_settings(given), max_retries))

    def stream_extract(
        self,
        schema: Schema,
        messages: Conversation,
        *,
        model: str = "",
        max_retries: int | None = None,
        **settings: Unpack[CachedSettings],
    ) -> AsyncStream[ExtractionEvent]:
        """An answer that fits a schema while it is written, then the whole of it (`Extraction`).

        It comes as `PartialAnswer` that grow; where the schema is a list (`list[Person]`) as one `AnswerItem` after
        the other. Where an attempt does not fit, a new one begins: `attempt` says which one an event belongs to.
        """
        options = to_settings(settings)
        return self._wire.stream(operations.stream_extract(schema, messages, model, options, max_retries))

    async def generate_batch(
        self,
        prompts: Sequence[Conversation],
        *,
        model: str = "",
        tools: Tools = (),
        max_concurrency: int = 0,
        **settings: Unpack[CachedSettings],
    ) -> Batch[Generation]:
        """A model's answers to many texts or conversations, in their order. One that fails does not fail the others.

        `max_concurrency` of them (1 to 64; 0 means 8) are under way at the same time.
        """
        options = to_settings(settings)
        return await self._wire.unary(operations.generate_batch(prompts, model, options, tools, max_concurrency))

    def stream_generate_batch(
        self,
        prompts: Sequence[Conversation],
        *,
        model: str = "",
        tools: Tools = (),
        max_concurrency: int = 0,
        **settings: Unpack[CachedSettings],
    ) -> AsyncStream[BatchAnswer[Generation] | BatchSummary]:
        """A model's answers to many prompts as they are ready, in any order, then a summary."""
        options = to_settings(settings)
        return self._wire.stream(operations.stream_generate_batch(prompts, model, options, tools, max_concurrency))

    async def extract_batch(
        self,
        schema: Schema,
        prompts: Sequence[Conversation],
        *,
        model: str = "",
        max_retries: int | None = None,
        max_concurrency: int = 0,
        **settings: Unpack[CachedSettings],
    ) -> Batch[Extraction[Any]]:
        """For each of many prompts an answer that fits one schema. One that fails does not fail the others."""
        options = to_settings(settings)
        asked = operations.extract_batch(schema, prompts, model, options, max_retries, max_concurrency)
        return await self._wire.unary(asked)

    async def generate_images(
        self,
        prompt: str,
        *,
        model: str = "",
        count: int = 1,
        size: str = "",
        quality: str = "",
        delivery: Delivery = "any",
    ) -> GeneratedImages:
        """Images from a text. Sizes (``1024x1024``) and qualities are those that the model knows.

        `delivery` says whether bytes or addresses are wanted, for models that have the choice.
        """
        asked = operations.generate_images(prompt, model, count, size, quality, delivery)
        return await self._wire.unary(asked)
