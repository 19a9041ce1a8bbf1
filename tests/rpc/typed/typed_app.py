"""An app with every kind of type that typed services know, and functions that fail in every way."""

import asyncio
import datetime
import enum
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import dspy
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from bridge import Batch, function


class Color(enum.Enum):
    """A colour that a thing can have."""

    RED = "red"
    BLUE = "blue"


class Item(BaseModel):
    """A thing that is sold."""

    name: str = Field(description="What it is called")
    price: float = 1.0
    color: Color = Color.RED
    tags: list[str] = []
    inside: "Item | None" = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    barks: bool


def score(text: str, limit: int = 5, queue: Literal["billing", "bug-fix"] = "billing") -> str:
    """Score a text.

    The limit cuts it.
    """
    return f"{queue}:{text[:limit]}"


def sell(item: Item, count: int = 1) -> Item:
    """Sell an item, which may have others inside."""
    return item.model_copy(update={"price": item.price * count})


def pets(pets: list[Cat | Dog], by_name: dict[str, list[int]] | None = None) -> dict[str, Cat | Dog]:
    return {f"pet{index}": pet for index, pet in enumerate(pets)} if by_name is None else {}


def scale(values: NDArray[np.float32], by: float) -> NDArray[np.float32]:
    return values * np.float32(by)


def anything(value: Any, maybe: int | str | None = None, data: bytes = b"") -> dict[str, Any]:
    return {"value": value, "maybe": maybe, "size": len(data)}


def when(at: datetime.datetime) -> datetime.datetime:
    return at + datetime.timedelta(days=1)


def count(to: int) -> Iterator[Item]:
    for number in range(to):
        yield Item(name=str(number))


async def ticks(number: int) -> AsyncIterator[int]:
    for tick in range(number):
        await asyncio.sleep(0)
        yield tick


@function(batch=Batch())
def double(number: list[int]) -> list[int]:
    return [2 * one for one in number]


@function(placement="native")
def near(text: str) -> str:
    return text.upper()


async def forever() -> None:
    await asyncio.Event().wait()


def fail(message: str) -> None:
    raise RuntimeError(message)


def total(items: list[Item]) -> int:
    return len(items)


def pid() -> int:
    return os.getpid()


triage = dspy.Predict("ticket -> queue: Literal['billing','technical'], urgency: int")
