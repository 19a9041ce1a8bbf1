"""What the tests of the Elixir client call."""

import time
from collections.abc import Iterator
from pathlib import Path

import dspy
import numpy as np


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def echo(value: object) -> object:
    """Return the value."""
    return value


def count(to: int, start: int = 1) -> Iterator[int]:
    """Yield numbers."""
    yield from range(start, to + 1)


def drip(path: str, number: int) -> Iterator[int]:
    """Yield slowly; write to the file when the stream is ended early."""
    try:
        for n in range(number):
            yield n
            time.sleep(0.05)
    finally:
        Path(path).write_text("ended")


def slow(seconds: float, path: str = "") -> str:
    """Sleep; write to the file that it has begun, and whether it is ended early."""
    write = Path(path).write_text if path else len
    write("begun")
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)
    except BaseException:
        write("ended")
        raise
    return "done"


def flip(data: bytes) -> bytes:
    """Turn bytes around."""
    return data[::-1]


def double(array: np.ndarray) -> np.ndarray:
    """Double an array."""
    return array * 2


def half(x: float) -> float:
    """Halve a number."""
    return x / 2


def repeat(text: str, times: int) -> str:
    """Repeat a text."""
    return text * times


def boom(message: str) -> None:
    """Fail."""
    raise ValueError(message)


def half_way(number: int) -> Iterator[int]:
    """Yield, then fail."""
    yield from range(number)
    raise RuntimeError("half-way")


answer = dspy.Predict("question -> answer")
agent = dspy.ReAct("question -> answer", tools=[])
