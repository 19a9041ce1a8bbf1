"""Serves language models: bridge.models.generate, extract, and what belongs to them.

Owns the configured models of this process. Nothing heavy is imported until the first call or the warm-up, and nothing
but the standard library is needed for the built-in test model.
"""

from __future__ import annotations

from contextlib import aclosing
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from bridge.v1 import model_pb2
from handlers.errors import HandlerError, Unknown
from handlers.models import litellm_library, messages, test_model
from handlers.models.answer_schema import AnswerSchema
from handlers.models.batch import Batches
from handlers.models.built_in import BuiltInModel
from handlers.models.chain import ChainModel
from handlers.proto_handler import ProtoHandler, Rpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from handlers.context import CallContext
    from handlers.contract import EntryOptions, Handler, ModelOptions
    from handlers.models.chat import ChatModel

DEFAULT = "default"

_QUESTION = {"messages": [{"role": "ROLE_USER", "content": "Say hello."}]}
_SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'

_EXTRACTION = {"messages": [{"role": "ROLE_USER", "content": "I live in Oslo."}], "schema": _SCHEMA}


def open_handlers(options: EntryOptions) -> list[Handler]:
    """Return the handlers of the family `models`."""
    models = Models(options.models)
    return [*_generating(models), *_extracting(models), *_batching(Batches(models.find)), _making(models)]


def _generating(models: Models) -> list[Handler]:
    return [
        ProtoHandler(
            Rpc(
                method="ModelService/Generate",
                request=model_pb2.GenerateRequest,
                response=model_pb2.GenerateResponse,
                run=models.generate,
                required=("messages",),
            ),
            name="bridge.models.generate",
            doc="Return a language model's whole answer to a conversation.",
            is_async=True,
            example=_QUESTION,
            warm_up=models.warm_up,
            preload=models.warm_up,
        ),
        ProtoHandler(
            Rpc(
                method="ModelService/StreamGenerate",
                request=model_pb2.StreamGenerateRequest,
                response=model_pb2.StreamGenerateResponse,
                run=models.stream_generate,
                required=("messages",),
            ),
            name="bridge.models.stream_generate",
            doc="Send a language model's answer as it is written: pieces of text, then the whole answer.",
            streaming=True,
            is_async=True,
            example=_QUESTION,
        ),
    ]


def _extracting(models: Models) -> list[Handler]:
    return [
        ProtoHandler(
            Rpc(
                method="ModelService/Extract",
                request=model_pb2.ExtractRequest,
                response=model_pb2.ExtractResponse,
                run=models.extract,
                required=("messages", "schema"),
            ),
            name="bridge.models.extract",
            doc="Return an answer that fits a JSON Schema, asking again with the errors when it does not.",
            is_async=True,
            example=_EXTRACTION,
        ),
        ProtoHandler(
            Rpc(
                method="ModelService/StreamExtract",
                request=model_pb2.StreamExtractRequest,
                response=model_pb2.StreamExtractResponse,
                run=models.stream_extract,
                required=("messages", "schema"),
            ),
            name="bridge.models.stream_extract",
            doc="Send an answer that fits a JSON Schema while it is written, a list item by item; then all of it.",
            streaming=True,
            is_async=True,
            example=_EXTRACTION,
        ),
    ]


def _batching(batches: Batches) -> list[Handler]:
    return [
        ProtoHandler(
            Rpc(
                method="ModelService/GenerateBatch",
                request=model_pb2.GenerateBatchRequest,
                response=model_pb2.GenerateBatchResponse,
                run=batches.generate,
                required=("prompts",),
            ),
            name="bridge.models.generate_batch",
            doc="Return a language model's answers to many prompts; one that fails does not fail the others.",
            is_async=True,
            example={"prompts": [_QUESTION]},
        ),
        ProtoHandler(
            Rpc(
                method="ModelService/StreamGenerateBatch",
                request=model_pb2.StreamGenerateBatchRequest,
                response=model_pb2.StreamGenerateBatchResponse,
                run=batches.stream_generate,
                required=("prompts",),
            ),
            name="bridge.models.stream_generate_batch",
            doc="Send a language model's answers to many prompts as they are ready, in any order; then a summary.",
            streaming=True,
            is_async=True,
            example={"prompts": [_QUESTION]},
        ),
        ProtoHandler(
            Rpc(
                method="ModelService/ExtractBatch",
                request=model_pb2.ExtractBatchRequest,
                response=model_pb2.ExtractBatchResponse,
                run=batches.extract,
                required=("prompts", "schema"),
            ),
            name="bridge.models.extract_batch",
            doc="Return an answer that fits one JSON Schema for each of many prompts.",
            is_async=True,
            example={"prompts": [_QUESTION], "schema": _SCHEMA},
        ),
    ]


