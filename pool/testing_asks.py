"""Asking in a `FakePool`: an `Asker` for entries that run in this process, held to the same rules as a worker's.

Owns the open asks of its calls, by the frames that a real worker would have sent.
"""

from __future__ import annotations

import asyncio
import itertools
from contextvars import ContextVar

from pool import asks, frames
from pool.asking import ENDED, check_size
from pool.calls import Call
from pool.entry import Answer
from pool.errors import AskRefused

RUNNING: ContextVar[Call | None] = ContextVar("fake_running_call", default=None)
"""The call that the running task belongs to."""


class FakeAsker:
    """Asks the handler of the pool that the running call was submitted to."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)

    def ask(self, _name: str, _body: bytes) -> Answer:
        """Refuse: everything here runs on the loop, which must not wait."""
        raise AskRefused("a FakePool runs everything on one event loop: ask with the async variant")

    async def aask(self, name: str, body: bytes) -> Answer:
        """Ask and await the answer. Raises AskRefused."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def send(head: bytes, rest: bytes) -> None:
            if not future.done():
                future.set_result(frames.read_answer(memoryview(head[frames.HEADER_SIZE :] + rest))[1])

        self._send(next(self._ids), name, body, send)
        return await future

    def tell(self, name: str, body: bytes) -> None:
        """Ask, and wait for no answer. Raises AskRefused."""
        self._send(frames.TOLD, name, body, _nowhere)

    @staticmethod
    def _send(ask_id: int, name: str, body: bytes, send: asks.Send) -> None:
        call = RUNNING.get()
        if call is None or (call.future.done() and not call.abandoned) or call.worker is None:
            raise AskRefused(ENDED)
        encoded = check_size(name, body, len(call.asking or ()))
        head = frames.ask_head(call.id, ask_id, encoded, len(body))
        asks.begin(call, memoryview(head[frames.HEADER_SIZE :] + body), send)


def _nowhere(_head: bytes, _rest: bytes) -> None:
    raise AssertionError("what is told has no answer")
