"""A pack: many small calls of one function that take one turn of the queue and one frame, as the front sees it.

To the queue and to the worker a pack is one call, but each of its members counts in the limit of calls that wait. Each
ends by itself: with its result, or by being given back because it was not begun, or else as the pack ends. Owns which
members are open. A pack that stands still is taken apart by whoever submitted it (`Pool.unpack`), so that no member
waits for a slow one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pool import asks, frames, packed
from pool.calls import NORMAL, Call
from pool.errors import FrameError, PoolError
from pool.frames import Reply
from pool.packed import Record
from pool.tokens import PACK_MEMBERS, Tokens

__all__ = ["PACK_MEMBERS", "Owner", "Pack"]


class Owner(Protocol):
    """Who has submitted a pack. None of these may submit anything before it returns."""

    def launched(self, pack: Pack) -> None:
        """It waits no longer: it runs, or has ended."""
        ...

    def results(self, pack: Pack, records: list[Record]) -> None:
        """Members have ended: `pack.open` has them until `pack.end(index)`."""
        ...

    def returned(self, pack: Pack, indices: Sequence[int]) -> None:
        """Members were not begun and never will be here."""
        ...

    def refused(self, pack: Pack, member: Any, error: PoolError) -> None:
        """A member has ended before it was begun."""
        ...

    def cancel(self, pack: Pack, member: Any) -> bool:
        """End a member by order of an operator; return whether it had not ended."""
        ...


class Pack(Call):
    """`open` has what the owner knows each member by, None once that has ended. Its future has the end of the pack."""

    __slots__ = ("_counted", "asking_members", "begun", "left", "open", "owner", "parts", "slot", "taken")

    kind = frames.PACK

    def __init__(
        self,
        function: str,
        parts: list[tuple[bytes, bytes]],
        members: list[Any],
        deadline: float | None,
        future: asyncio.Future[Reply],
        owner: Owner,
        priority: int = NORMAL,
        tenant: str = "",
    ) -> None:
        super().__init__(function, b"", packed.members(parts), deadline, future, priority=priority, tenant=tenant)
        self.parts = parts
        self.open = members
        self.left = len(members)
        self.owner = owner
        self.slot = 0
        self.taken = 0
        """Results that have come."""
        self.begun: int | None = None
        """How many members have been or will be begun, once the others were taken back."""
        self.asking_members: dict[int, Call] | None = None
        self._counted: Callable[[int], None] | None = None
        self.on_launch = self._begun
        future.add_done_callback(self._on_end)

    def count(self, waiting: Callable[[int], None]) -> None:
        """Let its members but the first, which the queue counts, be counted for as long as it waits."""
        self._counted = waiting
        waiting(self.more)

    def uncount(self) -> bool:
        """Let them be counted no more; return whether they were."""
        counted, self._counted = self._counted, None
        if counted is not None:
            counted(-self.more)
        return counted is not None

    def _begun(self, _worker: str) -> None:
        if self.uncount():
            self.owner.launched(self)

    def _on_end(self, _future: asyncio.Future[Reply]) -> None:
        self._begun("")
        self.end_asks()

    @property
    def more(self) -> int:  # type: ignore[override]
        """Ids that it takes beside its own: member `i` has the pack's id plus `i`."""
        return len(self.parts) - 1

    def arm(self, tokens: Tokens) -> None:
        """Give each member a token: it is about to be sent."""
        dropped = 0
        if self.left < len(self.parts):
            dropped = sum(1 << index for index, known in enumerate(self.open) if known is None)
        self.slot = tokens.arm(len(self.parts), dropped)
        self.meta = bytes((self.slot,))

    def end(self, index: int) -> Any:
        """Take note that a member has ended; return what it is known by, None where it had ended before."""
        found, self.open[index] = self.open[index], None
        if found is not None:
            self.left -= 1
        return found

    def sift(self, check: Callable[[str, bytes], PoolError | None]) -> PoolError | None:
        """End the members that `check` refuses, by function and body; return why where none is left."""
        refused = None
        for index, (_, body) in enumerate(self.parts):
            if self.open[index] is not None and (error := check(self.function, body)) is not None:
                refused = error
                self.owner.refused(self, self.end(index), error)
        return None if self.left else refused

    def take(self, records: list[Record]) -> None:
        """Pass on results. Raises FrameError for one of no member."""
        if any(record[0] >= len(self.parts) for record in records):
            raise FrameError(f"a result of a member that a pack of {len(self.parts)} does not have")
        self.taken += len(records)
        if self.asking_members:
            for record in records:
                if (call := self.asking_members.pop(record[0], None)) is not None:
                    asks.end(call)
        self.owner.results(self, records)

    def recall(self, tokens: Tokens) -> int:
        """Take back the members that were not begun; return the index of the last that was."""
        if self.begun is None:
            count = 0
            while tokens.take_member(self.slot):
                count += 1
            self.begun = len(self.parts) - count
            back = [index for index in range(self.begun, len(self.parts)) if self.open[index] is not None]
            if back and not self.future.done():
                self.owner.returned(self, back)
        return max(0, self.begun - 1)

    def abandoned_id(self, tokens: Tokens) -> int:
        """Nobody waits for it any more: return the id of the member that may still run."""
        self.end_asks()
        return self.id + self.recall(tokens)

    def salvage(self, tokens: Tokens) -> None:
        """Take the results that the worker has not sent yet, and the members that it has not begun."""
        records = packed.left_behind(tokens.outbox, self.id)
        if records := [record for record in records if record[0] < len(self.parts)]:
            self.owner.results(self, records)
        self.recall(tokens)

    def narrow(self) -> bool:
        """Stand for the one member that is left, as what a worker died of; False where there is not one."""
        left = [index for index, known in enumerate(self.open) if known is not None]
        if len(left) == 1:
            self.meta, self.body = self.parts[left[0]]
        return len(left) == 1

    def asker(self, index: int) -> Call:
        """Return the call that stands for a member that asks something."""
        if self.asking_members is None:
            self.asking_members = {}
        call = self.asking_members.get(index)
        if call is None:
            call = self.asking_members[index] = Call(self.function, *self.parts[index], self.deadline, self.future)
            call.id, call.on_ask, call.context = self.id + index, self.on_ask, self.open[index]
            call.abandoned = self.open[index] is None
        return call

    def end_asks(self) -> None:
        """Cancel what its members have asked."""
        for call in (self.asking_members or {}).values():
            asks.end(call)
        self.asking_members = None


def results(call: Call | None, body: bytes) -> int:
    """Take a PACKED frame; return how many calls have ended, of which the end of the pack counts one. FrameError."""
    if not isinstance(call, Pack) or call.lined:
        raise FrameError("results of a pack that does not run")
    records = packed.read_records(body)
    first = call.taken == 0
    call.take(records)
    return len(records) - first


def asker(calls: dict[int, Call], call_id: int) -> Call | None:
    """Return the running call that has this id; of a pack, what stands for the member that has it."""
    call = calls.get(call_id)
    if call is not None and not call.more:
        return call
    for call in calls.values():
        if isinstance(call, Pack) and not call.lined and call.id <= call_id <= call.id + call.more:
            return call.asker(call_id - call.id)
    return None


def salvage(calls: list[Call], tokens: Tokens) -> bool:
    """Let calls that ran on a dead worker have what it left; return whether it can be said which was the last."""
    alone = True
    for call in calls:
        if isinstance(call, Pack):
            call.salvage(tokens)
            alone = call.narrow()
        elif call.buffer is not None:
            call.buffer.take_kept()
    return alone
