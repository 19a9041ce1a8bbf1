"""Running a program so that the event loop stays free and a cancelled call stops paying.

A program with its own `aforward` runs as a coroutine. One that has only `forward` runs in a thread; its calls of the
served models are handed to the loop, where cancelling reaches them: the thread then gets CancelledError at that call
and at every later one. A model object that the app made itself is called in the thread and ends in its own time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import anyio.to_thread

from handlers.loop_calls import LoopCalls


def runs_async(program: Any) -> bool:
    """Whether the program's `aforward` is at least as specific as its `forward`."""
    for cls in type(program).__mro__:
        if "aforward" in vars(cls):
            return True
        if "forward" in vars(cls):
            return False
    return False


async def run_program(program: Any, inputs: dict[str, Any]) -> Any:
    """Run a program and return what it returns."""
    if runs_async(program):
        return await program.acall(**inputs)
    calls = LoopCalls(asyncio.get_running_loop())
    calls.enter()  # the task's own context: the thread gets a copy
    try:
        # anyio's threads, not asyncio's: DSPy needs those for every model call, so programs that waited in them
        # for a model could wait for each other.
        # A limiter of its own, since the pool has admitted the call already and a limit here would be a hidden queue.
        limiter = anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(lambda: program(**inputs), abandon_on_cancel=True, limiter=limiter)
    finally:
        calls.close()
        calls.leave()
