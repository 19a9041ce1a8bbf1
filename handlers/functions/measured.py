"""The handler of a function whose place is decided by measured times: it tells how long a call itself has taken.

That differs from how long it was under way where the system gave the processor to others meanwhile. On a busy machine
a call of microseconds may be under way for milliseconds, which must not make it look like a slow one. Owns no state.
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

from handlers.functions.handler import FunctionHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from handlers.context import CallContext

LEAST_S = 0.001
"""Of a call that was under way for less, nothing is told: it can not have lost much."""

Usage = tuple[float, int]
"""Processor seconds of this thread, and how often it has waited for something."""


class MeasuredHandler(FunctionHandler):
    """Runs a synchronous function, and notes in the context how long it has taken itself where that is much less."""

    def call(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a call. Raises as `FunctionHandler.call` does."""
        before, began = thread_usage(), time.perf_counter()
        try:
            return super().call(method, request, context)
        finally:
            if (seconds := time.perf_counter() - began) >= LEAST_S:
                own = own_s(seconds, before)
                if own < seconds:
                    context.record_own(own)


def thread_usage() -> Usage:
    """Return what this thread has used so far. The seconds of `getrusage` are only right to a tick of the system."""
    return time.thread_time(), resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def own_s(seconds: float, before: Usage) -> float:
    """Return what of the time since `before` is a call's own doing.

    Not that in which the system gave the processor to others; but what the call waited for is.
    """
    cpu_s, waits = thread_usage()
    return min(seconds, cpu_s - before[0]) if waits == before[1] else seconds
