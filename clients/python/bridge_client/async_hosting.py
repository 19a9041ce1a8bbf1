"""The asyncio client as a host of tools. Owns the stream, the task that reads it, and those that run functions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import grpc
import grpc.aio

from bridge_client.errors import BridgeError
from bridge_client.failures import to_error
from bridge_client.hosting import PATH, Hosting
from bridge_client.wire import seal

if TYPE_CHECKING:
    from types import TracebackType

    from bridge_client.async_wire import AsyncWire
    from bridge_client.hosted_tools import HostedCall, HostedTool

GOODBYE_S = 5.0


class AsyncToolHost:
    """Functions of this process as tools of agents on the server, inside of `async with`.

    Made by `AsyncClient.host_tools`. Async functions run as tasks, others in threads. A stream that breaks is opened
    again, and what runs meanwhile is answered over the new one.
    """

    def __init__(self, wire: AsyncWire, hosting: Hosting, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bridge-tool")
        self._wire = wire
        self._hosting = hosting
        self._error: BridgeError | None = None
        self._registered = asyncio.Event()
        self._closing = asyncio.Event()
        self._call: Any = None
        self._out: asyncio.Queue[bytes] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def registration(self) -> str:
        """The registration's id, for runs to name. It changes where the server has forgotten the one before."""
        return self._hosting.registration

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools."""
        return tuple(self._hosting.tools)

    @property
    def error(self) -> BridgeError | None:
        """Why the tools are hosted no longer; None while they are."""
        return self._error

    async def _serve(self) -> None:
        """Keep a stream open until the end."""
        try:
            while not self._closing.is_set():
                error = await self._one_stream()
                if self._closing.is_set():
                    return
                if not (self._registered.is_set() and self._hosting.may_go_on(error)):
                    self._error = error
                    return
                await asyncio.sleep(self._hosting.next_pause_s())
        finally:
            self._registered.set()

    async def _one_stream(self) -> BridgeError | None:
        """Serve one stream to its end; return why it ended, if it was not well."""
        envelope = seal(self._wire.address, PATH, replace(self._wire.options, timeout=None, on_receipt=None))
        self._out = asyncio.Queue()
        for message in self._hosting.first_messages():
            self._out.put_nowait(message)
        self._call = self._wire.channel.get().stream_stream(PATH)(metadata=envelope.metadata)
        writing = asyncio.create_task(self._write(self._call, self._out))
        try:
            async for data in self._call:
                call = self._hosting.read(data)
                if self._hosting.registration:
                    self._registered.set()
                for number in self._tasks.keys() - self._hosting.running.keys():
                    self._tasks[number].cancel()
                if call is not None:
                    self._tasks[call.id] = asyncio.create_task(self._run(call))
        except grpc.aio.AioRpcError as failed:
            return to_error(failed, envelope.facts)
        except BridgeError as unreadable:
            self._call.cancel()
            return unreadable
        finally:
            writing.cancel()
        return None

    @staticmethod
    async def _write(call: Any, out: asyncio.Queue[bytes]) -> None:
        with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # who reads hears why
            while True:
                await call.write(await out.get())

    async def _run(self, call: HostedCall) -> None:
        """Run a function, and answer."""
        tool = self._hosting.tools[call.tool]
        try:
            value = await (tool.run(call) if tool.is_async else self._in_thread(tool, call))
        except Exception as error:  # noqa: BLE001  # it is the function's own, and the server is told
            self._send(self._hosting.failure(call, error))
        else:
            self._send(self._hosting.result(call, value))
        finally:
            if self._tasks.get(call.id) is asyncio.current_task():
                del self._tasks[call.id]

    async def _in_thread(self, tool: HostedTool, call: HostedCall) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, copy_context().run, tool.run, call)

    def _send(self, message: bytes | None) -> None:
        if message is not None:
            self._out.put_nowait(message)

    async def close(self) -> None:
        """Host the tools no longer; functions that run are cancelled."""
        self._closing.set()
        tasks = list(self._tasks.values())
        for call in self._hosting.running.values():
            call.cancelled.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown(wait=False)
        if self._task is None:
            return
        self._out.put_nowait(self._hosting.goodbye())
        await asyncio.wait([self._task], timeout=GOODBYE_S)
        if not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._serve())
        await self._registered.wait()
        if (error := self.error) is not None:
            raise error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
