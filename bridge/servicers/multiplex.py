"""InvokeService.Multiplex: many calls over one stream, answered as they end.

Owns the open calls of each stream. What comes in one message is begun in one go, and what has ended in one turn of the
loop goes out as one message. Where a stream has as many open calls as it may, or its client does not read, no more is
read from it.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache, partial
from math import inf
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from bridge import receipts, status
from bridge.call import Call, Identity, new_call
from bridge.deadline import timeout_s
from bridge.errors import BridgeError, Code, bad_field, malformed
from bridge.interceptors.errors import guard_call, guard_conversation, guard_step
from bridge.interceptors.identity import identify, identify_member
from bridge.multiplex_wire import ERROR, RESPONSE, Answers, Entry, greeting, read
from bridge.native import NativeRunner
from bridge.packing import Packer
from bridge.servicers.forward import PACKAGE
from bridge.v1.invoke_pb2 import MultiplexOptions
from pool.packs import Pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.config import ServerConfig
    from bridge.dispatch import Dispatcher
    from bridge.pooled import PooledRunner
    from bridge.server import Conversation, Metadata, Read, Write
    from bridge.slow_readers import SlowReaders
    from bridge.telemetry import Telemetry
    from pool.pool import Pool

METHOD = "InvokeService/Multiplex"
CALL = "InvokeService/Call"
MAX_OPEN_CALLS = 2048
"""Calls of a stream that may be open; no more are begun until one has ended."""


class Member(Call, eq=False):
    """A call of a stream. `number` is its id there; `task` runs it, where it is not part of a pack."""

    stream: _Stream | None = None
    number: int = 0
    task: asyncio.Task[None] | None = None
    begun: bool = False
    """Whether its task has."""


class Multiplexer:
    """Serves the streams of one server."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        pools: Mapping[str, Pool],
        telemetry: Telemetry,
        config: ServerConfig,
        readers: SlowReaders,
    ) -> None:
        self.dispatcher = dispatcher
        self.telemetry = telemetry
        self.readers = readers
        self.packer = Packer(pools, telemetry, _done, self._again)
        self.loop = asyncio.get_running_loop()
        self._streams: set[_Stream] = set()
        self._drained: asyncio.Event | None = None
        self.renew(config)

    def renew(self, config: ServerConfig) -> None:
        """Take over the limits of calls."""
        self.largest = config.max_message_bytes
        self._default_s = min(config.default_timeout_s, config.max_timeout_s)
        self._longest_s = config.max_timeout_s

    def handlers(self) -> dict[str, Conversation]:
        """Return the handler by path."""
        return {PACKAGE + METHOD: guard_conversation(METHOD, self._begin, self._run, self.telemetry)}

    def _begin(self, method: str, request: bytes, metadata: Metadata, remaining_s: float | None) -> Call:
        if self._drained is not None:
            raise shutting_down()
        return new_call(
            method, identify(metadata), request, inf if remaining_s is None else self.loop.time() + remaining_s
        )

    async def _run(self, call: Call, read: Read, write: Write) -> None:
        stream = _Stream(self, call)
        self._streams.add(stream)
        try:
            await stream.run(read, write)
        finally:
            stream.end()
            self._streams.discard(stream)
            if self._drained is not None and not self._streams:
                self._drained.set()

    def time_left_s(self, identity: Identity) -> float:
        """Return how long a call may take."""
        if identity.timeout_ms is None:
            return self._default_s
        return timeout_s(None, identity.timeout_ms, self._default_s, self._longest_s)

    def _again(self, call: Call) -> None:
        """Run a call that was to be packed by itself."""
        assert isinstance(call, Member)
        if call.stream is not None and call.number in call.stream.open:
            call.stream.run_alone(call, self.dispatcher.pooled)

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


