"""One stream of many calls, answered as they end.

Owns the open calls of the stream. What comes in one message is begun in one go, and what has ended in one turn of the
loop goes out as one message. Where a stream has as many open calls or bytes as it may, or its client does not read, no
more is read from it.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from bridge import status
from bridge.errors import BridgeError, Code, bad_field
from bridge.interceptors.errors import guard_call, refused
from bridge.interceptors.identity import identify_member
from bridge.multiplex.lane import Lane
from bridge.multiplex.member import CALL, Member, read_options
from bridge.multiplex.packing import REQUEST_BYTES
from bridge.multiplex.wire import ERROR, RESPONSE, Answers, Ended, Entry, greeting, read
from bridge.pooled import note_now
from bridge.receipts import receipts
from handlers.errors import HandlerError
from pool.deadlines import RESOLUTION_S
from pool.errors import PoolError
from pool.packs import Pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.call import Call
    from bridge.dispatch import Runner
    from bridge.multiplex.multiplexer import Multiplexer
    from bridge.server import Read, Write


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
        self._request_bytes = 0
        self._lanes: dict[str, Lane] = {}
        self._limits = owner.limits
        self.soon: Callable[..., object] = owner.loop.call_soon
        self.open: dict[int, Member] = {}

    async def run(self, read: Read, write: Write) -> None:
        """Serve the stream until its client has sent its last call and has its last answer."""
        reader = self._reader = asyncio.create_task(self._read(read))
        reader.add_done_callback(lambda _: self._something.set())
        now = self._owner.loop.time
        with self._owner.readers.stream(math.inf) as writing:
            writing.since = now()
            await write(greeting(self._limits.max_open_calls))
            writing.since = None
            while True:
                await self._something.wait()
                self._something.clear()
                for message in self._answers.take():
                    self._call.bytes_out += len(message)
                    writing.since = now()
                    await write(message)
                writing.since = None
                self._make_room()
                if reader.done() and (reader.cancelled() or reader.exception() is None):
                    if self.open or self._answers.size:
                        continue
                    if reader.cancelled():  # by `drain`, not by the client's last word
                        raise shutting_down()
                    return
                if reader.done():
                    await reader

    def _make_room(self) -> None:
        """Answers have been sent: calls that waited for it are read, and begun."""
        self._room.set()
        for lane in self._lanes.values():
            lane.serve()

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
            while (room := self._limits.max_open_calls - len(self.open)) <= 0 or self._is_full:
                self._room.clear()
                await self._room.wait()
            at += self._begin(calls[at : at + room] if at or room < len(calls) else calls)

    @property
    def _is_full(self) -> bool:
        return self._request_bytes > self._limits.max_open_bytes or self.answers_are_full

    @property
    def answers_are_full(self) -> bool:
        """Whether so much waits to be sent that no more calls are begun."""
        return self._answers.size > self._limits.max_open_bytes

    def _begin(self, entries: Sequence[Entry]) -> int:
        """Begin calls that came together, until answers of native ones fill the room; return how many."""
        owner, of = self._owner, self._call.identity
        started_at, now = time.perf_counter(), owner.loop.time()
        deadline = self._deadline(now)
        known: dict[bytes, tuple[Member, list[Member]]] = {}
        """By how a request begins, the first call of its function, and all that are to be packed with it."""
        packs: dict[tuple[str, float, str], list[Member]] = {}
        count = 0
        for entry in entries:
            number, request, options = entry.id, entry.request, entry.options
            if number in self.open:
                raise bad_field("calls.id", f"expected the id of no open call, got {number}, which is open")
            count += 1
            size = len(request)
            self._request_bytes += size
            alike = None if options else known.get(request[: 2 + request[1]] if size > 1 else b"")
            if alike is not None and size <= REQUEST_BYTES:
                first, pack = alike
                call = first.another(number, identify_member(of, number, None), request)
                self.open[number] = call
                pack.append(call)
                continue
            identity = identify_member(of, number, None)
            call = Member(CALL, identity, request, deadline, size, started_at, stream=self, number=number)
            self.open[number] = call
            if (lane := self._place(call, options, now)) is not None:
                if call.runner is owner.dispatcher.pooled and owner.packer.takes(call, lane.pool):
                    pack = packs.setdefault((call.function, call.deadline, call.reason), [])
                    pack.append(call)
                    if not options and owner.packer.takes_all(call, lane.pool):
                        known[request[: 2 + request[1]]] = call, pack
                else:
                    lane.enter((call,), packed=False)
            elif self.answers_are_full:
                break
        for pack in packs.values():
            owner.dispatcher.join(pack)
            lane = pack[0].lane
            assert lane is not None
            lane.enter(pack, packed=True)
        return count

    def _deadline(self, now: float) -> float:
        """Return the deadline of calls without options: the same for those that come at about the same time."""
        deadline = now + self._owner.time_left_s(self._call.identity)
        return min(math.ceil(deadline / RESOLUTION_S) * RESOLUTION_S, self._call.deadline)

    def _place(self, call: Member, options: bytes, now: float) -> Lane | None:
        """Let a call's options hold, and place it; return the lane that it is to enter, if any."""
        owner = self._owner
        try:
            if options:
                own = read_options(options)
                call.identity = identify_member(self._call.identity, call.number, own)
                if own.timeout_ms:
                    call.deadline = min(now + owner.time_left_s(call.identity), self._call.deadline)
            call.runner = owner.dispatcher.begin(call)
        except (BridgeError, HandlerError, PoolError) as error:
            self.answer(call, None, refused(error, call, owner.telemetry), in_flight=False)
            return None
        if not call.pool:
            self._run_native(call, call.runner)
            return None
        lane = call.lane = self._lane(call.pool)
        return lane

    def _lane(self, pool: str) -> Lane:
        lane, found = self._lanes.get(pool), self._owner.pools[pool]
        if lane is None or lane.pool is not found:
            lane = self._lanes[pool] = Lane(self, found, self._owner.packer, self._owner.late)
        return lane

    def _run_native(self, call: Member, runner: Runner) -> None:
        """Run a synchronous function at once: it never waits."""
        assert call.spec is not None
        if call.spec.is_async or call.session is not None:
            self.run_alone(call)
            return
        owner = self._owner
        run = guard_call(owner.dispatcher.finish(call, runner), call, owner.telemetry)
        try:
            run.send(None)
        except StopIteration as stopped:
            self.answer(call, *stopped.value, in_flight=False)
        else:
            raise AssertionError("a native function that is not async has waited")

    def run_alone(self, call: Member) -> None:
        """Run a call in a task of its own."""
        call.task = self._owner.loop.create_task(self._alone(call))

    async def _alone(self, call: Member) -> None:
        owner = self._owner
        assert call.runner is not None
        try:
            if self.open.get(call.number) is not call:  # it was dropped before this began
                owner.dispatcher.ended(call)
                return
            call.begun = True
            body, failure = await guard_call(owner.dispatcher.finish(call, call.runner), call, owner.telemetry)
            if body is not None and call.runner is owner.dispatcher.pooled:
                owner.packer.learn(call.function, 1, call.worker_ns / 1e9)
            self.answer(call, body, failure, in_flight=False)
        finally:
            if call.lane is not None:
                call.lane.alone_ended()

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

    def answer_packed(self, calls: list[Member], bodies: list[bytes]) -> None:
        """Take the ends of calls of one pack that went well; they have been counted."""
        self._owner.dispatcher.leave(calls)
        first, open_calls = calls[0], self.open
        leased_at, ended_at = first.leased_at or 0.0, first.ended_at
        ended: list[Ended] = []
        for call, body in zip(calls, bodies, strict=True):
            number, started_at, bytes_in = call.number, call.started_at, call.bytes_in
            del open_calls[number]
            self._request_bytes -= bytes_in
            queue_us, total_us = int((leased_at - started_at) * 1e6), int((ended_at - started_at) * 1e6)
            ended.append((number, body, queue_us, call.worker_ns // 1000, total_us, bytes_in))
        self._answers.add_ended(ended, (first.function, first.route, first.reason, first.pool, first.worker))
        self._something.set()

    def _cancel(self, number: int) -> None:
        call = self.open.get(number)
        if call is None:
            return
        error = BridgeError(Code.CANCELLED, "CANCELLED_BY_CLIENT", "the client has cancelled the call")
        self._drop(call)
        self.answer(call, None, status.pack(error, call.identity.request_id), in_flight=call.task is None)

    def _drop(self, call: Member) -> None:
        """End a call that nobody waits for; it is counted now, as its receipt has it."""
        note_now(call)
        self._owner.telemetry.finished(call, Code.CANCELLED)
        if call.begun and call.task is not None:
            call.task.cancel()
        elif isinstance(call.job, Pack):
            self._owner.packer.drop(call.job, call)

    def drain(self) -> None:
        """Read no more, refuse what waits for its turn; end with the last answer."""
        self._read_no_more()
        for call in [call for lane in self._lanes.values() for call in lane.clear()]:
            self.answer(call, None, refused(shutting_down(), call, self._owner.telemetry))

    def _read_no_more(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    def end(self) -> None:
        """The stream has ended: nobody waits for what is still open."""
        self._read_no_more()
        calls, self.open = list(self.open.values()), {}
        for lane in self._lanes.values():
            lane.clear()
        for call in calls:
            self._drop(call)
            if call.task is None:
                self._owner.dispatcher.ended(call)


def shutting_down() -> BridgeError:
    """Return the failure of a stream that the server ends."""
    message = "the server takes no more calls: it is shutting down"
    return BridgeError(Code.UNAVAILABLE, "SHUTTING_DOWN", message, retry_after_s=1.0)


def _too_large(size: int, limit: int) -> BridgeError:
    message = f"a message has {size} bytes, more than server.max_message_bytes ({limit}) allows"
    metadata = {"size_bytes": str(size), "limit_bytes": str(limit)}
    return BridgeError(Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", message, metadata=metadata)
