"""What the servers of the conformance suite serve: functions that give back what came, wait, fail, or tell about calls.

The pool `general` imports this, `watch` and `narrow` conformance_pools.py, and `llm` conformance_programs.py.

Functions that must be seen from another call leave marks in the folder that CONFORMANCE_FOLDER names.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from bridge import current, function, session

# What came.


def add(a: int, b: int) -> int:
    """Add two integers."""
    return a + b


def echo(value: Any = None) -> Any:
    """Give back what came."""
    return value


def nothing() -> None:
    """Give back nothing."""


def integer(value: int) -> int:
    """Give back an integer of 64 bits."""
    return value


def floating(value: float) -> float:
    """Give back a float."""
    return value


def text(value: str) -> str:
    """Give back a text."""
    return value


def describe_text(value: str) -> dict[str, Any]:
    """Say what a text is made of."""
    return {"points": [ord(one) for one in value], "utf8": value.encode().hex()}


def binary(data: bytes) -> bytes:
    """Give back bytes, reversed."""
    return data[::-1]


def size_of(data: bytes) -> int:
    """Count bytes."""
    return len(data)


def zeros(size: int) -> bytes:
    """Make bytes."""
    return bytes(size)


def long_text(unit: str, count: int) -> str:
    """Make a long text."""
    return unit * count


def array(x: np.ndarray) -> np.ndarray:
    """Give back an array."""
    return x


def describe_array(x: np.ndarray) -> dict[str, Any]:
    """Say what an array holds."""
    return {"dtype": str(x.dtype), "shape": list(x.shape), "values": x.ravel().tolist()}


def arrays(x: np.ndarray) -> dict[str, Any]:
    """Several arrays in one value."""
    return {"first": x[0], "rest": [x[1:], x[:1]], "count": len(x)}


@dataclass
class Point:
    """A point in the plane."""

    x: int
    y: int


def mirror(point: Point) -> Point:
    """Swap the coordinates."""
    return Point(point.y, point.x)


class Order(BaseModel):
    """What somebody wants."""

    item: str
    count: int = Field(ge=1)
    when: datetime.datetime | None = None
    tags: list[str] = []


def total(orders: list[Order], size: Literal["small", "large"] = "small") -> dict[str, Any]:
    """Count what is wanted."""
    return {"count": sum(one.count for one in orders), "items": [one.item for one in orders], "size": size}


# What a call knows.


def who() -> dict[str, Any]:
    """What the call knows about itself."""
    meta = current().meta
    return {
        "request_id": meta.request_id,
        "session_id": meta.session_id,
        "epoch": meta.session_epoch,
        "tenant": meta.tenant,
        "traceparent": meta.traceparent,
        "pid": os.getpid(),
    }


def remaining_ms() -> int | None:
    """The milliseconds that the call has left; nothing where it has no deadline."""
    left = current().remaining_s()
    return None if left is None else round(left * 1000)


def pid() -> int:
    """The worker's process."""
    return os.getpid()


def remember(name: str, value: int) -> int:
    """Set a variable of the session."""
    return session.set(name, value)


def recall(name: str) -> Any:
    """A variable of the session; nothing where it has none of that name."""
    return session.get(name)


# Marks that another call can see.


def _mark(key: str, what: str) -> Path:
    return Path(os.environ["CONFORMANCE_FOLDER"]) / f"{key}.{what}"


def hold(key: str, seconds: float = 30.0) -> str:
    """Run for some time, and leave marks at the beginning and the end."""
    _mark(key, "begun").touch()
    how = "cancelled"
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
        how = "finished"
    finally:
        _write(key, how)
    return how


async def hold_async(key: str, seconds: float = 30.0) -> str:
    """The same in async code."""
    _mark(key, "begun").touch()
    how = "cancelled"
    try:
        await asyncio.sleep(seconds)
        how = "finished"
    finally:
        _write(key, how)
    return how


def count_held(key: str, to: int = 3) -> Iterator[int]:
    """Count, then hold before the next number; the marks are as those of `hold`."""
    _mark(key, "begun").touch()
    how = "cancelled"
    try:
        yield from range(1, to + 1)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(0.01)
        how = "finished"
    finally:
        _write(key, how)


async def count_endless(key: str) -> AsyncIterator[int]:
    """Count without end, in async code."""
    _mark(key, "begun").touch()
    number = 0
    try:
        while True:
            number += 1
            yield number
            await asyncio.sleep(0.01)
    finally:
        _write(key, "cancelled")


def _write(key: str, how: str) -> None:
    whole = _mark(key, "part")
    whole.write_text(how)
    whole.rename(_mark(key, "ended"))


# Streams.


def count(to: int, start: int = 1) -> Iterator[int]:
    """Count."""
    yield from range(start, to + 1)


def repeat(value: Any, times: int) -> Iterator[Any]:
    """Give the same again and again."""
    for _ in range(times):
        yield value


async def tick(to: int, every_s: float = 0.01) -> AsyncIterator[str]:
    """Count slowly, in async code."""
    for number in range(1, to + 1):
        await asyncio.sleep(every_s)
        yield f"tick {number}"


def count_then_fail(to: int) -> Iterator[int]:
    """Count, then fail."""
    yield from range(1, to + 1)
    raise ValueError("after the last number")


def count_then_die(to: int) -> Iterator[int]:
    """Count, then take the worker down."""
    yield from range(1, to + 1)
    time.sleep(0.3)  # what was counted is on its way
    os.kill(os.getpid(), signal.SIGKILL)


# Failures.


class OutOfTea(Exception):
    """A failure of the app's own."""


def fail(message: str = "it broke") -> None:
    """Fail."""
    raise OutOfTea(message)


def die() -> None:
    """Take the worker down."""
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait(10)


@function(idempotent=True)
def die_idempotent() -> None:
    """Take the worker down; it may be done again."""
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait(10)


@function(idempotent=True)
def die_times(key: str, times: int) -> int:
    """Take the worker down so often, then return how often it was called."""
    mark = _mark(key, "tries")
    tries = len(mark.read_text()) if mark.exists() else 0
    mark.write_text("x" * (tries + 1))
    if tries < times:
        os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait(10)
    return tries + 1


def wrong() -> int:
    """Return what was not promised."""
    return "no number"  # type: ignore[return-value]


def nested(a: int, b: int) -> int:
    """Call another function."""
    return current().call("add", a=a, b=b)
