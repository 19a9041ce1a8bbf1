"""One stream of many calls, answered as they end.

Owns the open calls of the stream. What comes in one message is begun in one go, and what has ended in one turn of the
loop goes out as one message. Where a stream has as many open calls as it may, or its client does not read, no more is
read from it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from bridge import receipts, status
from bridge.call import Call
from bridge.errors import BridgeError, Code, bad_field, malformed
from bridge.interceptors.errors import guard_call, refused
from bridge.interceptors.identity import identify_member
from bridge.multiplex_wire import ERROR, RESPONSE, Answers, Entry, greeting, read
from bridge.packing import PACK_CALLS
from bridge.v1.invoke_pb2 import MultiplexOptions
from handlers.errors import HandlerError
from pool.errors import PoolError
from pool.packs import Pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dispatch import Runner
    from bridge.multiplex import Multiplexer
    from bridge.server import Read, Write

CALL = "InvokeService/Call"
MAX_OPEN_CALLS = 2048
"""Calls of a stream that may be open; no more are begun until one has ended."""
QUEUE_SHARE = 2
"""One stream has as much in a pool as this part of its queue holds, the workers not counted."""


class Member(Call, eq=False, kw_only=True):
    """A call of a stream. `number` is its id there; `task` runs it, where it is not part of a pack."""

    stream: Stream
    number: int
    task: asyncio.Task[None] | None = None
    begun: bool = False
    """Whether its task has."""
    bucket: int = 0
    """Of its deadline, while it waits for its turn."""


class Lane:
    """What a stream has in one pool. `waiting` are the calls beyond that, which stand in no queue of the pool."""

    __slots__ = ("busy", "limit", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.busy = 0
        self.waiting: deque[Member] = deque()

    @property
    def room(self) -> int:
        """Packs, or calls alone, that may be submitted now."""
        return 0 if self.waiting else self.limit - self.busy


class Stream:
    """One stream. A task reads calls and begins them, the stream's own one writes answers."""

    def __init__(self, owner: Multiplexer, call: Call) -> None:
        self._owner = owner
        self._call = call
        self._answers = Answers()
        self._something = asyncio.Event()
        """There are answers, or there will be none."""
        self._room = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._draining = False
        self._request_bytes = 0
        self._lanes: dict[str, Lane] = {}
        self.open: dict[int, Member] = {}

    async def run(self, read: Read, write: Write) -> None:
        """Serve the stream until its client has sent its last call and has its last answer."""
        reader = self._reader = asyncio.create_task(self._read(read))
        reader.add_done_callback(lambda _: self._something.set())
        now = self._owner.loop.time
        with self._owner.readers.stream(inf) as writing:
            writing.since = now()
            await write(greeting(MAX_OPEN_CALLS))
            writing.since = None
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
                    if reader.cancelled():  # by `drain`, not by the client's last word
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
        pooled, started_at, now = owner.dispatcher.pooled, time.perf_counter(), owner.loop.time()
        deadline = min(now + owner.time_left_s(of), self._call.deadline)
        groups: dict[tuple[str, float], list[Member]] = {}
        for entry in entries:
            number, request = entry.id, entry.request
            if number in self.open:
                raise bad_field("calls.id", f"expected the id of no open call, got {number}, which is open")
            identity = identify_member(of, number, None)
            call = Member(CALL, identity, request, deadline, len(request), started_at, stream=self, number=number)
            self.open[number] = call
            self._request_bytes += call.bytes_in
            try:
                runner = self._place(call, entry.options, now)
            except (BridgeError, HandlerError, PoolError) as error:
                self.answer(call, None, refused(error, call, owner.telemetry), in_flight=False)
                continue
            if not call.pool:
                self._run_native(call, runner)
            elif self._lane(call.pool).room <= 0:
                self._wait(call)
            elif runner is pooled and takes(call):
                groups.setdefault((call.function, call.deadline), []).append(call)
            else:
                self._run_alone(call, runner)
        for calls in groups.values():
            self._submit(calls)

    def _lane(self, pool: str) -> Lane:
        lane = self._lanes.get(pool)
        if lane is None:
            lane = self._lanes[pool] = Lane(max(1, self._owner.pools[pool].options.queue_limit // QUEUE_SHARE))
        return lane

    def _wait(self, call: Member) -> None:
        """Let a call wait for its turn, so that one stream does not fill the queue of a pool."""
        self._lane(call.pool).waiting.append(call)
        call.bucket = self._owner.late.add(call, call.deadline)

    def _submit(self, calls: list[Member]) -> None:
        """Submit calls as packs, as far as there is room."""
        lane = self._lane(calls[0].pool)
        done = 0
        while done < len(calls) and lane.busy < lane.limit:
            lane.busy += 1
            done += self._owner.packer.submit(calls[done:])
        for call in calls[done:]:
            self._wait(call)

    def freed(self, pool: str) -> None:
        """A pack or a call alone has ended: those that wait have their turn."""
        lane = self._lane(pool)
        lane.busy -= 1
        while lane.waiting and lane.busy < lane.limit:
            calls = self._next(lane)
            if len(calls) > 1:
                self._submit(calls)
            elif calls:
                self._run_alone(calls[0], self._owner.dispatcher.in_workers(calls[0]))

    def _next(self, lane: Lane) -> list[Member]:
        """Take from those that wait the first, with what follows it and fits into its pack."""
        calls: list[Member] = []
        while lane.waiting and len(calls) < PACK_CALLS:
            call = lane.waiting[0]
            gone = self.open.get(call.number) is not call
            if calls and not gone:
                first = calls[0]
                if call.function != first.function or call.deadline != first.deadline or not self._packs(call):
                    break
            lane.waiting.popleft()
            self._owner.late.discard(call, call.bucket)
            if not gone:
                calls.append(call)
                if not self._packs(call):
                    break
        return calls

    def _packs(self, call: Member) -> bool:
        return self._owner.packer.takes(call)

    def _place(self, call: Member, options: bytes, now: float) -> Runner:
        """Let a call's options hold, and begin it."""
        owner = self._owner
        if options:
            call.identity = identify_member(self._call.identity, call.number, _options(options))
            call.deadline = min(now + owner.time_left_s(call.identity), self._call.deadline)
        return owner.dispatcher.begin(call)

    def _run_native(self, call: Member, runner: Runner) -> None:
        """Run a synchronous function at once: it never waits."""
        assert call.spec is not None
        if call.spec.is_async or call.session is not None:
            self._run_alone(call, runner)
            return
        owner = self._owner
        run = guard_call(owner.dispatcher.finish(call, runner), call, owner.telemetry)
        try:
            run.send(None)
        except StopIteration as stopped:
            self.answer(call, *stopped.value, in_flight=False)
        else:
            raise AssertionError("a native function that is not async has waited")

    def again(self, call: Member) -> None:
        """Run a call that was part of a pack, or was to be, by itself."""
        if self.open.get(call.number) is call:
            self._run_alone(call, self._owner.dispatcher.in_workers(call))

    def _run_alone(self, call: Member, runner: Runner) -> None:
        """Run a call in a task of its own."""
        if call.pool:
            self._lane(call.pool).busy += 1
        call.task = self._owner.loop.create_task(self._alone(call, runner))

    async def _alone(self, call: Member, runner: Runner) -> None:
        owner, pool = self._owner, call.pool  # a route may answer it in another pool
        if self.open.get(call.number) is not call:  # it was dropped before this began
            owner.dispatcher.ended(call)
        else:
            call.begun = True
            try:
                body, failure = await guard_call(owner.dispatcher.finish(call, runner), call, owner.telemetry)
                if body is not None and runner is owner.dispatcher.pooled:
                    owner.packer.learn(call.function, 1, call.worker_ns / 1e9)
                self.answer(call, body, failure, in_flight=False)
            finally:
                if pool:
                    self.freed(pool)
            return
        if pool:
            self.freed(pool)

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
        error = BridgeError(Code.CANCELLED, "CANCELLED_BY_CLIENT", "the client has cancelled the call")
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
