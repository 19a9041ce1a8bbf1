"""The built-in test model behind the same interface as any other model. It needs no library and no network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from handlers.contract import UsageRecord
from handlers.models import answer_schema, test_model, test_pictures
from handlers.models.chat import ChatAnswer, ChatRequest, Extracted, Grown, Streamed, ToolCallPiece
from handlers.models.gate import Gate, as_it_is
from handlers.models.growth import Growth
from handlers.models.images import ImageAnswer, ImageRequest, MadeImage, image_question
from handlers.models.kept import kept_answer, kept_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from handlers.context import CallContext
    from handlers.contract import ModelOptions


class BuiltInModel:
    """Answers with `handlers.models.test_model`."""

    def __init__(self, name: str, options: ModelOptions) -> None:
        self._max_tokens = options.max_tokens
        self._gate = Gate(name, options)

    async def complete(self, request: ChatRequest, context: CallContext) -> ChatAnswer:
        """Return the whole answer."""
        return await self._answer(request, context)

    async def stream(self, request: ChatRequest, context: CallContext) -> AsyncGenerator[Streamed, None]:
        """Yield the answer in pieces, then whole."""
        answer = await self._answer(request, context)
        for piece in test_model.chunks(answer.text):
            yield piece
        for index, call in enumerate(answer.tool_calls):
            yield ToolCallPiece(index=index, id=call["id"], name=call["name"])
            for piece in test_model.chunks(call["arguments"]):
                yield ToolCallPiece(index=index, arguments=piece)
        yield answer

    async def extract(
        self, request: ChatRequest, schema: answer_schema.AnswerSchema, max_retries: int, context: CallContext
    ) -> Extracted:
        """Return an answer made from the schema. It never asks twice: the same question has the same answer."""
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema.schema}}
        plain = ChatRequest(messages=request.messages, way=request.way)
        answer = await self._answer(plain, context, response_format=wanted)
        if answer.finish_reason == "length":
            cut = (("", "the answer was cut: max_tokens is too small"),)
            raise answer_schema.output_invalid(cut, 1, answer.model)
        if violations := schema.violations(json.loads(answer.text)):
            raise answer_schema.output_invalid(violations, 1, answer.model)
        return Extracted(json_text=answer.text, model=answer.model, usage=answer.usage, attempts=1)

    async def stream_extract(
        self, request: ChatRequest, schema: answer_schema.AnswerSchema, max_retries: int, context: CallContext
    ) -> AsyncGenerator[Grown | Extracted, None]:
        """Yield the answer as if it were written piece by piece, then whole."""
        found = await self.extract(request, schema, max_retries, context)
        growth = Growth(schema)
        growth.begin(1)
        for piece in test_model.chunks(found.json_text):
            growth.add(piece)
            while (grown := growth.next()) is not None:
                yield grown
        yield found

    async def make_images(self, request: ImageRequest, context: CallContext) -> ImageAnswer:
        """Return pictures of one colour; always as bytes."""
        read, written = test_model.count_tokens(request.prompt), test_pictures.TOKENS * request.count
        price = self._gate.spending.images_price_usd(request.count, read, written)
        usage = UsageRecord(model=test_model.NAME, calls=1, input_tokens=read, output_tokens=written, cost_usd=price)
        question = image_question(self._gate, request)
        async for attempt in self._gate.visit(context, question, as_it_is):
            async with attempt:
                attempt.use.take(usage)
                context.record_usage(usage)
        drawn = (test_pictures.draw(request.prompt, request.size, number) for number in range(request.count))
        made = [MadeImage(data=data, media_type="image/png") for data in drawn]
        return ImageAnswer(images=made, model=usage.model, usage=usage)

    async def _answer(
        self, request: ChatRequest, context: CallContext, response_format: dict[str, Any] | None = None
    ) -> ChatAnswer:
        max_tokens = request.options.get("max_tokens", self._max_tokens)
        arguments = {
            "messages": request.messages,
            "tools": request.tools,
            "response_format": response_format,
            **request.options,
            "max_tokens": max_tokens,
        }
        question = self._gate.question(
            [request.messages, request.tools],
            arguments if request.way.cache else None,
            max_tokens=max_tokens,
            passed=request.way.passed,
            last=request.way.last,
        )
        async for attempt in self._gate.visit(context, question, as_it_is):
            async with attempt:
                if attempt.answer is not None:
                    answer = kept_answer(attempt.answer)
                    continue
                answer = self._made(request, response_format, max_tokens)
                attempt.use.take(answer.usage)
                attempt.keep = kept_bytes(answer, answer.usage)
        context.record_usage(answer.usage)
        return answer

    def _made(self, request: ChatRequest, response_format: dict[str, Any] | None, max_tokens: int | None) -> ChatAnswer:
        made = test_model.answer(
            request.messages,
            tools=request.tools,
            tool_choice=request.options.get("tool_choice"),
            response_format=response_format,
            max_tokens=max_tokens,
        )
        usage = UsageRecord(
            model=made.model,
            calls=1,
            input_tokens=made.input_tokens,
            output_tokens=made.output_tokens,
            cost_usd=self._gate.spending.price_usd(made.input_tokens, made.output_tokens),
        )
        return ChatAnswer(
            text=made.text,
            finish_reason=made.finish_reason,
            model=made.model,
            tool_calls=[{"id": call["id"], **call["function"]} for call in made.tool_calls],
            usage=usage,
        )
