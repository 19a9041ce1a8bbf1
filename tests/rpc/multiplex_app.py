"""What the server of the multiplex tests serves: functions that are quick as a rule, so that their calls are packed."""

import os
import signal
import socket
import time
from collections.abc import Iterator

from bridge import current, function


def add(a: int, b: int) -> int:
    return a + b


def act(how: str, port: int = 0) -> str:
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
    elif how == "session":
        return current().meta.session_id
    elif how == "request":
        return current().meta.request_id
    return how


def count(to: int) -> Iterator[int]:
    yield from range(to)


@function(placement="native")
def native_add(a: int, b: int) -> int:
    return a + b
