"""Asking the front, as far as it is the same in every worker: which call asks, what may be asked, what an answer is.

Owns no state but the context variable that names the call. Imported by the child: standard library, frames, errors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from pool import frames
from pool.entry import Answer
from pool.errors import AskRefused

if TYPE_CHECKING:
    from asyncio import Future

ASKING_CALL: ContextVar[int] = ContextVar("bridge_asking_call", default=0)
"""The id of the call that the running code belongs to; tasks that outlive their call still name it, and are refused."""

_HOLDS_LOOP: ContextVar[bool] = ContextVar("bridge_holds_loop", default=False)
"""Whether the running code holds up the loop that it was called from anyway, so that it may wait."""
T = TypeVar("T")

Deliver = Callable[[Answer | None], None]
"""Gets the answer of an ask, or None where there will be none: the call has ended or is cancelled."""

ENDED = "the call that this code belongs to has ended, so it can ask the front nothing any more"


def check_size(name: str, body: bytes, open_asks: int) -> bytes:
    """Return the name as bytes. Raises AskRefused for what the front would not take."""
    encoded = name.encode()
    if len(encoded) > frames.ASK_NAME_BYTES or len(body) > frames.ASK_BYTES:
        raise AskRefused(
            f"'{name[:40]}' was asked with {len(body)} bytes under a name of {len(encoded)}; at most "
            f"{frames.ASK_BYTES} and {frames.ASK_NAME_BYTES} go"
        )
    if open_asks >= frames.OPEN_ASKS:
        raise AskRefused(
            f"the call waits for {open_asks} answers, which is as many as it may; await some before it asks more"
        )
    return encoded


def following(last: int) -> int:
    """Return the id of the next ask: never the one that stands for no answer."""
    return (last + 1) & 0xFFFFFFFF or frames.TOLD + 1


def settle(future: Future[Answer], answer: Answer | None) -> None:
    """Give who awaits it an answer, or AskRefused where there will be none."""
    if future.done():
        return
    if answer is None:
        future.set_exception(AskRefused(ENDED))
        future.exception()  # seen: what has asked may never look again
    else:
        future.set_result(answer)


def refuse_on_loop() -> None:
    """Raise AskRefused where an event loop runs in this thread: to wait would hold it up."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None and not _HOLDS_LOOP.get():
        raise AskRefused("async code must await the answer: use the variant with an 'a' before its name, such as aget")


class Holding:
    """A worker with one call at a time, as far as its async code calls synchronous code."""

    @staticmethod
    async def in_thread(work: Callable[[], T]) -> T:
        """Run synchronous code for async code: right here, in the thread of the call, and it may ask and wait."""
        token = _HOLDS_LOOP.set(True)
        try:
            return work()
        finally:
            _HOLDS_LOOP.reset(token)
