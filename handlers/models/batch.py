"""Many prompts in one call: bounded concurrency, each with an outcome of its own, ended together.

Owns the tasks of one batch while it runs. `Batches` answers the RPCs; what one prompt is answered with is the model's.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from bridge.v1 import model_pb2
from handlers.errors import BadInput, HandlerError
from handlers.models import messages
from handlers.models.answer_schema import AnswerSchema

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from handlers.context import CallContext
    from handlers.models.chat import ChatModel

OutcomeT = TypeVar("OutcomeT")

MAX_PROMPTS = 10_000
MAX_CONCURRENCY = 64
USUAL_CONCURRENCY = 8


SPARE_S, SPARE_PART = 0.25, 0.1
"""So long before its deadline, at most this part of its time, a batch ends what runs and answers with what it has."""


async def as_they_end(
    count: int, limit: int, work: Callable[[int], Awaitable[OutcomeT]], end_s: float | None = None
) -> AsyncGenerator[tuple[int, OutcomeT | HandlerError], None]:
    """Run `work` for 0 to `count` - 1, up to `limit` at a time; yield each one's number and outcome as it ends.

    While nobody reads, nothing new begins. After `end_s` seconds what runs is ended, and fails as what has not begun.
    Closing this, and any exception but a HandlerError, ends what runs.
    """
    now = asyncio.get_running_loop().time
    end = None if end_s is None else now() + end_s

    async def outcome(number: int) -> OutcomeT | HandlerError:
        try:
            return await work(number)
        except HandlerError as error:
            return error

    waiting = iter(range(count))
    running: dict[asyncio.Task[OutcomeT | HandlerError], int] = {}
    try:
        while True:
            for number in islice(waiting, limit - len(running)):
                running[asyncio.ensure_future(outcome(number))] = number
            if not running:
                return
            left_s = None if end is None else max(0.0, end - now())
            ended, _ = await asyncio.wait(running, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not ended:
                break
            for task in sorted(ended, key=running.__getitem__):
                yield running.pop(task), task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    for number in (*running.values(), *waiting):
        yield number, _too_late(count)


class Batches:
    """Answers the RPCs of batches; `find` returns a configured model by the name in a request."""

    def __init__(self, find: Callable[[str], ChatModel]) -> None:
        self._find = find

    async def generate(
        self, request: model_pb2.GenerateBatchRequest, context: CallContext
    ) -> model_pb2.GenerateBatchResponse:
        """Answer GenerateBatch."""
        answers = sorted([one async for one in self._answers(request, context)], key=lambda one: one.index)
        return model_pb2.GenerateBatchResponse(
            answers=answers, usage=_usage(context), failed=sum(one.HasField("failure") for one in answers)
        )

    async def stream_generate(
        self, request: model_pb2.StreamGenerateBatchRequest, context: CallContext
    ) -> AsyncIterator[model_pb2.StreamGenerateBatchResponse]:
        """Answer StreamGenerateBatch."""
        failed = 0
        async with aclosing(self._answers(request, context)) as answers:
            async for answer in answers:
                failed += answer.HasField("failure")
                yield model_pb2.StreamGenerateBatchResponse(answer=answer)
        summary = model_pb2.BatchSummary(answered=len(request.prompts) - failed, failed=failed, usage=_usage(context))
        yield model_pb2.StreamGenerateBatchResponse(final=summary)

    async def extract(
        self, request: model_pb2.ExtractBatchRequest, context: CallContext
    ) -> model_pb2.ExtractBatchResponse:
        """Answer ExtractBatch."""
        limit, retries = _limit(request), messages.retries(request)
        model, schema = self._find(request.model), AnswerSchema.parse(request.schema)

        async def ask(number: int) -> model_pb2.ExtractResponse:
            prompt = _prompt(request, number)
            if prompt.tools:
                what = "a prompt of an extraction has no tools"
                raise BadInput(f"The prompt is not valid: tools: {what}.", violations=(("tools", what),))
            question = messages.chat_request(prompt, request)
            return messages.extract_response(await model.extract(question, schema, retries, context))

        found: dict[int, Any] = {}
        async with aclosing(as_they_end(len(request.prompts), limit, ask, _end_s(context))) as outcomes:
            async for number, outcome in outcomes:
                found[number] = model_pb2.ExtractBatchAnswer(index=number, **_filled(outcome))
        answers = [found[number] for number in sorted(found)]
        return model_pb2.ExtractBatchResponse(
            answers=answers, usage=_usage(context), failed=sum(one.HasField("failure") for one in answers)
        )

    async def _answers(
        self, request: model_pb2.GenerateBatchRequest | model_pb2.StreamGenerateBatchRequest, context: CallContext
    ) -> AsyncGenerator[model_pb2.BatchAnswer, None]:
        limit, model = _limit(request), self._find(request.model)

        async def ask(number: int) -> model_pb2.GenerateResponse:
            question = messages.chat_request(_prompt(request, number), request)
            return messages.generate_response(await model.complete(question, context))

        async with aclosing(as_they_end(len(request.prompts), limit, ask, _end_s(context))) as outcomes:
            async for number, outcome in outcomes:
                yield model_pb2.BatchAnswer(index=number, **_filled(outcome))


def _end_s(context: CallContext) -> float | None:
    remaining = context.remaining_s()
    return None if remaining is None else remaining - min(SPARE_S, remaining * SPARE_PART)


def _too_late(count: int) -> HandlerError:
    return HandlerError(
        f"The batch of {count} prompts was not done in the call's time, and this prompt not answered: allow more time,"
        " a higher max_concurrency, or ask for less in one call.",
        code="DEADLINE_EXCEEDED",
        reason="IN_WORKER",
    )


def _prompt(request: Any, number: int) -> Any:
    """Return a prompt with the options that count for it."""
    prompt = request.prompts[number]
    if prompt.HasField("options") or not request.HasField("options"):
        return prompt
    made = model_pb2.Prompt()
    made.CopyFrom(prompt)
    made.options.CopyFrom(request.options)
    return made


def _limit(request: Any) -> int:
    wrong = []
    if not 1 <= len(request.prompts) <= MAX_PROMPTS:
        wrong.append(("prompts", f"expected 1 to {MAX_PROMPTS} prompts, got {len(request.prompts)}"))
    if not 0 <= request.max_concurrency <= MAX_CONCURRENCY:
        wrong.append(("max_concurrency", f"expected 0 to {MAX_CONCURRENCY}, got {request.max_concurrency}"))
    messages.refuse(wrong)
    return request.max_concurrency or USUAL_CONCURRENCY


def _filled(outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, HandlerError):
        return {"failure": messages.failure(outcome)}
    return {"answer": outcome}


def _usage(context: CallContext) -> list[Any]:
    return [messages.model_usage(use) for use in context.usage]