def _making(models: Models) -> Handler:
    return ProtoHandler(
        Rpc(
            method="ModelService/GenerateImages",
            request=model_pb2.GenerateImagesRequest,
            response=model_pb2.GenerateImagesResponse,
            run=models.generate_images,
            required=("prompt",),
        ),
        name="bridge.models.generate_images",
        doc="Make images from a text.",
        is_async=True,
        example={"prompt": "A cat that reads."},
    )


class Models:
    """The configured models, made when they are first asked for."""

    def __init__(self, options: dict[str, ModelOptions]) -> None:
        self._options = options
        self._made: dict[str, ChatModel] = {}
        self._single: dict[str, ChatModel] = {}

    def warm_up(self) -> None:
        """Import LiteLLM where a configured model needs it. Where it is missing the first call says so."""
        if any(options.model != test_model.NAME for options in self._options.values()) and litellm_library.installed():
            litellm_library.load()

    async def generate(self, request: model_pb2.GenerateRequest, context: CallContext) -> model_pb2.GenerateResponse:
        """Answer Generate."""
        model = self.find(request.model)
        answer = await model.complete(messages.chat_request(request), context)
        return messages.generate_response(answer)

    async def stream_generate(
        self, request: model_pb2.StreamGenerateRequest, context: CallContext
    ) -> AsyncIterator[model_pb2.StreamGenerateResponse]:
        """Answer StreamGenerate."""
        model = self.find(request.model)
        async with aclosing(model.stream(messages.chat_request(request), context)) as events:
            async for event in events:
                yield messages.stream_generate_response(event)

    async def extract(self, request: model_pb2.ExtractRequest, context: CallContext) -> model_pb2.ExtractResponse:
        """Answer Extract."""
        model = self.find(request.model)
        question = messages.chat_request(request)
        schema = AnswerSchema.parse(request.schema)
        return messages.extract_response(await model.extract(question, schema, messages.retries(request), context))

    async def stream_extract(
        self, request: model_pb2.StreamExtractRequest, context: CallContext
    ) -> AsyncIterator[model_pb2.StreamExtractResponse]:
        """Answer StreamExtract."""
        model = self.find(request.model)
        question, schema = messages.chat_request(request), AnswerSchema.parse(request.schema)
        async with aclosing(model.stream_extract(question, schema, messages.retries(request), context)) as events:
            async for event in events:
                yield messages.stream_extract_response(event)

    async def generate_images(
        self, request: model_pb2.GenerateImagesRequest, context: CallContext
    ) -> model_pb2.GenerateImagesResponse:
        """Answer GenerateImages."""
        model, wanted = self.find(request.model), messages.image_request(request)
        return messages.images_response(await model.make_images(wanted, context))

    def find(self, asked: str) -> ChatModel:
        """Return a model by the name in a request, empty for the default one. Raises HandlerError."""
        name = asked or DEFAULT
        if name in self._made:
            return self._made[name]
        options = self._options.get(name)
        if options is None:
            raise self._unknown(name, asked)
        made = self._alone(name)
        rest = tuple((other, self._alone(other)) for other in options.fallbacks if other in self._options)
        self._made[name] = ChainModel(((name, made), *rest)) if rest else made
        return self._made[name]

    def _alone(self, name: str) -> ChatModel:
        """Return a model without what may stand in for it."""
        if name not in self._single:
            self._single[name] = _make(name, self._options[name])
        return self._single[name]

    def _unknown(self, name: str, asked: str) -> HandlerError:
        names = ", ".join(sorted(self._options))
        if not asked or not self._options:
            known = f" Configured models, to be named in the request: {names}." if names else ""
            return HandlerError(
                f"No model is configured under the name '{name}'. Add to bridge.toml:\n"
                f'[models.{name}]\nmodel = "openai/gpt-4o-mini"\napi_key = "env:OPENAI_API_KEY"\n'
                f'or, for the built-in test model, model = "{test_model.NAME}" without a key.{known}',
                code="FAILED_PRECONDITION",
                reason="MODEL_NOT_CONFIGURED",
                metadata={"model": name},
            )
        close = get_close_matches(name, self._options, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return Unknown(
            f"There is no model '{name}'.{hint} Configured models: {names}.",
            reason="UNKNOWN_MODEL",
            metadata={"model": name},
        )


def _make(name: str, options: ModelOptions) -> Any:
    if options.model == test_model.NAME:
        return BuiltInModel(name, options)
    from handlers.models.litellm_model import LiteLLMModel

    return LiteLLMModel(name, options)
