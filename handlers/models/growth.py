"""What a reader sees of an answer while it is written: it grows, or its items come one by one.

Owns the events that wait for the reader. A later state of an answer takes the place of an earlier one that nobody has
read, so a slow reader costs no memory; items are kept. Knows neither models nor protobuf.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any

from handlers.models.answer_schema import json_text
from handlers.models.chat import Extracted, Grown
from handlers.models.growing_json import MISSING, GrowingJson

if TYPE_CHECKING:
    from handlers.models.answer_schema import AnswerSchema

STEPS = 64
"""An answer is told anew when it has grown by this part of itself, so that a long one is not sent a thousand times."""


class Growth:
    """The answers to one question, attempt by attempt."""

    def __init__(self, schema: AnswerSchema) -> None:
        self._schema = schema
        self._json = GrowingJson()
        self._attempt = 0
        self._number = 0
        self._items: deque[tuple[int, int, Any]] = deque()
        self._count = 0
        self._misfit = False
        self._told_size = 0
        self._told: Any = MISSING
        self._changed = asyncio.Event()

    def begin(self, attempt: int) -> None:
        """A new answer begins: what there was of the last one is not told any more."""
        self._attempt, self._json = attempt, GrowingJson()
        self._count, self._misfit = 0, False
        self._told, self._told_size = MISSING, 0

    def add(self, piece: str) -> None:
        """The answer goes on."""
        if not piece:
            return
        self._json.feed(piece)
        if self._schema.has_items:
            self._take_items()
        else:
            self._changed.set()

    def wake(self) -> None:
        """Let the reader look again."""
        self._changed.set()

    async def changed(self) -> None:
        """Wait until there may be something to tell."""
        await self._changed.wait()
        self._changed.clear()

    def next(self) -> Grown | None:
        """Return what is to be told now, if anything."""
        if self._items:
            attempt, index, item = self._items.popleft()
            return self._grown(attempt, item, index)
        if self._schema.has_items or self._json.size < self._told_size + max(1, self._told_size // STEPS):
            return None
        size, value = self._json.size, self._json.value()
        value = value if value is MISSING else self._schema.unwrapped(value)
        if value is MISSING or value == self._told or (self._told is MISSING and not value):
            return None
        self._told, self._told_size = value, size
        return self._grown(self._attempt, value, None)

    def _take_items(self) -> None:
        for item in self._json.take_elements():
            self._misfit = self._misfit or not self._schema.item_fits(item)
            if self._misfit:
                return
            self._items.append((self._attempt, self._count, item))
            self._count += 1
            self._changed.set()

    def _grown(self, attempt: int, value: Any, index: int | None) -> Grown:
        self._number += 1
        return Grown(number=self._number, attempt=attempt, json_text=json_text(value), index=index)


async def watched(growth: Growth, work: Coroutine[Any, Any, Extracted]) -> AsyncGenerator[Grown | Extracted, None]:
    """Yield what grows while `work` runs, then what it returns. Closing this ends the work."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda _: growth.wake())
    try:
        while not task.done():
            await growth.changed()
            while (grown := growth.next()) is not None:
                yield grown
        yield task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
