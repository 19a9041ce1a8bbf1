"""What the servers of the tests of overload, retries and poison serve."""

import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bridge import current, function


def hold(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{os.getpid()}\n".encode())
        connection.recv(1)
    return "released"


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def steady() -> str:
    """Take the same time whenever it is called."""
    time.sleep(0.05)
    return "done"


def size_of(data: str) -> int:
    return len(data)


def tenant() -> str:
    return current().meta.tenant


def _attempt(folder: str) -> int:
    """Take note of an attempt; return how many there were before."""
    before = len(list(Path(folder).iterdir()))
    (Path(folder) / f"{before}-{os.getpid()}").touch()
    return before


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait(10)


@function(idempotent=True)
def die_at_first(folder: str) -> int:
    if not (before := _attempt(folder)):
        _die()
    return before


def die_at_first_not_idempotent(folder: str) -> int:
    if not (before := _attempt(folder)):
        _die()
    return before


@function(idempotent=True)
def garble_at_first(folder: str) -> int:
    """Write what is no frame into the worker's socket."""
    if not (before := _attempt(folder)):
        for descriptor in range(3, 100):
            with suppress(OSError):
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b"\xff" * 64)
        threading.Event().wait(10)
    return before


@function(idempotent=True)
def poison(folder: str, sure: bool = True) -> int:
    """Die whenever it is called."""
    before = _attempt(folder)
    if sure:
        _die()
    return before


@function(idempotent=True)
def die_late(folder: str, seconds: float) -> int:
    before = _attempt(folder)
    time.sleep(seconds)
    _die()
    return before


@function(idempotent=True)
def count_after_death(folder: str, to: int, first: int) -> Iterator[int]:
    """Count; the first attempt dies when it has sent `first` numbers."""
    before = _attempt(folder)
    for number in range(to):
        if not before and number == first:
            time.sleep(0.2)  # what was sent before is read meanwhile
            _die()
        yield number
