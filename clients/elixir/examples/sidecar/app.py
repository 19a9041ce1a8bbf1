"""What the sidecar example serves. Only sessions and deadlines are the bridge's; the rest is plain Python."""

import os
import time
from collections.abc import Iterator

import dspy

from bridge import current, session


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def remember(fact: str) -> list[str]:
    """Add to what the session knows, and return all of it."""
    facts = [*session.get("facts", []), fact]
    session.set("facts", facts)
    return facts


def place() -> dict[str, int | str]:
    """The session, its epoch and the process that serves it."""
    return {"id": session.id, "epoch": session.epoch, "pid": os.getpid()}


def remaining_ms() -> int | None:
    """The milliseconds that the call has left, as the server sees it."""
    left = current().remaining_s()
    return None if left is None else round(left * 1000)


def sleep(seconds: float) -> str:
    """Take a while."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.01)
    return "rested"


def rest(seconds: float) -> Iterator[str]:
    """Say that it has begun, take a while, say that it is over."""
    yield "begun"
    yield sleep(seconds)


answer = dspy.Predict("question -> answer")
agent = dspy.ReAct("question -> answer", tools=[])
