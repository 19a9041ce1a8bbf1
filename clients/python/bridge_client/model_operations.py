"""The RPCs of ModelService as operations, and what comes back as records. Pure: each RPC is written here once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, TypeVar

from bridge_client import convert, failures
from bridge_client.conversation import (
    Conversation,
    to_choice,
    to_item_reader,
    to_messages,
    to_options,
    to_schema,
    to_tools,
)
from bridge_client.model_records import (
    AnswerItem,
    Batch,
    BatchAnswer,
    BatchSummary,
    ExtractionEvent,
    GeneratedImage,
    GeneratedImages,
    PartialAnswer,
)
from bridge_client.reading import json_value
from bridge_client.records import Extraction, Generation, GenerationEvent, TextDelta, Tool, ToolCallDelta
from bridge_client.v1 import model_pb2
from bridge_client.wire import Operation, UnknownEvent, operation

if TYPE_CHECKING:
    from collections.abc import Callable

ValueT = TypeVar("ValueT")

Tools = Sequence[Tool | Mapping[str, Any]]
Choice = tuple[str | None, bool | None]
"""Whether tools must be called, and whether several may be at once."""
Schema = type[Any] | Mapping[str, Any]
Delivery = Literal["any", "data", "url"]
_DELIVERIES = {
    "any": model_pb2.IMAGE_DELIVERY_UNSPECIFIED,
    "data": model_pb2.IMAGE_DELIVERY_DATA,
    "url": model_pb2.IMAGE_DELIVERY_URL,
}


class Settings(TypedDict, total=False):
    """How a model is to generate; what is left out is the model's own default."""

    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str]
    seed: int | None


class CachedSettings(Settings, total=False):
    """The same, and whether answers will do that the server has kept, and these are kept; yes where it is left out."""

    cache: bool


class Asked(NamedTuple):
    """How a model is to generate, as requests say it."""

    options: model_pb2.GenerationOptions
    cache: bool | None = None
    """False where no answer will do that the server has kept."""


def to_settings(settings: Settings | CachedSettings) -> Asked:
    """Settings as messages have them."""
    given: dict[str, Any] = {"stop": (), **dict.fromkeys(("temperature", "top_p", "max_tokens", "seed")), **settings}
    cache = given.pop("cache", True)
    return Asked(to_options(**given), None if cache else False)


def generate(
    messages: Conversation,
    model: str,
    asked: Asked,
    tools: Tools,
    choice: Choice,
    *,
    cache: bool = True,
) -> Operation[Generation]:
    """A model's whole answer."""
    request = model_pb2.GenerateRequest(
        model=model,
        messages=to_messages(messages),
        options=asked.options,
        tools=to_tools(tools),
        tool_choice=to_choice(choice[0]),
        parallel_tool_calls=choice[1],
    )
    if not cache:
        request.cache = False
    return operation("ModelService/Generate", request, model_pb2.GenerateResponse, convert.generation)


def stream_generate(
    messages: Conversation,
    model: str,
    asked: Asked,
    tools: Tools,
    choice: Choice,
    *,
    cache: bool = True,
) -> Operation[GenerationEvent]:
    """A model's answer as it is written."""
    request = model_pb2.StreamGenerateRequest(
        model=model,
        messages=to_messages(messages),
        options=asked.options,
        tools=to_tools(tools),
        tool_choice=to_choice(choice[0]),
        parallel_tool_calls=choice[1],
    )
    if not cache:
        request.cache = False
    return operation("ModelService/StreamGenerate", request, model_pb2.StreamGenerateResponse, _event)


def _event(reply: model_pb2.StreamGenerateResponse) -> GenerationEvent:
    kind = reply.WhichOneof("event")
    if kind == "text_delta":
        return TextDelta(text=reply.text_delta)
    if kind == "final":
        return convert.generation(reply.final)
    if kind == "tool_call_delta":
        part = reply.tool_call_delta
        return ToolCallDelta(index=part.index, id=part.id, name=part.name, arguments=part.arguments_delta)
    raise UnknownEvent


def extract(
    schema: Schema,
    messages: Conversation,
    model: str,
    asked: Asked,
    max_retries: int | None,
) -> Operation[Extraction[Any]]:
    """An answer that fits a schema."""
    text, read_value = to_schema(schema)
    request = model_pb2.ExtractRequest(
        model=model,
        messages=to_messages(messages),
        schema=text,
        options=asked.options,
        cache=asked.cache,
        max_retries=max_retries,
    )

    return operation("ModelService/Extract", request, model_pb2.ExtractResponse, extraction(read_value))


def extraction(read_value: Callable[[str], Any]) -> Callable[[model_pb2.ExtractResponse], Extraction[Any]]:
    """How an answer is read whose JSON text `read_value` reads."""

    def read(reply: model_pb2.ExtractResponse) -> Extraction[Any]:
        return Extraction(
            value=read_value(reply.json),
            model=reply.model,
            usage=convert.usage(reply.usage),
            attempts=reply.attempts,
        )

    return read


