"""A configured model of any provider that LiteLLM knows.

Owns the policy of its calls: time limits, retries of busy and failing providers, what counts as a whole answer, and
the record of use. Closing a stream, or cancelling a call, closes the connection to the provider. Knows neither
protobuf nor the bridge.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from handlers.contract import ModelOptions, UsageRecord
from handlers.errors import HandlerError, ProviderError
from handlers.models import errors, extraction, guard, litellm_library
from handlers.models.boundary import asked, streamed
from handlers.models.chat import ChatAnswer, ChatRequest, Extracted, Grown
from handlers.models.growth import Growth, watched
from handlers.models.spending import Spending, Use
from handlers.models.stream_answer import StreamAnswer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from handlers.context import CallContext
    from handlers.models.answer_schema import AnswerSchema

_RETRIED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0
_BEHIND_S = 5.0
"""So much later than ours the client's own time limit comes: ours says which setting it is."""


class LiteLLMModel:
    """One model of the configuration. `sleep` waits between attempts; tests pass their own."""

    def __init__(
        self, name: str, options: ModelOptions, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.name = name
        self.options = options
        self._spending = Spending(options)
        self._sleep = sleep

    async def complete(self, request: ChatRequest, context: CallContext) -> ChatAnswer:
        """Return the whole answer."""
        usage: list[UsageRecord] = []
        response = await self.ask(self._arguments(request), context, usage)
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
            model=usage[-1].model,
            tool_calls=calls,
            usage=usage[-1],
        )

    @streamed
    async def stream(self, request: ChatRequest, context: CallContext) -> AsyncGenerator[str | ChatAnswer, None]:
        """Yield pieces of the text, then the whole answer."""
        answer, usage = StreamAnswer(), list[UsageRecord]()
        async with aclosing(self.follow(self._arguments(request), context, usage, answer)) as texts:
            async for text in texts:
                if text:
                    yield text
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
        """Send one request, retries included, and return LiteLLM's response with at least one choice.

        What it used goes into the context and is appended to `usage`. Raises HandlerError.
        """
        response = None
        async with self._reserved(arguments, context) as use:
            started = time.monotonic()
            sent: list[float] = []
            try:
                response = await self._retrying(arguments, context, sent)
            finally:
                counted, answered = getattr(response, "usage", None), getattr(response, "model", None)
                usage.append(self._usage(counted, answered, len(sent)))
                use.take(usage[-1])
                context.record_usage(usage[-1], model_s=time.monotonic() - started)
        if not response.choices:
            raise errors.broken_off(self.name, self.options, "the reply holds no choices")
        return response

    async def follow(
        self, arguments: dict[str, Any], context: CallContext, usage: list[UsageRecord], answer: StreamAnswer
    ) -> AsyncGenerator[str, None]:
        """Send one request and put its answer together in `answer`; yield the text that each chunk adds, if any.

        What it used goes into the context and is appended to `usage`. Raises HandlerError.
        """
        arguments = {**arguments, "stream": True, "stream_options": {"include_usage": True}}
        async with self._reserved(arguments, context) as use:
            started = time.monotonic()
            sent: list[float] = []
            try:
                chunks = await self._retrying(arguments, context, sent)
                async with aclosing(chunks):
                    while (chunk := await self._next(chunks, context)) is not None:
                        yield answer.add(chunk)
                    if answer.broken_off(chunks):
                        what = "the stream ended before the answer was whole"
                        raise errors.broken_off(self.name, self.options, what)
            except ProviderError as error:
                if answer.model:  # it had begun
                    await guard.abroke(context, self.options.breakers, error)
                raise
            finally:
                usage.append(self._usage(answer.usage, answer.model, len(sent)))
                use.take(usage[-1])
                context.record_usage(usage[-1], model_s=time.monotonic() - started)

    def _reserved(self, arguments: dict[str, Any], context: CallContext) -> AbstractAsyncContextManager[Use]:
        """Reserve the call's budget for one request and the retries of it that fail."""
        prompt = [arguments["messages"], arguments.get("tools")]
        return self._spending.reserved(context, prompt, arguments.get("max_tokens"))

    def _arguments(self, request: ChatRequest) -> dict[str, Any]:
        options = self.options
        usual = {"temperature": options.temperature, "max_tokens": options.max_tokens}
        arguments: dict[str, Any] = {key: value for key, value in usual.items() if value is not None}
        arguments.update(request.options)
        if request.tools:
            arguments["tools"] = request.tools
        # A server at an address of one's own gets no key from the environment: that one is meant for the provider.
        key = options.api_key or ("none" if options.api_base else None)
        return {
            **arguments,
            "model": options.model,
            "messages": request.messages,
            "api_key": key,
            "api_base": options.api_base,
            "num_retries": 0,
            "max_retries": 0,
        }

    async def _retrying(self, arguments: dict[str, Any], context: CallContext, sent: list[float]) -> Any:
        """Try until it works, the retries are used up, or the wait would outlast the call.

        Each attempt adds its time to `sent`.
        """
        for number in range(self.options.max_retries):
            try:
                return await self._attempt(arguments, context, sent)
            except ProviderError as error:
                wait_s = _wait_s(error, number)
                remaining = context.remaining_s()
                if error.code not in _RETRIED or (remaining is not None and wait_s >= remaining):
                    raise
            await self._sleep(wait_s)
        return await self._attempt(arguments, context, sent)

    async def _attempt(self, arguments: dict[str, Any], context: CallContext, sent: list[float]) -> Any:
        limit_s = self._limit_s(context)
        in_full = limit_s >= self.options.timeout_s

        def verdict(error: BaseException) -> bool | None:
            return guard.sound(error.code, waited_in_full=in_full) if isinstance(error, HandlerError) else None

        async with guard.aguarded(context, self.options.breakers, verdict):
            sent.append(time.monotonic())
            return await self._send(arguments, limit_s)

    async def _send(self, arguments: dict[str, Any], limit_s: float) -> Any:
        litellm = litellm_library.load()
        try:
            async with asyncio.timeout(limit_s):
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

    def _usage(self, counted: Any, answered: str | None, calls: int) -> UsageRecord:
        model = answered or self.options.model.partition("/")[2] or self.options.model
        if counted is None:
            return UsageRecord(model=model, calls=calls, unpriced_calls=calls)
        details = getattr(counted, "prompt_tokens_details", None)
        read, written = counted.prompt_tokens or 0, counted.completion_tokens or 0
        cached = getattr(details, "cached_tokens", None) or 0
        price = self._spending.price_usd(read, written, model)
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


def _wait_s(error: HandlerError, number: int) -> float:
    if error.retry_after_s is not None:
        return error.retry_after_s
    return float(min(_FIRST_WAIT_S * 2**number, _LONGEST_WAIT_S))


def _refusal(message: Any) -> str | None:
    fields = getattr(message, "provider_specific_fields", None) or {}
    refusal = getattr(message, "refusal", None) or fields.get("refusal")
    return str(refusal) if refusal else None