class _Stream:
    """One stream. A task reads calls and begins them, the stream's own one writes answers."""

    def __init__(self, owner: Multiplexer, call: Call) -> None:
        self._owner = owner
        self._call = call
        self._answers = Answers()
        self._something = asyncio.Event()
        """There are answers, or there will be none."""
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._draining = self._ended = False
        self._request_bytes = 0
        self.open: dict[int, Member] = {}

    async def run(self, read: Read, write: Write) -> None:
        """Serve the stream until its client has sent its last call and has its last answer."""
        await write(greeting(MAX_OPEN_CALLS))
        reader = self._reader = asyncio.create_task(self._read(read))
        reader.add_done_callback(lambda _: self._something.set())
        now = self._owner.loop.time
        with self._owner.readers.stream(inf) as writing:
            while True:
                await self._something.wait()
                self._something.clear()
                for message in self._answers.take():
                    self._call.bytes_out += len(message)
                    writing.since = now()
                    await write(message)
                writing.since = None
                self._room.set()
                if reader.done() and (reader.cancelled() or reader.exception() is None):
                    if self.open or self._answers.size:
                        continue
                    if self._draining:
                        raise shutting_down()
                    return
                if reader.done():
                    await reader

    async def _read(self, read: Read) -> None:
        while (message := await read()) is not None:
            self._call.bytes_in += len(message)
            await self._take(message)

    async def _take(self, message: bytes) -> None:
        if len(message) > self._owner.largest:
            raise _too_large(len(message), self._owner.largest)
        received = read(message)
        for number in received.cancelled_ids:
            self._cancel(number)
        calls = received.calls
        at = 0
        while at < len(calls):
            while (room := MAX_OPEN_CALLS - len(self.open)) <= 0 or self._is_full:
                self._room.clear()
                await self._room.wait()
            self._begin(calls[at : at + room])
            at += room

    @property
    def _is_full(self) -> bool:
        return self._request_bytes > self._owner.largest or self._answers.size > self._owner.largest

    def _begin(self, entries: Sequence[Entry]) -> None:
        """Begin calls that came together."""
        owner, takes, of = self._owner, self._owner.packer.takes, self._call.identity
        started_at, now = time.perf_counter(), owner.loop.time()
        deadline = min(now + owner.time_left_s(of), self._call.deadline)
        groups: dict[tuple[str, float], list[Call]] = {}
        for entry in entries:
            number, request = entry.id, entry.request
            if number in self.open:
                raise bad_field("calls.id", f"expected the id of no open call, got {number}, which is open")
            identity = identify_member(of, number, None)
            call = Member(CALL, identity, request, deadline, len(request), started_at, stream=self, number=number)
            self.open[number] = call
            self._request_bytes += call.bytes_in
            step = partial(self._place, call, entry.options, now)
            runner, failure = guard_step(step, call, owner.telemetry)
            if runner is None:
                self.answer(call, None, failure, in_flight=False)
            elif isinstance(runner, NativeRunner):
                self._run_native(call, runner)
            elif takes(call):
                groups.setdefault((call.function, call.deadline), []).append(call)
            else:
                self.run_alone(call, runner)
        for calls in groups.values():
            owner.packer.submit(calls)

    def _place(self, call: Member, options: bytes, now: float) -> NativeRunner | PooledRunner:
        """Let a call's options hold, and begin it."""
        owner = self._owner
        if options:
            call.identity = identify_member(self._call.identity, call.number, _options(options))
            call.deadline = min(now + owner.time_left_s(call.identity), self._call.deadline)
        return owner.dispatcher.begin(call)

    def _run_native(self, call: Member, runner: NativeRunner) -> None:
        """Run a synchronous function at once: it never waits."""
        assert call.spec is not None
        if call.spec.is_async or call.session is not None:
            self.run_alone(call, runner)
            return
        owner = self._owner
        run = guard_call(owner.dispatcher.finish(call, runner), call, owner.telemetry)
        try:
            run.send(None)
        except StopIteration as stopped:
            self.answer(call, *stopped.value, in_flight=False)
        else:
            raise AssertionError("a native function that is not async has waited")

    def run_alone(self, call: Member, runner: NativeRunner | PooledRunner) -> None:
        """Run a call in a task of its own."""
        call.task = self._owner.loop.create_task(self._alone(call, runner))

    async def _alone(self, call: Member, runner: NativeRunner | PooledRunner) -> None:
        owner = self._owner
        if self.open.get(call.number) is not call:  # it was dropped before this began
            owner.dispatcher.ended(call)
            return
        call.begun = True
        body, failure = await guard_call(owner.dispatcher.finish(call, runner), call, owner.telemetry)
        if body is not None and call.route == receipts.POOLED:
            owner.packer.learn(call.function, 1, call.worker_ns / 1e9)
        self.answer(call, body, failure, in_flight=False)

    def answer(self, call: Member, body: bytes | None, failure: bytes, *, in_flight: bool = True) -> None:
        """Take the end of a call: it is told to the client in this turn of the loop."""
        if in_flight:
            self._owner.dispatcher.ended(call)
        if self.open.get(call.number) is not call:
            return  # it was cancelled
        del self.open[call.number]
        self._request_bytes -= call.bytes_in
        shared, receipt = receipts.compact(call)
        if body is None:
            self._answers.add(call.number, ERROR, failure, shared, receipt)
        else:
            self._answers.add(call.number, RESPONSE, body, shared, receipt)
        self._something.set()

    def _cancel(self, number: int) -> None:
        call = self.open.get(number)
        if call is None:
            return
        error = BridgeError(Code.CANCELLED, "CANCELLED", "the client has cancelled the call")
        self._drop(call)
        self.answer(call, None, status.pack(error, call.identity.request_id), in_flight=call.task is None)

    def _drop(self, call: Member) -> None:
        """End a call that nobody waits for."""
        if call.begun and call.task is not None:
            call.task.cancel()
            return
        if isinstance(call.job, Pack):
            self._owner.packer.drop(call.job, call)
        self._owner.telemetry.finished(call, Code.CANCELLED)

    def drain(self) -> None:
        """Read no more; end with the last answer."""
        self._draining = True
        if self._reader is not None:
            self._reader.cancel()

    def end(self) -> None:
        """The stream has ended: nobody waits for what is still open."""
        if self._reader is not None:
            self._reader.cancel()
        calls, self.open = list(self.open.values()), {}
        for call in calls:
            self._drop(call)
            if call.task is None:
                self._owner.dispatcher.ended(call)


def _done(call: Call, body: bytes | None, failure: bytes) -> None:
    """A call of a pack has ended."""
    assert isinstance(call, Member)
    assert call.stream is not None
    call.stream.answer(call, body, failure)


@lru_cache(maxsize=256)
def _options(options: bytes) -> MultiplexOptions:
    try:
        return MultiplexOptions.FromString(options)
    except DecodeError:
        raise malformed("MultiplexOptions") from None


def shutting_down() -> BridgeError:
    """Return the failure of a stream that the server ends."""
    message = "the server takes no more calls: it is shutting down"
    return BridgeError(Code.UNAVAILABLE, "SHUTTING_DOWN", message, retry_after_s=1.0)


def _too_large(size: int, limit: int) -> BridgeError:
    message = f"a message has {size} bytes, more than server.max_message_bytes ({limit}) allows"
    metadata = {"size_bytes": str(size), "limit_bytes": str(limit)}
    return BridgeError(Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", message, metadata=metadata)
