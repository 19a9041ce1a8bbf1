"""ToolService.Host: one stream to a host of tools. A task reads answers, the stream's own one writes calls.

Owns what waits to be sent, which the registration's limits bound: an order goes out once per call, and a cancel.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from bridge.call import Call, new_call
from bridge.errors import BridgeError, Code, bad_field, malformed, request_too_large
from bridge.interceptors.errors import guard_conversation
from bridge.interceptors.identity import identify
from bridge.v1 import tool_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.server import Conversation, Metadata, Read, Write
    from bridge.telemetry import Telemetry
    from bridge.tools.hosts import ToolHosts
    from bridge.tools.registration import Registration
    from bridge.upkeep.slow_readers import SlowReaders

METHOD = "ToolService/Host"
FIRST_MESSAGE_S = 10.0
"""How long a client may take to say what it hosts."""


class HostStream:
    """One host's stream: the `Link` of its registration."""

    def __init__(self, hosts: ToolHosts, call: Call, largest: int) -> None:
        self._hosts = hosts
        self._call = call
        self._largest = largest
        self._out: list[bytes] = []
        self._something = asyncio.Event()
        self._why: BridgeError | None = None

    def send(self, message: tool_pb2.HostResponse) -> None:
        """Send a message soon."""
        self._out.append(message.SerializeToString())
        self._something.set()

    def end(self, why: BridgeError) -> None:
        """End the stream once what was sent has gone out."""
        self._why = self._why or why
        self._something.set()

    async def run(self, read: Read, write: Write, readers: SlowReaders) -> None:
        """Serve the stream to its end. That a client's side has ended says little: a cancel may look like it."""
        registration = await self._register(read)
        reading = asyncio.create_task(self._read(registration, read))
        reading.add_done_callback(lambda _: self._something.set())
        try:
            await self._write(reading, write, readers)
        finally:
            reading.cancel()
            self._hosts.lost(registration, self)  # unless it has said goodbye

    async def _register(self, read: Read) -> Registration:
        try:
            async with asyncio.timeout(FIRST_MESSAGE_S):
                first = await self._next(read)
        except TimeoutError:
            message = f"the client has not said within {FIRST_MESSAGE_S:g} s which tools it hosts"
            raise BridgeError(Code.DEADLINE_EXCEEDED, "SLOW_READER", message) from None
        if first is None or first.WhichOneof("message") != "register":
            raise bad_field("register", "expected the tools to host as the first message")
        registration, token, resumed = self._hosts.register(first.register, self._call.identity, self)
        limits = self._hosts.limits
        told = tool_pb2.ToolsRegistered(
            registration=registration.id,
            token=token,
            resume_ttl_ms=int(limits.resume_ttl_s * 1000),
            max_result_bytes=limits.max_result_bytes,
            max_calls=limits.max_calls,
            resumed=resumed,
        )
        self._out.insert(0, tool_pb2.HostResponse(registered=told).SerializeToString())
        registration.serve()
        return registration

    async def _write(self, reading: asyncio.Task[None], write: Write, readers: SlowReaders) -> None:
        now = asyncio.get_running_loop().time
        with readers.stream(math.inf) as writing:
            while True:
                out, self._out = self._out, []
                for message in out:
                    self._call.bytes_out += len(message)
                    writing.since = now()
                    await write(message)
                writing.since = None
                if self._out:
                    continue
                if reading.done():
                    await reading
                    return
                if self._why is not None:
                    raise self._why
                await self._something.wait()
                self._something.clear()

    async def _read(self, registration: Registration, read: Read) -> None:
        while (message := await self._next(read)) is not None:
            match message.WhichOneof("message"):
                case "result":
                    registration.result(message.result)
                case "error":
                    registration.error(message.error)
                case "goodbye":
                    self._hosts.goodbye(registration, self)
                    return
                case "register":
                    raise bad_field("register", "expected the tools in the first message only; open another stream")
                case _:
                    raise bad_field("message", "expected result, error or goodbye, got none of them")

    async def _next(self, read: Read) -> tool_pb2.HostRequest | None:
        data = await read()
        if data is None:
            return None
        self._call.bytes_in += len(data)
        if len(data) > self._largest:
            raise request_too_large(len(data), self._largest)
        try:
            return tool_pb2.HostRequest.FromString(data)
        except DecodeError:
            raise malformed("HostRequest") from None


def tool_conversations(
    hosts: ToolHosts, readers: SlowReaders, telemetry: Telemetry, largest: Callable[[], int]
) -> dict[str, Conversation]:
    """Return the handler of Host by its path."""

    def begin(method: str, request: bytes, metadata: Metadata, _remaining_s: float | None) -> Call:
        return new_call(method, identify(metadata), request, math.inf)

    async def run(call: Call, read: Read, write: Write) -> None:
        await HostStream(hosts, call, largest()).run(read, write, readers)

    return {f"/bridge.v1.{METHOD}": guard_conversation(METHOD, begin, run, telemetry)}
