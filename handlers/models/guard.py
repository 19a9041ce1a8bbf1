"""Asks the front before a request goes out to a provider, whose circuit breaker may be open, and tells how it ended.

Owns nothing. A model that no breaker guards asks nothing; nor does code that runs without a server around it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from handlers.errors import HandlerError

if TYPE_CHECKING:
    from handlers.context import CallContext

ENTER, TOLD = "provider.enter", "provider.told"
"""What is asked: may a request go out (keys of breakers; the answer is their tickets); so it ended (tickets, how)."""
BREAKER_OPEN = "BREAKER_OPEN"

Verdict = Callable[[BaseException], bool | None]
"""Returns whether a failure leaves its provider sound; None where it says nothing of it."""

_encode = msgspec.msgpack.Encoder().encode
_passed = msgspec.msgpack.Decoder(list[tuple[str, int]]).decode


@asynccontextmanager
async def aguarded(context: CallContext | None, keys: tuple[str, ...], verdict: Verdict) -> AsyncIterator[None]:
    """Guard a request of async code. Raises BREAKER_OPEN before it goes out."""
    if not keys or context is None or context.asker is None:
        yield
        return
    passed = None
    try:
        passed = await context.aask(ENTER, _encode(keys))
    except HandlerError as error:
        if error.reason == BREAKER_OPEN:
            raise
    try:
        yield
    except Exception as error:
        await _atell(context, passed, verdict(error))
        raise
    await _atell(context, passed, True)


@contextmanager
def guarded(context: CallContext | None, keys: tuple[str, ...], verdict: Verdict) -> Iterator[None]:
    """Do as `aguarded` for code that is not async."""
    if not keys or context is None or context.asker is None:
        yield
        return
    passed = None
    try:
        passed = context.ask(ENTER, _encode(keys))
    except HandlerError as error:
        if error.reason == BREAKER_OPEN:
            raise
    try:
        yield
    except Exception as error:
        _tell(context, passed, verdict(error))
        raise
    _tell(context, passed, True)


async def abroke(context: CallContext, keys: tuple[str, ...], error: HandlerError) -> None:
    """Tell that a stream has broken which had begun well, where its provider is to blame."""
    if keys and context.asker is not None and sound(error.code) is False:
        with suppress(HandlerError):
            await context.aask(TOLD, _encode(([(key, 0) for key in keys], False)))


async def _atell(context: CallContext, passed: bytes | None, sound: bool | None) -> None:
    if passed is not None:
        with suppress(HandlerError):
            await context.aask(TOLD, _encode((_passed(passed), sound)))


def _tell(context: CallContext, passed: bytes | None, sound: bool | None) -> None:
    if passed is not None:
        with suppress(HandlerError):
            context.ask(TOLD, _encode((_passed(passed), sound)))


def sound(code: str, *, waited_in_full: bool = True) -> bool | None:
    """Return whether a provider's failure with this status leaves it sound.

    A provider that refuses a request is sound. One that limits the rate says nothing of others' requests, and one that
    a caller with little time has not waited for is not known.
    """
    if code == "UNAVAILABLE":
        return False
    if code == "DEADLINE_EXCEEDED":
        return False if waited_in_full else None
    return None if code == "RESOURCE_EXHAUSTED" else True
