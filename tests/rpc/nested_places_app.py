"""Programs, batched functions and packed calls that call other functions."""

import os
from pathlib import Path

import dspy

from bridge import Batch, ainvoke, function, invoke

MARK = Path(os.environ["NESTED_MARK"])


def twice(number: int) -> int:
    return 2 * number


async def atwice(number: int) -> int:
    return 2 * number


def price(item: str) -> int:
    """A tool."""
    return len(item)


class Shop(dspy.Module):
    """Two steps, synchronous, as most people write them: a model, and a function of the server."""

    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        answer = self.ask(question=question).answer
        return dspy.Prediction(answer=answer, price=invoke("price", item="chair"))


class AsyncShop(Shop):
    async def aforward(self, question: str) -> dspy.Prediction:
        answer = (await self.ask.acall(question=question)).answer
        return dspy.Prediction(answer=answer, price=await ainvoke("price", item="table lamp"))


shop = Shop()
ashop = AsyncShop()


@function(batch=Batch(max_items=8, max_wait_ms=200))
def together(number: list[int]) -> list[int]:
    """Calls a function for each of its members."""
    return [invoke("atwice", number=one) for one in number]


@function(batch=Batch(max_items=8), pool="other")
def elsewhere(number: list[int]) -> list[int]:
    return [invoke("twice", number=one) for one in number]


def quick(number: int) -> int:
    """Is packed with others of its stream, most of which call nothing."""
    return invoke("elsewhere", number=number) if number % 10 == 0 else number


def asks_async(number: int) -> int:
    return invoke("atwice", number=number)


async def between(number: int) -> int:
    """Calls a function that is not async, which calls one that is."""
    return await ainvoke("asks_async", number=number)


@function(idempotent=True)
def dies_once() -> int:
    """Dies in the middle of its first attempt, which has called something."""
    found = invoke("elsewhere", number=4)
    if not MARK.exists():
        MARK.write_text("dead")
        os._exit(9)
    return found


@function(placement="native")
def native_sync() -> int:
    return invoke("twice", number=1)
