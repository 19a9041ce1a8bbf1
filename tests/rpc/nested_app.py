"""What the servers of the nested tests serve: functions that call each other, in every kind of place.

The same module is in a pool that runs one call at a time and in one that runs many; names of the second start with
`many_`. `outer_*` call what their argument names.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from bridge import CallFailed, ainvoke, current, function, invoke, session


def who(number: int = 0) -> dict[str, int]:
    return {"pid": os.getpid(), "number": number}


async def awho(number: int = 0) -> dict[str, int]:
    await asyncio.sleep(0)
    return {"pid": os.getpid(), "number": number}


def count(to: int) -> Iterator[int]:
    yield from range(to)


async def acount(to: int) -> AsyncIterator[int]:
    for number in range(to):
        await asyncio.sleep(0)
        yield number


def fail(how: str = "plain") -> None:
    if how == "exit":
        os._exit(7)
    raise ValueError(f"failed: {how}")


def hold(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{os.getpid()}\n".encode())
        connection.settimeout(0.05)  # a cancel is raised in a thread only outside of C
        while True:
            try:
                connection.recv(1)
                return "released"
            except TimeoutError:
                continue


def held_then(port: int, what: str) -> dict[str, int]:
    """Waits for the test, and then calls a function."""
    hold(port)
    return invoke(what)


async def ahold(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{os.getpid()}\n".encode())
        await reader.read()
    finally:
        writer.close()
    return "released"


def outer(what: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """Calls a function and says where it runs itself."""
    return {"pid": os.getpid(), "result": invoke(what, **(arguments or {}))}


async def aouter(what: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"pid": os.getpid(), "result": await ainvoke(what, **(arguments or {}))}


async def agather(what: str, times: int, arguments: dict[str, Any] | None = None) -> list[Any]:
    """Calls a function many times at once."""
    calls = (ainvoke(what, **{**(arguments or {}), "number": number}) for number in range(times))
    return await asyncio.gather(*calls)


def chain(names: list[str]) -> list[int]:
    """Calls itself under the first name, which calls itself under the next."""
    return [os.getpid(), *(invoke(names[0], names=names[1:]) if names else [])]


async def achain(names: list[str]) -> list[int]:
    return [os.getpid(), *(await ainvoke(names[0], names=names[1:]) if names else [])]


def again(what: str, depth: int) -> int:
    """How deep it got."""
    return 1 + invoke(what, what=what, depth=depth - 1) if depth else 1


def caught(what: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """Catches the failure of what it calls."""
    try:
        invoke(what, **(arguments or {}))
    except CallFailed as error:
        return {
            "function": error.function,
            "code": error.code,
            "reason": error.reason,
            "message": str(error),
            "metadata": error.metadata,
            "violations": [list(one) for one in error.violations],
        }
    return {}


def streamed(what: str, to: int, stop_after: int | None = None) -> list[int]:
    """Reads a stream, or the beginning of one."""
    found: list[int] = []
    items = current().stream(what, to=to)
    for item in items:
        found.append(item)
        if stop_after is not None and len(found) == stop_after:
            break
    items.close()
    return found


async def astreamed(what: str, to: int, stop_after: int | None = None) -> list[int]:
    found: list[int] = []
    items = current().astream(what, to=to)
    async for item in items:
        found.append(item)
        if stop_after is not None and len(found) == stop_after:
            break
    await items.aclose()
    return found


async def given_up(what: str, port: int) -> str:
    """Gives up what it has called, and goes on."""
    try:
        async with asyncio.timeout(0.3):
            await ainvoke(what, port=port)
    except TimeoutError:
        return await ainvoke("who_native", text="went on")
    return "not given up"


async def left_behind(what: str, port: int) -> str:
    """Ends while what it has called goes on."""
    task = asyncio.create_task(ainvoke(what, port=port))
    await asyncio.sleep(0.1)
    return f"left it: {not task.done()}"


def put(key: str, value: int) -> int:
    """Writes a variable of the session, and reads it by a call of a function in another pool."""
    session.set(key, value)
    return invoke("other_read", key=key)


def read(key: str) -> int:
    return session.get(key)


def meta() -> dict[str, Any]:
    call = current()
    return {
        "session": call.meta.session_id,
        "tenant": call.meta.tenant,
        "trace": call.meta.traceparent,
        "request": call.meta.request_id,
        "left": call.remaining_s(),
    }


def in_a_thread(what: str) -> dict[str, Any]:
    """Calls from another thread."""
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(context.run, lambda: invoke(what)).result()


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@function(placement="native")
async def who_native(text: str = "") -> str:
    return text


@function(placement="native")
async def outer_native(what: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"pid": os.getpid(), "result": await ainvoke(what, **(arguments or {}))}
