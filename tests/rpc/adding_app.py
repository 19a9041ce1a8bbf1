"""Functions for random mixes of calls: good, failing, deadly, nested, batched, streamed, and such that use models."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bridge import Batch, CallFailed, ainvoke, current, function, invoke
from handlers.contract import UsageRecord


def good(size: int) -> str:
    return "x" * size


def bad() -> None:
    raise ValueError("bad")


@function(pool="other")
async def abad() -> None:
    await asyncio.sleep(0)
    raise ValueError("bad")


@function(placement="native")
async def native(size: int) -> int:
    return len(await ainvoke("good", size=size))


def dies() -> None:
    os._exit(3)


@function(idempotent=True)
def lives_again(key: str) -> int:
    """Dies in its first attempt, which has called something."""
    found = len(invoke("good", size=3))
    mark = Path(os.environ["ADDING_MARKS"]) / key
    if not mark.exists():
        mark.write_text("dead")
        os._exit(4)
    mark.unlink()
    return found


def nests(depth: int, times: int) -> int:
    return 1 + sum(invoke("nests", depth=depth - 1, times=times) for _ in range(times)) if depth else 1


@function(pool="other")
async def anests(what: str, times: int) -> int:
    arguments = {} if what in ("bad", "abad", "dies") else {"size": 3}
    found = await asyncio.gather(*(ainvoke(what, **arguments) for _ in range(times)), return_exceptions=True)
    return sum(not isinstance(one, CallFailed) for one in found)


@function(pool="other")
async def leaves() -> None:
    """Ends while what it has called goes on."""
    left = asyncio.create_task(ainvoke("sleeps", seconds=20.0, nests=False))
    await asyncio.sleep(0.02)
    assert not left.done()


@function(pool="other")
async def asks(times: int) -> int:
    messages = [{"role": "ROLE_USER", "content": "Hello"}]
    answers = (ainvoke("bridge.models.generate", messages=messages) for _ in range(times))
    return len(await asyncio.gather(*answers))


def uses(tokens: int, cost: float | None) -> None:
    unpriced = int(cost is None)
    record = UsageRecord("own", calls=1, input_tokens=tokens, cost_usd=cost, unpriced_calls=unpriced)
    current().record_usage(record, model_s=0.001)


@function(batch=Batch(max_items=8, max_wait_ms=5))
def together(size: list[int]) -> list[int]:
    return [len(invoke("good", size=one)) for one in size]


def items(count: int) -> Iterator[int]:
    yield from range(count)


def breaks(count: int) -> Iterator[int]:
    yield from range(count)
    raise ValueError("broken")


@function(pool="other")
def sleeps(seconds: float, nests: bool) -> None:
    if nests:
        invoke("good", size=2)
        invoke("sleeps", seconds=seconds, nests=False)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(0.01)
