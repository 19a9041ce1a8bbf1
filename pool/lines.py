"""Lines: calls that are sent ahead into the socket of a busy worker, and taken back where that helps.

Owns when the lines are looked at; the calls in them are the workers'. A worker that stands still from the moment its
answer leaves until the front has sent the next call loses more time than a short call takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pool.calls import Call, Slots
from pool.estimates import SHORT_S, ServiceTimes

LINED_BYTES = 16384
"""Larger requests are not lined up: they would fill the socket of a worker that may be long busy."""
RANKED_S = 0.002
"""Where calls have priorities or tenants, a line is no longer than this takes: who comes later must not wait for it."""
BALANCE_S = 0.002
BALANCE_MAX_S = 0.05
"""How often lines are looked at: within two looks, one that does not move is taken back. Between the two it is four
times the usual service time, since to take back and line up again what moves would be work for nothing."""


class Lines:
    """The lines of one pool's workers.

    `members` are all workers that take calls, `room` those with a free slot; both are the admission's. `adopt` gets
    what was taken back from lines that do not move, `launch` what an idle worker takes from another's line.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        times: ServiceTimes,
        members: Mapping[str, Slots],
        room: Mapping[str, Slots],
        *,
        adopt: Callable[[Sequence[Call]], None],
        launch: Callable[[Call, Slots], None],
    ) -> None:
        self._loop = loop
        self._times = times
        self._members = members
        self._room = room
        self._adopt = adopt
        self._launch = launch
        self._seen: dict[str, int] = {}
        """Per worker that had a line at the last look, the calls that had ended on it."""
        self.timer: asyncio.TimerHandle | None = None
        self.ranked = False
        """Whether a call with a priority or tenant has ever come."""

    def longest(self) -> int:
        """Return how long a line may be where calls have priorities or tenants."""
        return max(1, int(RANKED_S / self._times.usual_s)) if self._times.usual_s > 0 else 1

    def add(self, call: Call, limit: int) -> bool:
        """Send a small call ahead to the busy worker with the shortest line; False where that is not to be."""
        if len(call.body) > LINED_BYTES:
            return False
        if call.tenant or call.priority:
            self.ranked = True
        members = self._members
        if call.pinned is not None:
            best: Slots | None = members[call.pinned]
            most = members[call.pinned].line_room
        else:
            best, most = None, 0
            for worker in members.values():
                if (room := worker.line_room) > most:
                    best, most = worker, room
        if best is None or most <= 0 or (self.ranked and best.lined >= self.longest()):
            return False
        # counted only where all lines together, each as long as this one may be, could be too many
        if len(members) * (best.lined + most) > limit and sum(worker.lined for worker in members.values()) >= limit:
            return False
        self.append(best, call)
        return True

    def append(self, worker: Slots, call: Call) -> None:
        """Send a call ahead to a worker that has room for it."""
        worker.line_up(call)
        if self.timer is None:
            self._watch()

    def steal(self, worker: Slots) -> None:
        """Give a worker that has nothing to do what is lined up behind a call that may take long.

        From a line only its last can be taken. Where calls are not short, the whole line is taken back, so that the
        first of it is begun first: else those who came later would overtake it, one after the other.
        """
        if self._times.usual_s >= SHORT_S:
            self._adopt([call for other in self._members.values() for call in take_all(other, pinned=False)])
            return
        for other in self._members.values():
            while other.lined and (call := other.take_back(pinned=False)) is not None:
                if not call.future.done():
                    self._launch(call, worker)
                    return

    def _watch(self) -> None:
        pause_s = min(BALANCE_MAX_S, max(BALANCE_S, 4 * self._times.usual_s))
        self.timer = self._loop.call_later(pause_s, self.balance)

    def balance(self) -> None:
        """Take back the lines that have not moved since the last look, and give idle workers something to do.

        Else calls that came later would overtake, on other workers, those that stand behind a slow one.
        """
        self.timer = None
        stuck = [worker for worker in self._members.values() if self._seen.get(worker.id) == worker.answered]
        self._adopt([call for worker in stuck for call in take_all(worker)])
        for worker in list(self._room.values()):
            self.steal(worker)
        self._seen = {worker.id: worker.answered for worker in self._members.values() if worker.lined}
        if self._seen:
            self._watch()

    def close(self) -> None:
        """Look no more."""
        if self.timer is not None:
            self.timer.cancel()


def take_all(worker: Slots, *, pinned: bool = True) -> list[Call]:
    """Take back all that is lined up, the newest first; without `pinned` only up to a call that no other may run."""
    calls = []
    while worker.lined and (call := worker.take_back(pinned=pinned)) is not None:
        calls.append(call)
    return calls
