"""The app that `bridge demo` serves: plain functions and DSPy programs. Nothing in it imports the bridge.

Serve it yourself:  bridge serve examples/demo_app.py
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Literal

import dspy
from pydantic import BaseModel, Field


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@dataclass
class Item:
    """A line of an order."""

    name: str
    price: float
    quantity: int = 1


class Invoice(BaseModel):
    """What an order comes to."""

    lines: int
    total: float = Field(description="Sum of all lines, after the discount")


def invoice(items: list[Item], discount: float = 0.0) -> Invoice:
    """Add up an order. `discount` is a share, such as 0.1 for ten percent."""
    total = sum(item.price * item.quantity for item in items)
    return Invoice(lines=len(items), total=round(total * (1 - discount), 2))


def count(to: int, start: int = 1) -> Iterator[int]:
    """Count, one number per message."""
    yield from range(start, to + 1)


async def ticks(number: int = 3, every_s: float = 0.1) -> AsyncIterator[str]:
    """Send a tick now and then, as an async function does it."""
    for tick in range(1, number + 1):
        await asyncio.sleep(every_s)
        yield f"tick {tick}"


triage = dspy.ChainOfThought("ticket -> queue: Literal['billing','technical','sales'], urgency: int")


class Answer(BaseModel):
    """What goes back to the customer."""

    queue: Literal["billing", "technical", "sales"]
    reply: str


class Support(dspy.Module):
    """Sort a support ticket, then draft a reply to it."""

    def __init__(self):
        super().__init__()
        self.triage = triage
        self.draft = dspy.Predict(dspy.Signature("ticket, queue -> reply", "Draft a short, friendly reply."))

    def forward(self, ticket: str) -> Answer:
        queue = self.triage(ticket=ticket).queue
        return Answer(queue=queue, reply=self.draft(ticket=ticket, queue=queue).reply)


support = Support()
