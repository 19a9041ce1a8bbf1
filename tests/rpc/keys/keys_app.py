"""What is served behind keys: a function for each way in, native and pooled."""

import asyncio
from collections.abc import AsyncIterator, Iterator

from bridge import function, invoke


def add(a: int, b: int) -> int:
    return a + b


@function(placement="native")
def add_here(a: int, b: int) -> int:
    return a + b


def count(n: int) -> Iterator[int]:
    yield from range(n)


async def tick() -> AsyncIterator[int]:
    """Never ends."""
    n = 0
    while True:
        yield n
        n += 1
        await asyncio.sleep(0.01)


def fail(word: str) -> str:
    raise ValueError(f"no {word}")


def outer(a: int) -> int:
    return invoke("add", a=a, b=1)
