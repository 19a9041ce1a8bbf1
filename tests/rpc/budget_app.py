"""Functions that spend: calls of other functions, requests to models, and use that they report themselves."""

import asyncio
import os
from collections.abc import Iterator

import dspy

from bridge import Batch, CallFailed, ainvoke, current, function, invoke
from handlers.contract import UsageRecord


def small(number: int = 0) -> int:
    return number


@function(placement="native")
async def native(number: int = 0) -> int:
    return await ainvoke("small", number=number)


@function(batch=Batch(max_items=8, max_wait_ms=50))
def together(number: list[int]) -> list[int]:
    return [one + len(number) for one in number]


async def _all(name: str, times: int, **arguments: object) -> dict[str, int]:
    """How many calls at once went well, and how many failed, by reason."""
    found = await asyncio.gather(*(ainvoke(name, **arguments) for _ in range(times)), return_exceptions=True)
    counts: dict[str, int] = {}
    for one in found:
        reason = one.reason if isinstance(one, CallFailed) else "ok"
        counts[reason] = counts.get(reason, 0) + 1
    return counts


@function(pool="many")
async def spread(times: int, what: str = "small") -> dict[str, int]:
    return await _all(what, times)


@function(pool="many")
async def ask(times: int, max_tokens: int | None = None, model: str = "", text: str = "How are you?") -> dict[str, int]:
    options = {} if max_tokens is None else {"max_tokens": max_tokens}
    messages = [{"role": "ROLE_USER", "content": text}]
    return await _all("bridge.models.generate", times, messages=messages, options=options, model=model)


def reports(tokens: int, cost_usd: float | None = None) -> int:
    """Uses a model by a client of its own, and says so."""
    current().record_usage(UsageRecord("own", calls=1, input_tokens=tokens, cost_usd=cost_usd))
    return tokens


def reports_often(tokens: int, times: int) -> list[str]:
    found = []
    for _ in range(times):
        try:
            invoke("reports", tokens=tokens)
            found.append("ok")
        except CallFailed as error:
            found.append(error.reason)
    return found


@function(pool="many")
async def reports_at_once(tokens: int, times: int) -> dict[str, int]:
    return await _all("reports", times, tokens=tokens)


def items(count: int) -> Iterator[int]:
    """Calls a function for each item of a stream."""
    for number in range(count):
        yield invoke("small", number=number)


def dies() -> None:
    os._exit(5)


qa = dspy.Predict("question -> answer")


class Sync(dspy.Module):
    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(answer=self.ask(question=question).answer + self.ask(question="Sure?").answer)


sync = Sync()


class Mixed(Sync):
    async def aforward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(answer=self.ask(question=question).answer)


mixed = Mixed()
