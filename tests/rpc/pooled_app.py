"""What the servers of these tests serve in other pools: one that is narrow, one that is small, one for many calls.

`hold_...` connect to a port of the test, as in served_app.py.
"""

import asyncio
import os
import socket
import threading

from bridge import function


@function(pool="narrow")
def hold_narrow(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{os.getpid()}\n".encode())
        connection.recv(1)
    return "released"


@function(pool="many")
async def hold_async(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{os.getpid()}\n".encode())
        await reader.read(1)
    finally:
        writer.close()
    return "released"


@function(pool="many")
async def cancels_itself() -> int:
    raise asyncio.CancelledError


@function(pool="small")
def eat(mebibytes: int) -> int:
    held = [bytes(bytearray(b"x") * (1 << 20)) for _ in range(mebibytes)]
    threading.Event().wait(10)
    return len(held)


@function(pool="narrow")
def big_narrow(size: int) -> str:
    return "x" * size
