"""What the servers of the session tests serve: functions that use their session's variables, and hooks for its end."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator

from bridge import VersionMismatch, function, on_session_end, session

ENDED: list[list[str]] = []


def pid() -> int:
    return os.getpid()


def die() -> None:
    os._exit(3)


def put(key: str, value: int | float | str | list[int] | None = None) -> int:
    return session.set(key, value)


def get(key: str) -> int | float | str | list[int] | None:
    return session.get(key)


def put_bytes(key: str, value: bytes) -> int:
    return session.set(key, value)


def replace(key: str, value: str) -> int:
    return session.set(key, value, replace_type=True)


def drop(key: str) -> bool:
    return session.delete(key)


def describe() -> dict[str, object]:
    return {"id": session.id, "epoch": session.epoch, "mode": session.mode, "names": session.names()}


def bump(key: str) -> int:
    """Count, whoever else counts."""
    while True:
        found = session.read(key)
        try:
            session.set(key, (found.value if found else 0) + 1, found.version if found else 0)
        except VersionMismatch:
            continue
        return os.getpid()


def bumps(key: str, times: int) -> Iterator[int]:
    """Count between the items of a stream."""
    for _ in range(times):
        bump(key)
        yield session.get(key)


async def abump(key: str) -> int:
    """Count on an event loop."""
    while True:
        found = await session.aread(key)
        try:
            return await session.aset(key, (found.value if found else 0) + 1, found.version if found else 0)
        except VersionMismatch:
            continue


async def abumps(key: str, times: int) -> AsyncIterator[int]:
    for _ in range(times):
        await abump(key)
        yield await session.aget(key)


async def together(keys: list[str]) -> list[int]:
    """Several questions at a time."""
    await asyncio.gather(*(session.aset(key, index) for index, key in enumerate(keys)))
    return list(await asyncio.gather(*(session.aget(key) for key in keys)))


async def forgetful(key: str) -> int:
    """The blocking variant where the awaited one belongs."""
    return session.get(key)


@function(placement="native")
def native_bump(key: str) -> int:
    bump(key)
    return session.get(key)


@function(placement="native")
async def native_abump(key: str) -> int:
    await abump(key)
    return await session.aget(key)


@function(pool="llm")
def threaded_bump(key: str) -> int:
    return bump(key)


@function(pool="llm")
async def looped_bump(key: str) -> int:
    return await abump(key)


def hold(port: int, key: str = "") -> str:
    """Wait for the test; then write, if there is what to write."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{os.getpid()}\n".encode())
        connection.recv(1)
    if key:
        session.set(key, "held")
    return "released"


def note(port: int, text: str) -> None:
    """Tell the test, in the order in which calls are begun."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{text}\n".encode())
        connection.recv(1)


@on_session_end
def ended(session_id: str, reason: str) -> None:
    ENDED.append([session_id, reason])
    print(f"{session_id} has ended: {reason}")
    if session_id == "bad-hook":
        raise ValueError("the hook broke")


@on_session_end
async def ended_too(session_id: str, reason: str) -> None:
    await asyncio.sleep(0)
    ENDED.append([session_id, f"{reason} too"])


def ends() -> list[list[str]]:
    return ENDED
