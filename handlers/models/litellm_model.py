"""A configured model of any provider that LiteLLM knows.

Owns the policy of its calls: time limits, what counts as a whole answer, and the record of use; `gate` repeats them.
Closing a stream, or cancelling a call, closes the connection to the provider. Knows neither protobuf nor the bridge.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as replace_record

from handlers.contract import ModelOptions, UsageRecord
from handlers.models import errors, extraction, images, litellm_library
from handlers.models.boundary import asked, followed, made, streamed
from handlers.models.chat import ChatAnswer, ChatRequest, Extracted, Grown, Streamed, Way
from handlers.models.gate import Gate, Visit, as_it_is
from handlers.models.growth import Growth, watched
from handlers.models.images import ImageAnswer, ImageRequest
from handlers.models.kept import kept_answer, kept_bytes
from handlers.models.stream_answer import StreamAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from handlers.context import CallContext
    from handlers.models.answer_schema import AnswerSchema

_BEHIND_S = 5.0
"""So much later than ours the client's own time limit comes: ours says which setting it is."""
WAY = "bridge_way"
"""Among the arguments of a request, its `Way`, which is not sent."""


class LiteLLMModel:
    """One model of the configuration. `sleep` waits between attempts; tests pass their own."""

    def __init__(
        self, name: str, options: ModelOptions, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.name = name
        self.options = options
        self._gate = Gate(name, options, sleep)

    async def complete(self, request: ChatRequest, context: CallContext) -> ChatAnswer:
        """Return the whole answer."""
        usage: list[UsageRecord] = []
        response = await self.ask(self._arguments(request), context, usage)
        return _answer(response, usage[-1])

    @streamed
    async def stream(self, request: ChatRequest, context: CallContext) -> AsyncGenerator[Streamed, None]:
        """Yield pieces of the answer, then all of it."""
        answer, usage = StreamAnswer(), list[UsageRecord]()
        async with aclosing(self.follow(self._arguments(request), context, usage, answer)) as texts:
            async for text in texts:
                if text:
                    yield text
                for piece in answer.added_calls:
                    yield piece
        yield answer.whole(usage[-1])

    async def extract(
        self, request: ChatRequest, schema: AnswerSchema, max_retries: int, context: CallContext
    ) -> Extracted:
        """Return an answer that fits the schema."""
        return await extraction.extract(self, self._arguments(request), schema, max_retries, context)

    async def stream_extract(
        self, request: ChatRequest, schema: AnswerSchema, max_retries: int, context: CallContext
    ) -> AsyncGenerator[Grown | Extracted, None]:
        """Yield the answer as it grows, then the one that fits."""
        growth = Growth(schema)
        work = extraction.extract(self, self._arguments(request), schema, max_retries, context, growth)
        async with aclosing(watched(growth, work)) as events:
            async for event in events:
                yield event

    @asked
    async def ask(self, arguments: dict[str, Any], context: CallContext, usage: list[UsageRecord]) -> Any:
        """Send one request, repeats included, and return LiteLLM's response with at least one choice.

        What it used goes into the context and is appended to `usage`. Raises HandlerError.
        """
        work, response = _Work(), None
        try:
            async for attempt in self._visit(arguments, context):
                async with attempt:
                    if attempt.answer is not None:
                        kept = kept_answer(attempt.answer)
                        work.kept, response = kept.usage, _response(kept)
                        continue
                    with work.measured():
                        response = await self._send(arguments, context, attempt)
                        work.counted, work.answered = getattr(response, "usage", None), response.model
                        attempt.use.take(found := self._usage(work))
                    if response.choices:
                        attempt.keep = kept_bytes(_answer(response, found), found)
        finally:
            usage.append(self._usage(work))
            context.record_usage(usage[-1], model_s=work.seconds)
        if response is None or not response.choices:
            raise errors.broken_off(self.name, self.options, "the reply holds no choices")
        return response

    @made
    async def make_images(self, request: ImageRequest, context: CallContext) -> ImageAnswer:
        """Return images."""
        arguments = {**images.arguments(request), **self._where()}
        work, response = _Work(), None
        usage = self._usage(work)
        try:
            async for attempt in self._gate.visit(context, images.image_question(self._gate, request), as_it_is):
                async with attempt:
                    with work.measured():
                        response = await self._send(arguments, context, attempt)
                    work.counted = getattr(response, "usage", None)
                    attempt.use.take(self._images_usage(work, response, request.count))
        finally:
            usage = self._images_usage(work, response, request.count)
            context.record_usage(usage, model_s=work.seconds)
        try:
            return ImageAnswer(images=images.made_images(response), model=usage.model, usage=usage)
        except images.NoImage as error:
            raise errors.broken_off(self.name, self.options, str(error)) from None

    @followed
    async def follow(
        self, arguments: dict[str, Any], context: CallContext, usage: list[UsageRecord], answer: StreamAnswer
    ) -> AsyncGenerator[str, None]:
        """Send one request and put its answer together in `answer`; yield the text that each chunk adds, if any.

        It is repeated as long as nothing of an answer has come. What it used goes into the context and is appended to
        `usage`. Raises HandlerError.
        """
        arguments = {**arguments, "stream": True, "stream_options": {"include_usage": True}}
        work = _Work()
        try:
            async for attempt in self._visit(arguments, context):
                async with attempt:
                    if attempt.answer is not None:
                        kept = kept_answer(attempt.answer)
                        work.kept = kept.usage
                        for text in answer.replay(kept):
                            yield text
                        continue
                    answer.clear()
                    with work.measured():
                        async with aclosing(await self._send(arguments, context, attempt)) as chunks:
                            while (chunk := await self._next(chunks, context)) is not None:
                                text = answer.add(chunk)
                                attempt.began = answer.began
                                yield text
                            if answer.broken_off(chunks):
                                what = "the stream ended before the answer was whole"
                                raise errors.broken_off(self.name, self.options, what)
                    work.counted, work.answered = answer.usage, answer.model
                    attempt.use.take(found := self._usage(work))
                    attempt.keep = kept_bytes(answer.whole(found), found)
        finally:
            if work.kept is None:
                work.counted, work.answered = answer.usage, answer.model
            usage.append(self._usage(work))
            context.record_usage(usage[-1], model_s=work.seconds)

    def _visit(self, arguments: dict[str, Any], context: CallContext) -> Visit:
        """Return the request as the front's gate takes it; what only the gate is to know leaves the arguments."""
        way: Way = arguments.pop(WAY, Way())
        question = self._gate.question(
            [arguments["messages"], arguments.get("tools")],
            arguments if way.cache else None,
            max_tokens=arguments.get("max_tokens"),
            passed=way.passed,
            last=way.last,
        )
        return self._gate.visit(context, question, as_it_is)

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        options = self.options
        usual = {"temperature": options.temperature, "max_tokens": options.max_tokens}
        arguments: dict[str, Any] = {key: value for key, value in usual.items() if value is not None}
        arguments.update(request.options)
        if request.tools:
            arguments["tools"] = request.tools
        return {**arguments, "messages": request.messages, WAY: request.way, **self._where()}

    def _where(self) -> dict[str, Any]:
        """Return the arguments that say which model is asked, and where."""
        options = self.options
        # A server at an address of one's own gets no key from the environment: that one is meant for the provider.
        key = options.api_key or ("none" if options.api_base else None)
        return {
            "model": options.model,
            "api_key": key,
            "api_base": options.api_base,
            "num_retries": 0,
            "max_retries": 0,
        }

    async def _send(self, arguments: dict[str, Any], context: CallContext, attempt: Visit) -> Any:
        limit_s = self._limit_s(context)
        attempt.waited_in_full = limit_s >= self.options.timeout_s
        litellm = litellm_library.load()
        try:
            async with asyncio.timeout(limit_s):
                if "prompt" in arguments:
                    return await images.send(litellm, arguments, limit_s + _BEHIND_S)
                return await litellm.acompletion(**self._supported(litellm, arguments), timeout=limit_s + _BEHIND_S)
        except TimeoutError as error:
            raise errors.timed_out(self.name, self.options, limit_s) from error
        except litellm_library.failures() as error:
            raise errors.provider_error(error, self.name, self.options) from None

    async def _next(self, chunks: Any, context: CallContext) -> Any:
        """Return the next chunk, None at the end."""
        limit_s = self._limit_s(context)
        try:
            async with asyncio.timeout(limit_s):
                return await anext(chunks, None)
        except TimeoutError as error:
            raise errors.timed_out(self.name, self.options, limit_s) from error
        except litellm_library.failures() as error:
            raise errors.provider_error(error, self.name, self.options) from None

    def _limit_s(self, context: CallContext) -> float:
        remaining = context.remaining_s()
        limit_s = self.options.timeout_s if remaining is None else min(self.options.timeout_s, remaining)
        if limit_s <= 0:
            raise errors.timed_out(self.name, self.options, 0.0)
        return limit_s

    def _supported(self, litellm: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """Leave out a seed where the provider has none: it is a wish, unlike every other option."""
        if "seed" not in arguments:
            return arguments
        known = litellm.get_supported_openai_params(model=arguments["model"])
        if known is None or "seed" in known:
            return arguments
        return {key: value for key, value in arguments.items() if key != "seed"}

    def _usage(self, work: _Work) -> UsageRecord:
        if work.kept is not None:
            return replace_record(work.kept, calls=work.sent + 1, unpriced_calls=work.sent)
        calls, counted = work.sent, work.counted
        model = work.answered or self.options.model.partition("/")[2] or self.options.model
        if counted is None:
            return UsageRecord(model=model, calls=calls, unpriced_calls=calls)
        details = getattr(counted, "prompt_tokens_details", None)
        read, written = counted.prompt_tokens or 0, counted.completion_tokens or 0
        cached = getattr(details, "cached_tokens", None) or 0
        price = self._gate.spending.price_usd(read, written, model)
        return UsageRecord(
            model=model,
            calls=calls,
            input_tokens=read,
            output_tokens=written,
            cached_tokens=cached,
            cost_usd=price,
            cached_calls=int(cached > 0),
            unpriced_calls=calls if price is None else 0,
        )

    def _images_usage(self, work: _Work, response: Any, count: int) -> UsageRecord:
        tokens = self._usage(work)
        if response is None:
            return tokens
        price = self._gate.spending.images_price_usd(count, tokens.input_tokens, tokens.output_tokens)
        if price is None:
            price = images.price_usd(response)
        return replace_record(tokens, cost_usd=price, unpriced_calls=0 if price is not None else work.sent)


class _Work:
    """What one request has taken, its repeats included."""

    def __init__(self) -> None:
        self.sent = 0
        self.seconds = 0.0
        self.counted: Any = None
        self.answered: str | None = None
        self.kept: UsageRecord | None = None
        """What is recorded of an answer out of the front's cache."""

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Count what is sent in the block, and its time."""
        started = time.monotonic()
        self.sent += 1
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started


def _answer(response: Any, usage: UsageRecord) -> ChatAnswer:
    choice = response.choices[0]
    message = choice.message
    calls = [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in message.tool_calls or []
    ]
    refusal = _refusal(message)
    return ChatAnswer(
        text=message.content or refusal or "",
        finish_reason="content_filter" if refusal and not message.content else choice.finish_reason or "",
        model=usage.model,
        tool_calls=calls,
        usage=usage,
    )


def _response(kept: ChatAnswer) -> Any:
    """Return an answer that was kept in the form of LiteLLM's response."""
    calls = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in kept.tool_calls
    ]
    message = {"role": "assistant", "content": kept.text or None, "tool_calls": calls or None}
    choice = {"index": 0, "finish_reason": kept.finish_reason, "message": message}
    return litellm_library.load().ModelResponse(model=kept.model, choices=[choice])


def _refusal(message: Any) -> str | None:
    fields = getattr(message, "provider_specific_fields", None) or {}
    refusal = getattr(message, "refusal", None) or fields.get("refusal")
    return str(refusal) if refusal else None
