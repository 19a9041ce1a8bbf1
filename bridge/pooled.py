"""Pooled calls: a lease, a call on a worker, and what came back taken into the call's record.

Owns nothing: the pools own their workers, `sessions` the pins. The lease is released on every way out.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bridge import receipts
from bridge.native import call_meta, settle
from pool.frames import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from bridge.call import Call
    from pool.pool import Lease, Pool
    from pool.worker import Call as WorkerCall


class PooledRunner:
    """Runs calls on workers."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises a PoolError where no worker answered, a BridgeError where the function failed."""
        pool = self._pools[call.pool]
        call.route = receipts.POOLED
        prefer = None if call.session is None else call.session.workers.get(call.pool)
        lease = pool.try_lease(prefer) or await pool.lease(call.deadline, prefer)
        started = _start(call, lease, stream=False)
        try:
            reply = await started.future
        except asyncio.CancelledError:
            lease.worker.abandon(started)
            raise
        self._settle(call, pool, reply)
        return reply.body

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call; yields all messages that have come since the last turn."""
        pool = self._pools[call.pool]
        call.route = receipts.POOLED
        prefer = None if call.session is None else call.session.workers.get(call.pool)
        lease = pool.try_lease(prefer) or await pool.lease(call.deadline, prefer)
        started = _start(call, lease, stream=True)
        assert started.buffer is not None
        try:
            while messages := await started.buffer.take():
                yield messages
            reply = await started.future
        except (asyncio.CancelledError, GeneratorExit):
            lease.worker.abandon(started)
            raise
        self._settle(call, pool, reply)

    def _settle(self, call: Call, pool: Pool, reply: Reply) -> None:
        call.worker_ns = reply.worker_ns
        call.memory_change = reply.rss_change
        pool.served(reply.worker_ns / 1e9)
        settle(call, reply.ok, reply.meta)


def _start(call: Call, lease: Lease, *, stream: bool) -> WorkerCall:
    """Send a call to the worker that it has got; the slot is the call's from here."""
    call.leased_at = time.perf_counter()
    call.worker = lease.worker.id
    if call.session is not None:
        call.session.ran_on(call.pool, lease.worker.id)
    return lease.start(call.function, call_meta(call), call.request, call.deadline, stream=stream)
