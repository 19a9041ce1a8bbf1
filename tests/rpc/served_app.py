"""What the servers of these tests serve: functions that do as they are told, well or badly.

A function that is to run until the test says so connects to a port of the test (`hold`): the test knows then that it
runs, in which process, and sees the connection end with it.
"""

import asyncio
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from bridge import current, function


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def pid() -> int:
    return os.getpid()


def who() -> dict[str, str | int]:
    """What the call knows about itself."""
    meta = current().meta
    return {"request": meta.request_id, "session": meta.session_id, "tenant": meta.tenant, "epoch": meta.session_epoch}


def remaining() -> float:
    """The seconds that the call has left."""
    left = current().remaining_s()
    assert left is not None
    return left


def _hold(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{os.getpid()}\n".encode())
        connection.recv(1)


async def _hold_async(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{os.getpid()}\n".encode())
        await reader.read(1)
    finally:
        writer.close()


def hold(port: int) -> str:
    _hold(port)
    return "released"


def die(signal_number: int = signal.SIGKILL) -> int:
    print("my last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal_number)
    return threading.Event().wait(10)


@function(idempotent=True)
def die_idempotent() -> int:
    return die()


def end(code: int) -> int:
    os._exit(code)


def garble() -> int:
    """Write what is no frame into the worker's socket."""
    for descriptor in range(3, 100):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                os.write(descriptor, b"\xff" * 64)
    return threading.Event().wait(10)


class Hostile(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")

    __repr__ = __str__


class HostileToo(Exception):
    def __str__(self):
        sys.exit(5)


def fail(how: str) -> int:
    """Raise in the way that `how` names."""
    errors = {
        "plain": ValueError("it broke: ä \N{COLLISION SYMBOL}"),
        "exit": SystemExit(3),
        "interrupt": KeyboardInterrupt("stop"),
        "empty": ValueError(),
        "hostile": Hostile(),
        "hostile too": HostileToo(),
        "huge": ValueError("x" * 3_000_000),
        "surrogates": ValueError("\ud800" * 3000),
        "lines": ValueError("one\n12:00:00 error   forged\x1b[2J\x00"),
        "not a str": ValueError(b"\xff"),
        "generator": StopIteration("done"),
        "cancelled": asyncio.CancelledError("by hand"),
        "recursion": RecursionError("deep"),
        "timeout": TimeoutError("upstream"),
        "group": BaseExceptionGroup("two", [ValueError("a"), SystemExit(1)]),
    }
    raise errors[how]


_KEPT: list[bytes] = []


def keep(mebibytes: int) -> int:
    """Hold on to memory until `drop`."""
    _KEPT.append(b"x" * (mebibytes << 20))
    return len(_KEPT)


def drop() -> int:
    _KEPT.clear()
    return 0


def wrong_result() -> int:
    return "no number"  # type: ignore[return-value]


def big(size: int) -> str:
    return "x" * size


def say(text: str) -> int:
    """Print."""
    print(text)
    return len(text)


def size_of(data: str) -> int:
    return len(data)


def count(to: int) -> Iterator[int]:
    yield from range(to)


def count_then_fail(to: int) -> Iterator[int]:
    yield from range(to)
    raise ValueError("after the last one")


def count_then_hold(to: int, port: int) -> Iterator[int]:
    yield from range(to)
    _hold(port)
    yield to


def count_then_die(to: int) -> Iterator[int]:
    yield from range(to)
    os.kill(os.getpid(), signal.SIGKILL)


def count_big(to: int, size: int) -> Iterator[str]:
    for _ in range(to):
        yield "x" * size


def endless(port: int) -> Iterator[int]:
    """Count for ever; the connection ends when the generator is closed."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{os.getpid()}\n".encode())
        number = 0
        while True:
            yield number
            number += 1


def flood(port: int) -> Iterator[str]:
    """As `endless`, with large items: a client that does not read has soon all that fits on the way to it."""
    for _ in endless(port):
        yield "x" * 50_000


@function(placement="native")
def native_add(a: int, b: int) -> int:
    return a + b


@function(placement="native")
def native_size(data: str) -> int:
    return len(data)


@function(placement="native")
def native_fail() -> int:
    sys.exit(4)


@function(placement="native")
async def native_hold(port: int) -> str:
    await _hold_async(port)
    return "released"


@function(placement="native")
async def native_count_then_hold(to: int, port: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number
    await _hold_async(port)


@function(placement="native")
def native_spin() -> Iterator[int]:
    """A native stream that never ends and never waits."""
    while True:
        yield 1


def busy(seconds: float) -> float:
    """Use the processor for a while."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return seconds
