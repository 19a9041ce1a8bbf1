"""InvokeService.Multiplex: many calls over one stream. Owns the list of streams; `stream` is one of them."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from bridge.call import Call, Identity, new_call
from bridge.deadline import timeout_s
from bridge.errors import BridgeError, Code
from bridge.interceptors.errors import guard_conversation, refused
from bridge.interceptors.identity import identify
from bridge.multiplex.member import Member
from bridge.multiplex.packing import Packer
from bridge.multiplex.stream import Stream, shutting_down
from pool.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.config import Config
    from bridge.dispatch import Dispatcher
    from bridge.server import Conversation, Metadata, Read, Write
    from bridge.telemetry import Telemetry
    from bridge.upkeep.slow_readers import SlowReaders
    from pool.pool import Pool

METHOD = "InvokeService/Multiplex"


class Multiplexer:
    """Serves the streams of one server, and has what they share."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        pools: Mapping[str, Pool],
        telemetry: Telemetry,
        config: Config,
        readers: SlowReaders,
    ) -> None:
        self.dispatcher = dispatcher
        self.telemetry = telemetry
        self.readers = readers
        self.pools = pools
        self.loop = asyncio.get_running_loop()
        self.packer = Packer(telemetry)
        self.late: Deadlines[Member] = Deadlines(self.loop, self._expire)
        """The deadlines of calls that wait for their turn in their stream."""
        self._streams: set[Stream] = set()
        self._drained: asyncio.Event | None = None
        self.renew(config)

    def renew(self, config: Config) -> None:
        """Take over the limits of calls, and those of streams for the ones that are opened from now on."""
        server = config.server
        self.largest = server.max_message_bytes
        self._default_s = min(server.default_timeout_s, server.max_timeout_s)
        self._longest_s = server.max_timeout_s
        self.limits = config.multiplex
        self.packer.most = config.multiplex.max_pack_calls

    def handlers(self) -> dict[str, Conversation]:
        """Return the handler by path."""
        return {f"/bridge.v1.{METHOD}": guard_conversation(METHOD, self._begin, self._run, self.telemetry)}

    def time_left_s(self, identity: Identity) -> float:
        """Return how long a call may take."""
        if identity.timeout_ms is None:
            return self._default_s
        return timeout_s(None, identity.timeout_ms, self._default_s, self._longest_s)

    def _begin(self, method: str, request: bytes, metadata: Metadata, remaining_s: float | None) -> Call:
        if self._drained is not None:
            raise shutting_down()
        deadline = inf if remaining_s is None else self.loop.time() + remaining_s
        return new_call(method, identify(metadata), request, deadline)

    async def _run(self, call: Call, read: Read, write: Write) -> None:
        stream = Stream(self, call)
        self._streams.add(stream)
        try:
            await stream.run(read, write)
        finally:
            stream.end()
            self._streams.discard(stream)
            if self._drained is not None and not self._streams:
                self._drained.set()

    def _expire(self, call: Member) -> None:
        error = BridgeError(
            Code.DEADLINE_EXCEEDED, "IN_QUEUE", "the deadline passed while other calls of the stream ran"
        )
        call.stream.answer(call, None, refused(error, call, self.telemetry))

    async def drain(self, timeout_s: float) -> bool:
        """Read no more calls, and end each stream with its last answer; return whether all ended within the time."""
        self._drained = self._drained or asyncio.Event()
        for stream in self._streams:
            stream.drain()
        if not self._streams:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._drained.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Watch no deadlines any more."""
        self.late.close()
