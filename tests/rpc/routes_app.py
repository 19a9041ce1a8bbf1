"""What the servers of the tests of routes serve: functions that do what a test has written into a folder.

`FOLDER/NAME.does` has a line for each attempt at NAME: `fail` (a provider's failure), `busy` (one that says when to try
again), `raise`, `die`, `hold PORT` (as in served_app.py), `other` (answer otherwise); what is not there goes well. Each
attempt leaves a file.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from bridge import current, function, invoke
from handlers.contract import UsageRecord
from handlers.errors import ProviderError


def _attempt(folder: str, name: str) -> str:
    """Take note of an attempt, and do what is asked for; return what the answer begins with."""
    place = Path(folder)
    before = len(list(place.glob(f"{name}.began-*")))
    (place / f"{name}.began-{before}").write_text(current().meta.session_id)
    orders = place / f"{name}.does"
    lines = orders.read_text().splitlines() if orders.exists() else []
    order, _, rest = (lines[before] if before < len(lines) else "").partition(" ")
    match order:
        case "fail":
            raise ProviderError("it is down", metadata={"provider": "acme"})
        case "busy":
            metadata = {"provider": "acme"}
            raise ProviderError("too many", code="RESOURCE_EXHAUSTED", metadata=metadata, retry_after_s=float(rest))
        case "raise":
            raise LookupError("no such thing")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait(10)
        case "hold":
            with socket.create_connection(("127.0.0.1", int(rest))) as connection:
                connection.sendall(f"{os.getpid()}\n".encode())
                connection.recv(1)
        case "other":
            return "another"
    return name


@function(idempotent=True)
def one(folder: str, text: str) -> str:
    return f"{_attempt(folder, 'one')}: {text}"


@function(idempotent=True)
def two(folder: str, text: str) -> str:
    return f"{_attempt(folder, 'two')}: {text}"


@function(idempotent=True)
def three(folder: str, text: str) -> str:
    return f"{_attempt(folder, 'three')}: {text}"


def careless(folder: str, text: str) -> str:
    """Not declared idempotent."""
    return f"{_attempt(folder, 'careless')}: {text}"


@function(idempotent=True)
def same_as_one(folder: str, text: str) -> str:
    return f"{_attempt(folder, 'same').replace('same', 'one')}: {text}"


@function(idempotent=True)
def paid(folder: str, text: str) -> str:
    """Use a model, also where it fails."""
    current().record_usage(UsageRecord("acme/model", 1, 10, 5, 0, 0.25))
    return f"{_attempt(folder, 'paid')}: {text}"


@function(idempotent=True)
def counts(folder: str, to: int) -> Iterator[int]:
    """Fail before the first number, or after it (`after`)."""
    begins = _attempt(folder, "counts")
    for number in range(to):
        yield number
        if begins == "another":
            raise ProviderError("it is down", metadata={"provider": "acme"})


@function(idempotent=True)
def counts_up(folder: str, to: int) -> Iterator[int]:
    _attempt(folder, "counts_up")
    yield from range(to)


@function(placement="native", idempotent=True)
def quick(folder: str, text: str) -> str:
    return f"quick: {text}"


def different(text: int) -> str:
    return str(text)


def elsewhere(text: str) -> str:
    """In two pools, for routes that choose one."""
    return f"{current().meta.method}: {text}"


def where(folder: str, text: str) -> str:
    return str(os.getpid())


def nests(target: str, folder: str, text: str) -> str:
    """Call another function by name, from a worker of the pool that the other belongs to."""
    return f"nested {invoke(target, folder=folder, text=text)}"
