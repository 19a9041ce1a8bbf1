"""Small calls of multiplexed streams, put together into packs: one turn of the queue and one frame for many.

Owns the packs in flight, and how long calls of each function take. Only functions that are known to be quick are
packed, because members of a pack run one after another; a pack that stands still all the same is taken apart, so that
no call waits long for another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bridge import receipts
from bridge.call import Call
from bridge.errors import BridgeError, Code
from bridge.interceptors.errors import guard_step, refused
from bridge.native import call_meta, settle
from bridge.pooled import may_retry, note_retry
from pool.calls import NORMAL
from pool.errors import WorkerLost, WorkerProtocol

if TYPE_CHECKING:
    from bridge.telemetry import Telemetry
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
PACK_CALLS = 64
PACK_BYTES = 12_288
"""Of requests; a larger pack could not be sent ahead to a worker that is busy."""
REQUEST_BYTES = 2048
SAMPLES = 4
"""Calls of a function that run by themselves before any are packed."""
LOOK_S = 0.02
FUNCTIONS = 1024
_WEIGHT = 0.1

Done = Callable[[Call, bytes | None, bytes], None]
"""Told of the end of a call: its response, or None and its status."""


class Packer:
    """Packs calls that have been placed. `done` hears how each ended, `again` gets those that are to run alone.

    `freed` hears of the end of each pack, by one of its calls.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        telemetry: Telemetry,
        done: Done,
        again: Callable[[Call], None],
        freed: Callable[[Call], None],
    ) -> None:
        self._pools = pools
        self._telemetry = telemetry
        self._done = done
        self._again = again
        self._freed = freed
        self._loop = asyncio.get_running_loop()
        self._times: dict[str, tuple[int, float]] = {}
        self._packs: dict[Pack, tuple[Pool, int]] = {}
        """With the pool of each, and the results that it had at the last look; -1 before."""
        self._timer: asyncio.TimerHandle | None = None

    def takes(self, call: Call) -> bool:
        """Return whether a pooled call may be packed."""
        identity, known = call.identity, self._times.get(call.function)
        if known is None or known[0] < SAMPLES or known[1] > QUICK_S or identity.session_id or identity.priority:
            return False
        if len(call.request) > REQUEST_BYTES or call.spec is None or call.spec.is_async or call.spec.batch:
            return False
        return self._pools[call.pool].packs(call.function, len(call.request))

    def learn(self, function: str, calls: int, seconds: float) -> None:
        """Take in how long calls took in a worker, in all."""
        each_s = min(seconds / calls, CLIP_S)
        count, mean_s = self._times.pop(function, (0, each_s))
        self._times[function] = (count + calls, mean_s + _WEIGHT * (each_s - mean_s))
        if len(self._times) > FUNCTIONS:
            del self._times[next(iter(self._times))]

    def submit(self, calls: Sequence[Call]) -> int:
        """Submit the first of these calls, of one function and with one deadline, as a pack; return how many."""
        most = max(1, min(PACK_CALLS, int(PACK_S / max(1e-9, self._times[calls[0].function][1]))))
        chunk: list[Call] = []
        size = 0
        for call in calls[:most]:
            size += len(call.request)
            if chunk and size > PACK_BYTES:
                break
            chunk.append(call)
        self._submit(chunk)
        return len(chunk)

    def _submit(self, calls: list[Call]) -> None:
        if len(calls) == 1:
            self._again(calls[0])
            self._freed(calls[0])
            return
        first = calls[0]
        parts = [(call_meta(call), call.request) for call in calls]
        submit = self._pools[first.pool].submit_pack
        try_it = partial(submit, first.function, parts, calls, first.deadline, self, NORMAL, first.identity.tenant)
        pack, failure = guard_step(try_it, first, self._telemetry)
        if pack is None:
            self._done(first, None, failure)
            for call in calls[1:]:
                self._again(call)
            self._freed(first)
            return
        pack.context = first
        for call in calls:
            call.job = pack
            call.route = receipts.POOLED
        pool = self._pools[first.pool]
        self._packs[pack] = (pool, -1)
        pack.future.add_done_callback(partial(self._ended, pack, pool))
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def results(self, pack: Pack, records: list[Record]) -> None:
        """Members have ended."""
        worker = "" if pack.worker is None else pack.worker.id
        launched_at = pack.launched_at
        for index, ok, worker_ns, meta, body in records:
            call = pack.end(index)
            if call is None:
                continue
            call.worker = worker
            call.leased_at = launched_at
            call.worker_ns = worker_ns
            if ok and not meta:
                call.bytes_out = len(body)
                self._telemetry.finished(call, 0)
                self._done(call, body, b"")
            else:
                self._settle(call, ok, meta, body)

    def _settle(self, call: Call, ok: bool, meta: bytes, body: bytes) -> None:
        _, failure = guard_step(partial(settle, call, ok, meta), call, self._telemetry)
        if failure:
            self._done(call, None, failure)
            return
        call.bytes_out = len(body)
        self._telemetry.finished(call, 0)
        self._done(call, body, b"")

    def returned(self, pack: Pack, indices: Sequence[int]) -> None:
        """Members were not begun: they are to run alone."""
        for index in indices:
            if (call := pack.end(index)) is not None:
                call.job = None
                self._loop.call_soon(self._again, call)

    def cancel(self, pack: Pack, member: Call) -> bool:
        """End a member with CANCELLED_BY_OPERATOR."""
        error = BridgeError(Code.CANCELLED, "CANCELLED_BY_OPERATOR", "an operator has cancelled the call")
        if not self.drop(pack, member):
            return False
        self._done(member, None, refused(error, member, self._telemetry))
        return True

    def drop(self, pack: Pack, member: Call) -> bool:
        """Let go of a member that nobody waits for; return whether it had not ended."""
        for index, call in enumerate(pack.open):
            if call is member:
                self._pools[member.pool].cancel_member(pack, index)
                return True
        return False

    def _ended(self, pack: Pack, pool: Pool, future: asyncio.Future[Reply]) -> None:
        del self._packs[pack]
        pool.release(pack)
        if not future.cancelled():
            error = future.exception()
            if error is None:
                self._served(pack, pool, future.result().worker_ns / 1e9)
                error = BridgeError(Code.INTERNAL, "INTERNAL", "the worker ended a pack without this call's result")
            for index in range(len(pack.open)):
                if (call := pack.end(index)) is not None:
                    self._failed(call, pack, pool, error)
        assert isinstance(pack.context, Call)
        self._freed(pack.context)

    def _served(self, pack: Pack, pool: Pool, seconds: float) -> None:
        if pack.taken:
            pool.served_pack(pack.taken, seconds)
            self.learn(pack.function, pack.taken, seconds)

    def _failed(self, call: Call, pack: Pack, pool: Pool, error: BaseException) -> None:
        ran_s = 0.0
        if pack.launched_at:
            call.worker, call.leased_at = "" if pack.worker is None else pack.worker.id, pack.launched_at
            ran_s = time.perf_counter() - pack.launched_at
        if isinstance(error, WorkerLost | WorkerProtocol) and may_retry(call, pool, ran_s):
            note_retry(call, error)
            call.job = None
            self._again(call)
        else:
            self._done(call, None, refused(error, call, self._telemetry))

    def _look(self) -> None:
        """Take apart the packs that run and have not come on since the last look."""
        self._timer = None
        for pack, (pool, seen) in list(self._packs.items()):
            running = pack.worker is not None and not pack.lined
            if running and seen == pack.taken:
                pool.unpack(pack)
            self._packs[pack] = (pool, pack.taken if running else -1)
        if self._packs:
            self._timer = self._loop.call_later(LOOK_S, self._look)
