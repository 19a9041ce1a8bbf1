"""What the server of the multiplex tests serves: functions that are quick as a rule, so that their calls are packed."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from bridge import Batch, current, function


def add(a: int, b: int) -> int:
    return a + b


def act(how: str, port: int = 0, path: str = "") -> str:
    """Return at once, or do what `how` says."""
    if how == "hold":
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{os.getpid()}\n".encode())
            connection.recv(1)
    elif how == "spin":
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{os.getpid()}\n".encode())
            while True:
                time.sleep(0.001)
    elif how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "fail":
        raise ValueError("as told")
    elif how == "note":
        with Path(path).open("a") as file:
            file.write(f"{port}\n")
    elif how == "who":
        return f"{current().meta.tenant} {current().meta.traceparent}"
    elif how == "session":
        return current().meta.session_id
    elif how == "request":
        return current().meta.request_id
    return how


@function(idempotent=True)
def once(path: str) -> str:
    """Kill the worker where there is no such file yet; it is there then."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def big(size: int) -> str:
    return "x" * size


def measure(text: str) -> int:
    return len(text)


def count(to: int) -> Iterator[int]:
    yield from range(to)


@function(placement="native")
def native_add(a: int, b: int) -> int:
    return a + b


@function(batch=Batch(max_items=16))
def together(x: list[int]) -> list[int | ValueError]:
    """Return how many run together; a negative number fails."""
    time.sleep(0.002)
    return [ValueError("negative") if one < 0 else len(x) for one in x]
