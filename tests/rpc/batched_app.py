"""Functions of lists for the tests of batching: each entry says what is to become of it."""

import os
import signal
import socket

from bridge import Batch, function


def _act(what: str, port: int | None, size: int) -> str:
    if what == "hold" and port is not None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"{os.getpid()}\n".encode())
            connection.recv(1)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{what} of {size}"


def _each(what: list[str], port: list[int | None]) -> list[str | ValueError]:
    return [
        ValueError("bad") if one == "bad" else _act(one, where, len(what))
        for one, where in zip(what, port, strict=True)
    ]


@function(batch=Batch(max_items=8))
def work(what: list[str], port: list[int | None]) -> list[str | ValueError]:
    return _each(what, port)


@function(batch=Batch(max_items=8), idempotent=True)
def again(what: list[str], port: list[int | None]) -> list[str | ValueError]:
    return _each(what, port)


@function(batch=Batch(max_items=8))
async def later(what: list[str], port: list[int | None]) -> list[str | ValueError]:
    return _each(what, port)


@function(batch=Batch(max_items=8))
def doomed(what: list[str], port: list[int | None]) -> list[str | ValueError]:
    """Calls of this one kill their worker: after that they run by themselves for a while."""
    return _each(what, port)


_BATCHES = iter(range(1 << 30))


@function(batch=Batch(max_items=8))
def turns(what: list[str], port: list[int | None], more: list[str | None]) -> list[int]:
    """The number of the batch that each runs in."""
    del more
    _each(what, port)
    return [next(_BATCHES)] * len(what)