def stream_extract(
    schema: Schema,
    messages: Conversation,
    model: str,
    asked: Asked,
    max_retries: int | None,
) -> Operation[ExtractionEvent]:
    """An answer that fits a schema, as it is written."""
    text, read_value = to_schema(schema)
    read_item, read_final = to_item_reader(schema), extraction(read_value)
    request = model_pb2.StreamExtractRequest(
        model=model,
        messages=to_messages(messages),
        schema=text,
        options=asked.options,
        cache=asked.cache,
        max_retries=max_retries,
    )

    def read(reply: model_pb2.StreamExtractResponse) -> ExtractionEvent:
        kind = reply.WhichOneof("event")
        if kind == "partial":
            found = reply.partial
            return PartialAnswer(number=found.number, attempt=found.attempt, value=json_value(found.json))
        if kind == "item":
            one = reply.item
            return AnswerItem(number=one.number, attempt=one.attempt, index=one.index, value=read_item(one.json))
        if kind == "final":
            return read_final(reply.final)
        raise UnknownEvent

    return operation("ModelService/StreamExtract", request, model_pb2.StreamExtractResponse, read)


def to_prompts(prompts: Sequence[Conversation], tools: Tools = ()) -> list[model_pb2.Prompt]:
    """The prompts of a batch. Raises TypeError for a single text, which would be one prompt for each letter."""
    if isinstance(prompts, str):
        msg = "expected a list of prompts, got one text"
        raise TypeError(msg)
    return [model_pb2.Prompt(messages=to_messages(one), tools=to_tools(tools)) for one in prompts]


def generate_batch(
    prompts: Sequence[Conversation],
    model: str,
    asked: Asked,
    tools: Tools,
    max_concurrency: int,
) -> Operation[Batch[Generation]]:
    """Answers to many prompts."""
    request = model_pb2.GenerateBatchRequest(
        model=model,
        prompts=to_prompts(prompts, tools),
        options=asked.options,
        cache=asked.cache,
        max_concurrency=max_concurrency,
    )

    def read(reply: model_pb2.GenerateBatchResponse) -> Batch[Generation]:
        answers = tuple(_of_batch(one, convert.generation) for one in reply.answers)
        return Batch(answers=answers, usage=tuple(map(convert.usage, reply.usage)), failed=reply.failed)

    return operation("ModelService/GenerateBatch", request, model_pb2.GenerateBatchResponse, read)


def stream_generate_batch(
    prompts: Sequence[Conversation],
    model: str,
    asked: Asked,
    tools: Tools,
    max_concurrency: int,
) -> Operation[BatchAnswer[Generation] | BatchSummary]:
    """Answers to many prompts as they are ready."""
    request = model_pb2.StreamGenerateBatchRequest(
        model=model,
        prompts=to_prompts(prompts, tools),
        options=asked.options,
        cache=asked.cache,
        max_concurrency=max_concurrency,
    )

    def read(reply: model_pb2.StreamGenerateBatchResponse) -> BatchAnswer[Generation] | BatchSummary:
        kind = reply.WhichOneof("event")
        if kind == "answer":
            return _of_batch(reply.answer, convert.generation)
        if kind == "final":
            end = reply.final
            return BatchSummary(answered=end.answered, failed=end.failed, usage=tuple(map(convert.usage, end.usage)))
        raise UnknownEvent

    return operation("ModelService/StreamGenerateBatch", request, model_pb2.StreamGenerateBatchResponse, read)


def extract_batch(
    schema: Schema,
    prompts: Sequence[Conversation],
    model: str,
    asked: Asked,
    max_retries: int | None,
    max_concurrency: int,
) -> Operation[Batch[Extraction[Any]]]:
    """Answers to many prompts that fit one schema."""
    text, read_value = to_schema(schema)
    request = model_pb2.ExtractBatchRequest(
        model=model,
        prompts=to_prompts(prompts),
        schema=text,
        options=asked.options,
        cache=asked.cache,
        max_retries=max_retries,
        max_concurrency=max_concurrency,
    )

    def read(reply: model_pb2.ExtractBatchResponse) -> Batch[Extraction[Any]]:
        answers = tuple(_of_batch(one, extraction(read_value)) for one in reply.answers)
        return Batch(answers=answers, usage=tuple(map(convert.usage, reply.usage)), failed=reply.failed)

    return operation("ModelService/ExtractBatch", request, model_pb2.ExtractBatchResponse, read)


def generate_images(
    prompt: str, model: str, count: int, size: str, quality: str, delivery: Delivery
) -> Operation[GeneratedImages]:
    """Images from a text."""
    if delivery not in _DELIVERIES:
        msg = f"expected a delivery of {', '.join(_DELIVERIES)}, got {delivery!r}"
        raise ValueError(msg)
    request = model_pb2.GenerateImagesRequest(
        model=model, prompt=prompt, count=count, size=size, quality=quality, delivery=_DELIVERIES[delivery]
    )

    def read(reply: model_pb2.GenerateImagesResponse) -> GeneratedImages:
        images = tuple(
            GeneratedImage(data=one.data, url=one.url, media_type=one.media_type, revised_prompt=one.revised_prompt)
            for one in reply.images
        )
        return GeneratedImages(images=images, model=reply.model, usage=convert.usage(reply.usage))

    return operation("ModelService/GenerateImages", request, model_pb2.GenerateImagesResponse, read)


def _of_batch(one: Any, read: Callable[[Any], Any]) -> BatchAnswer[Any]:
    if one.WhichOneof("outcome") == "failure":
        return BatchAnswer(index=one.index, answer=None, error=failures.of_part(one.failure))
    return BatchAnswer(index=one.index, answer=read(one.answer), error=None)
