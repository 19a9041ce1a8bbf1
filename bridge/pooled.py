"""Pooled calls: submitted to a pool, and what came back taken into the call's record.

Owns nothing: the pools own their workers, `sessions` the pins. A call is released on every way out.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bridge import receipts
from bridge.native import call_meta, settle
from pool.calls import Call as Job
from pool.frames import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from bridge.call import Call
    from pool.pool import Pool


class PooledRunner:
    """Runs calls on workers."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises a PoolError where no worker answered, a BridgeError where the function failed."""
        pool = self._pools[call.pool]
        job = call.job = self._submit(call, pool, stream=False)
        try:
            reply = await job.future
        finally:
            _note(call, job)
            pool.release(job)
        self._settle(call, pool, reply)
        return reply.body

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call; yields all messages that have come since the last turn."""
        pool = self._pools[call.pool]
        job = call.job = self._submit(call, pool, stream=True)
        assert job.buffer is not None
        try:
            while messages := await job.buffer.take():
                yield messages
            reply = await job.future
        finally:
            _note(call, job)
            pool.release(job)
        self._settle(call, pool, reply)

    def cancel(self, call: Call) -> bool:
        """End a call, wherever it is; False where it has not been submitted yet, or has ended."""
        job, pool = call.job, self._pools.get(call.pool)
        return isinstance(job, Job) and pool is not None and pool.cancel(job)

    def _submit(self, call: Call, pool: Pool, *, stream: bool) -> Job:
        call.route = receipts.POOLED
        session = call.session
        if session is None:
            return pool.submit(call.function, call_meta(call), call.request, call.deadline, stream=stream)
        prefer = session.workers.get(call.pool)
        if prefer is None or not pool.has_worker(prefer):
            prefer = pool.choose()
        if prefer is not None:
            session.ran_on(call.pool, prefer)  # before it runs: the session's next call must go the same way
        on_launch = partial(session.ran_on, call.pool)
        meta = call_meta(call)
        return pool.submit(
            call.function, meta, call.request, call.deadline, prefer=prefer, stream=stream, on_launch=on_launch
        )

    def _settle(self, call: Call, pool: Pool, reply: Reply) -> None:
        call.worker_ns = reply.worker_ns
        call.memory_change = reply.rss_change
        pool.served(reply.worker_ns / 1e9)
        settle(call, reply.ok, reply.meta)


def _note(call: Call, job: Job) -> None:
    """Write into the call's record who ran it and since when, also where that failed."""
    if job.worker is not None:
        call.worker = job.worker.id
        call.leased_at = job.launched_at
