"""Faults on purpose: functions that break the worker they run in, for `bridge doctor --chaos`.

Opened only where `server.chaos` is on. Each is asynchronous, so that it runs in its worker's main thread whatever kind
of worker that is, and takes a text that makes its input one of a kind: an input that kills two workers is refused. Owns
nothing.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.functions.discovery import handler_of
from handlers.functions.handler import FunctionHandler
from handlers.functions.signature import inspect_signature

if TYPE_CHECKING:
    from types import FrameType

    from handlers.contract import EntryOptions, Handler

PREFIX = "bridge.chaos."
HANG_AFTER_S = 0.2
"""From the call of `hang` until its worker hangs: the answer has left by then."""
_BLOCK_BYTES = 32 << 20
_FOR_EVER_S = 3600


async def pid(run: str) -> int:
    """Harm nothing: return the worker's process id."""
    return os.getpid()


async def kill(run: str) -> None:
    """End the worker by SIGKILL, in the middle of this call."""
    os.kill(os.getpid(), signal.SIGKILL)


async def stop(run: str) -> None:
    """Stop the worker's process by SIGSTOP, in the middle of this call.

    Whoever lets it go on ends the call.
    """
    os.kill(os.getpid(), signal.SIGSTOP)


async def hang(run: str) -> int:
    """Answer, and let the worker hang a moment later, when it has nothing to do."""
    signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, HANG_AFTER_S)
    return os.getpid()


async def memory(run: str, most_bytes: int) -> int:
    """Hold more and more memory, up to `most_bytes`.

    As fast as it can be written to; it is let go of at the end.
    """
    held: list[bytearray] = []
    while len(held) * _BLOCK_BYTES < most_bytes:
        held.append(bytearray(b"\1") * _BLOCK_BYTES)
        await asyncio.sleep(0)
    return len(held) * _BLOCK_BYTES


async def wedge(run: str) -> None:
    """Block the main thread in C code that holds the GIL and hears no signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).sleep(_FOR_EVER_S)


FAULTS: tuple[Callable[..., Awaitable[Any]], ...] = (pid, kill, stop, hang, memory, wedge)


def open_handlers(options: EntryOptions) -> list[Handler]:
    """Open the faults of this pool, as `bridge.chaos.POOL.NAME`: a fault must hit the pool that it is meant for."""
    return [_handler(fault, options.pool) for fault in FAULTS]


def _handler(fault: Callable[..., Awaitable[Any]], pool: str) -> Handler:
    name = f"{PREFIX}{pool}.{fault.__name__}"
    spec = msgspec.structs.replace(handler_of(fault, name=name).spec, kind="builtin", pool=pool)
    return FunctionHandler(fault, spec, inspect_signature(fault, name))


def _hang(_number: int, _frame: FrameType | None) -> None:
    while True:
        time.sleep(0.01)
