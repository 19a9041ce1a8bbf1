"""A client by HTTP/1.1 on plain asyncio: one connection per call, which a cancel or a deadline closes.

Small on purpose: it reads nothing ahead, so that a slow reader is one, and a body that breaks off is no end.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from calling import CallFailed

HEALTH_S = 1.0
RECEIVE_BUFFER = 256 << 10
_REFUSED = (429, 503)


class HttpClient:
    """POSTs `{"function": ..., "arguments": ...}` to /call and /stream."""

    def __init__(self, port: int, health_path: str) -> None:
        self._port = port
        self._health_path = health_path

    async def call(self, function: str, arguments: dict[str, Any], timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s), self._request("POST", "/call", function, arguments) as (code, body):
                text = b"".join([part async for part in body])
        except TimeoutError as error:
            raise CallFailed("deadline", f"no answer within {timeout_s:g} s") from error
        except (OSError, EOFError) as error:
            raise CallFailed("error", f"connection lost: {error or type(error).__name__}") from error
        if code != 200:
            raise CallFailed("refused" if code in _REFUSED else "error", f"HTTP {code}: {text.decode()}")
        return json.loads(text)["result"]

    async def stream(self, function: str, arguments: dict[str, Any], timeout_s: float) -> AsyncGenerator[int, None]:
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._request("POST", "/stream", function, arguments) as (code, body),
            ):
                if code != 200:
                    raise CallFailed("error", f"HTTP {code}")
                async for part in body:
                    yield len(part)
        except TimeoutError as error:
            raise CallFailed("deadline", f"not at its end after {timeout_s:g} s") from error
        except (OSError, EOFError) as error:
            raise CallFailed("error", f"connection lost: {error or type(error).__name__}") from error

    async def healthy(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_S), self._request("GET", self._health_path) as (code, _body):
                return code == 200
        except (OSError, EOFError):  # a TimeoutError is an OSError
            return False

    async def close(self) -> None:
        """Nothing is kept open."""

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, function: str = "", arguments: dict[str, Any] | None = None
    ) -> AsyncIterator[tuple[int, AsyncGenerator[bytes, None]]]:
        body = json.dumps({"function": function, "arguments": arguments}).encode() if method == "POST" else b""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
            reader, writer = await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        try:
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            code, headers = await _head(reader)
            yield code, _body(reader, headers)
        finally:
            writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(status.split()[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncGenerator[bytes, None]:
    if headers.get("transfer-encoding") != "chunked":
        yield await reader.readexactly(int(headers.get("content-length", 0)))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
