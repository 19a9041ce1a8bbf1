"""What one stream has in one pool: never more than its share of the queue, so that it does not fill that for others.

Owns the calls of the stream that stand in no queue yet. Calls that came together and can be packed are submitted as
packs; what has been given back by a pack runs by itself, before what came later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.multiplex.member import Member
    from bridge.multiplex.packing import Packer
    from bridge.multiplex.stream import Stream
    from pool.deadlines import Deadlines
    from pool.pool import Pool

QUEUE_SHARE = 2
"""One stream has as many calls in a pool as this part of its queue holds; those that run in packs are not counted."""


class Lane:
    """One stream's calls for one pool."""

    __slots__ = ("_alone", "_late", "_packed", "_packer", "_serving", "_stream", "_waiting", "pool")

    def __init__(self, stream: Stream, pool: Pool, packer: Packer, late: Deadlines[Member]) -> None:
        self.pool = pool
        self._stream = stream
        self._packer = packer
        self._late = late
        self._packed = 0
        """Calls in packs that wait in the pool."""
        self._alone = 0
        """Calls that wait or run there by themselves."""
        self._waiting: deque[Member] = deque()
        self._serving = False

    @property
    def stream(self) -> Stream:
        """The stream."""
        return self._stream

    @property
    def _limit(self) -> int:
        return max(1, self.pool.options.queue_limit // QUEUE_SHARE)

    def enter(self, calls: Sequence[Member], *, packed: bool) -> None:
        """Submit calls, or let them wait for their turn. With `packed` they are of one function and one deadline."""
        if not self._waiting:
            calls = self._start(calls, packed=packed)
        if calls:
            self._wait(calls)

    def again(self, calls: Iterable[Member]) -> None:
        """Run calls by themselves that were packed: they are older than those that wait."""
        live = [call for call in calls if self._is_open(call)]
        for call in live:
            call.alone = True
            call.bucket = self._late.add(call, call.deadline) if call.bucket is None else call.bucket
        self._waiting.extendleft(reversed(live))
        self.serve()

    def pack_left(self, calls: int) -> None:
        """A pack of so many calls waits no longer."""
        self._packed -= calls
        self._serve_soon()

    def alone_ended(self) -> None:
        """A call that ran by itself has ended."""
        self._alone -= 1
        self._serve_soon()

    def _serve_soon(self) -> None:
        if self._waiting and not self._serving:
            self._serving = True
            self._stream.soon(self.serve)

    @property
    def _room(self) -> int:
        return 0 if self._stream.answers_are_full else self._limit - self._packed - self._alone

    def serve(self) -> None:
        """Submit what waits, as far as there is room."""
        self._serving = False
        while self._waiting and self._room > 0:
            calls, packed = self._next()
            if calls and (rest := self._start(calls, packed=packed)):
                self._waiting.extendleft(reversed(rest))
                return

    def clear(self) -> list[Member]:
        """Let nothing wait any more; return what did."""
        live = list(filter(self._is_open, self._waiting))
        self._waiting.clear()
        for call in live:
            self._forget_deadline(call)
        return live

    def _is_open(self, call: Member) -> bool:
        return self._stream.open.get(call.number) is call

    def _wait(self, calls: Iterable[Member]) -> None:
        for call in calls:
            call.bucket = self._late.add(call, call.deadline) if call.bucket is None else call.bucket
            self._waiting.append(call)
        if len(self._waiting) > 2 * len(self._stream.open):  # of those that were cancelled
            self._waiting = deque(filter(self._is_open, self._waiting))

    def _start(self, calls: Sequence[Member], *, packed: bool) -> Sequence[Member]:
        """Submit calls as far as there is room; return the others. A pack waits behind others rather than be small."""
        while calls and (room := self._room) > 0:
            count = 1
            if packed:
                count = self._packer.fit(calls)
                if count > room and self._packed:
                    break
                count = min(count, room, self.pool.pack_room)
            if count > 1:
                self._submit(calls[:count])
                calls = calls[count:]
            else:
                self._run_alone(calls[0])
                calls = calls[1:]
        return calls

    def _submit(self, calls: Sequence[Member]) -> None:
        self._packed += len(calls)
        for call in calls:
            self._forget_deadline(call)
        self._packer.submit(self, calls)

    def _run_alone(self, call: Member) -> None:
        self._alone += 1
        self._forget_deadline(call)
        self._stream.run_alone(call)

    def _forget_deadline(self, call: Member) -> None:
        """The pool watches it from now on."""
        if call.bucket is not None:
            call.bucket.discard(call)
            call.bucket = None

    def _next(self) -> tuple[list[Member], bool]:
        """Take the first of those that wait, with what follows it and can be packed with it; and whether it can."""
        waiting, packer = self._waiting, self._packer
        calls: list[Member] = []
        while waiting and len(calls) < packer.most:
            call = waiting[0]
            if not self._is_open(call):
                waiting.popleft()
                continue
            if call.alone or not packer.takes(call, self.pool):
                return (calls, True) if calls else ([waiting.popleft()], False)
            first = calls[0] if calls else call
            if call.function != first.function or call.deadline != first.deadline or call.reason != first.reason:
                break
            calls.append(waiting.popleft())
        return calls, True
