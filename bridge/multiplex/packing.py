"""Small calls of multiplexed streams, put together into packs: one turn of the queue and one frame for many.

Owns the packs in flight, and how long calls of each function take. Only functions that are known to be quick are
packed, because members of a pack run one after another; a pack that stands still all the same is taken apart, so that
no call waits long for another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code
from bridge.interceptors.errors import guard_step, refused
from bridge.multiplex.lane import Lane
from bridge.native import call_metas, settle
from bridge.pooled import may_retry, note_retry
from bridge.receipts import receipts
from pool.calls import NORMAL
from pool.errors import WorkerLost, WorkerProtocol
from pool.packs import PACK_MEMBERS

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.multiplex.member import Member
    from bridge.telemetry import Telemetry
    from pool.errors import PoolError
    from pool.frames import Reply
    from pool.packed import Record
    from pool.packs import Pack
    from pool.pool import Pool

QUICK_S = 200e-6
"""A function whose calls usually take longer is not packed."""
CLIP_S = 2e-3
"""A longer call counts as one that takes this long: one that is rare must not be remembered for ever."""
PACK_S = 2e-3
"""What the calls of a pack may take in all, by what they usually do."""
PACK_BYTES = 12_288
"""Of requests; a larger pack could not be sent ahead to a worker that is busy."""
REQUEST_BYTES = 2048
SAMPLES = 4
"""Calls of a function that run by themselves before any are packed."""
LOOK_S = 0.02
LATE_S = 0.005
AGAIN_S = 0.002
FUNCTIONS = 1024
_WEIGHT = 0.1


class Packer:
    """Packs calls that have been placed, and tells their streams and lanes what becomes of them."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._loop = asyncio.get_running_loop()
        self._times: dict[str, tuple[int, float]] = {}
        self._packs: dict[Pack, int] = {}
        """With the results that each had at the last look; -1 before."""
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = 0.0
        self.most = PACK_MEMBERS

    def takes(self, call: Call, pool: Pool) -> bool:
        """Return whether a pooled call may be packed."""
        identity, known = call.identity, self._times.get(call.function)
        if known is None or known[0] < SAMPLES or known[1] > QUICK_S or identity.session_id or identity.priority:
            return False
        if call.bytes_in > REQUEST_BYTES or call.spec is None or call.spec.is_async or call.spec.batch:
            return False
        return self.most > 1 and pool.packs(call.function, call.bytes_in)

    def takes_all(self, like: Call, pool: Pool) -> bool:
        """Return whether calls of the same function may be packed that are no larger than `REQUEST_BYTES`."""
        return like.spec is not None and like.spec.placement == "pooled" and not pool.suspects_any

    def learn(self, function: str, calls: int, seconds: float) -> None:
        """Take in how long calls took in a worker, in all."""
        each_s = min(seconds / calls, CLIP_S)
        count, mean_s = self._times.pop(function, (0, each_s))
        self._times[function] = (count + calls, mean_s + _WEIGHT * (each_s - mean_s))
        if len(self._times) > FUNCTIONS:
            del self._times[next(iter(self._times))]

    def fit(self, calls: Sequence[Call]) -> int:
        """Return how many of these calls, of one function and with one deadline, go into the next pack."""
        most = max(1, min(self.most, int(PACK_S / max(1e-9, self._times[calls[0].function][1]))))
        count = size = 0
        for call in calls[:most]:
            size += call.bytes_in
            if count and size > PACK_BYTES:
                break
            count += 1
        return count

    def submit(self, lane: Lane, calls: Sequence[Member]) -> None:
        """Submit two calls or more, of one function and with one deadline, as a pack."""
        first = calls[0]
        parts = list(zip(call_metas(calls), [call.request for call in calls], strict=True))
        who = (first.deadline, self, NORMAL, first.identity.tenant, lane)
        try_it = partial(lane.pool.submit_pack, first.function, parts, list(calls), *who)
        pack, failure = guard_step(try_it, first, self._telemetry)
        if pack is None:
            lane.pack_left(len(calls))
            lane.stream.answer(first, None, failure)
            self._loop.call_soon(lane.again, calls[1:])
            return
        for call in calls:
            call.job = pack
            call.route = receipts.POOLED
        self._packs[pack] = -1
        pack.future.add_done_callback(partial(self._ended, pack))
        if self._timer is None:
            self._watch(LOOK_S)

    def launched(self, pack: Pack) -> None:
        """It waits in the pool no longer."""
        _lane(pack).pack_left(len(pack.parts))

    def results(self, pack: Pack, records: list[Record]) -> None:
        """Members have ended."""
        worker, launched_at = "" if pack.worker is None else pack.worker.id, pack.launched_at
        calls: list[Member] = []
        bodies: list[bytes] = []
        for index, ok, worker_ns, meta, body in records:
            call: Member | None = pack.end(index)
            if call is None:
                continue
            call.worker = worker
            call.leased_at = launched_at
            call.worker_ns = worker_ns
            if not ok or meta or call.inside is not None:
                self._settle(call, ok, meta, body)
            else:
                call.bytes_out = len(body)
                calls.append(call)
                bodies.append(body)
        if calls:
            self._telemetry.finished_packed(calls)
            _lane(pack).stream.answer_packed(calls, bodies)

    def _settle(self, call: Member, ok: bool, meta: bytes, body: bytes) -> None:
        _, failure = guard_step(partial(settle, call, ok, meta), call, self._telemetry)
        if failure:
            call.stream.answer(call, None, failure)
            return
        call.bytes_out = len(body)
        self._telemetry.finished(call, 0)
        call.stream.answer(call, body, b"")

    def returned(self, pack: Pack, indices: Sequence[int]) -> None:
        """Members were not begun: they are to run alone."""
        back = [call for index in indices if (call := pack.end(index)) is not None]
        for call in back:
            call.job = None
        if back:
            self._loop.call_soon(_lane(pack).again, back)

    def refused(self, pack: Pack, member: Member, error: PoolError) -> None:
        """A member of a pack that waits has an input that is quarantined by now."""
        member.stream.answer(member, None, refused(error, member, self._telemetry))

    def cancel(self, pack: Pack, member: Member) -> bool:
        """End a member with CANCELLED_BY_OPERATOR."""
        error = BridgeError(Code.CANCELLED, "CANCELLED_BY_OPERATOR", "an operator has cancelled the call")
        if not self.drop(pack, member):
            return False
        member.stream.answer(member, None, refused(error, member, self._telemetry))
        return True

    def drop(self, pack: Pack, member: Member) -> bool:
        """Let go of a member that nobody waits for; return whether it had not ended."""
        for index, call in enumerate(pack.open):
            if call is member:
                _lane(pack).pool.cancel_member(pack, index)
                return True
        return False

    def _ended(self, pack: Pack, future: asyncio.Future[Reply]) -> None:
        del self._packs[pack]
        pool = _lane(pack).pool
        pool.release(pack)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._served(pack, pool, future.result().worker_ns / 1e9)
            error = BridgeError(Code.INTERNAL, "INTERNAL", "the worker ended a pack without this call's result")
        for index in range(len(pack.open)):
            if (call := pack.end(index)) is not None:
                self._failed(call, pack, pool, error)

    def _served(self, pack: Pack, pool: Pool, seconds: float) -> None:
        if pack.taken:
            pool.served_pack(pack.taken, seconds)
            self.learn(pack.function, pack.taken, seconds)

    def _failed(self, call: Member, pack: Pack, pool: Pool, error: BaseException) -> None:
        ran_s = 0.0
        if pack.launched_at:
            call.worker, call.leased_at = "" if pack.worker is None else pack.worker.id, pack.launched_at
            ran_s = time.perf_counter() - pack.launched_at
        if isinstance(error, WorkerLost | WorkerProtocol) and may_retry(call, pool, ran_s):
            note_retry(call, error)
            call.job = None
            _lane(pack).again([call])
        else:
            call.stream.answer(call, None, refused(error, call, self._telemetry))

    def _watch(self, pause_s: float) -> None:
        self._look_at = self._loop.time() + pause_s
        self._timer = self._loop.call_later(pause_s, self._look)

    def _look(self) -> None:
        """Take apart the packs that run and have not come on since the last look.

        A loop that was held up has not read yet what workers sent meanwhile: it looks again once it has.
        """
        self._timer = None
        if self._loop.time() - self._look_at > LATE_S:
            self._watch(AGAIN_S)
            return
        for pack, seen in list(self._packs.items()):
            running = pack.worker is not None and not pack.lined
            if running and seen == pack.taken:
                _lane(pack).pool.unpack(pack)
            self._packs[pack] = pack.taken if running else -1
        if self._packs:
            self._watch(LOOK_S)


def _lane(pack: Pack) -> Lane:
    lane = pack.context
    assert isinstance(lane, Lane)
    return lane
