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


class PooledRunner:
    """Runs calls on workers."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises a PoolError where no worker answered, a BridgeError where the function failed."""
        pool = self._pools[call.pool]
        lease = await self._lease(call, pool)
        reply = await lease.call(call.function, call_meta(call), call.request, call.deadline)
        self._settle(call, pool, reply)
        return reply.body

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call; yields all messages that have come since the last turn."""
        pool = self._pools[call.pool]
        lease = await self._lease(call, pool)
        started = lease.start(call.function, call_meta(call), call.request, call.deadline, stream=True)
        assert started.buffer is not None
        try:
            while messages := await started.buffer.take():
                yield messages
            reply = await started.future
        except (asyncio.CancelledError, GeneratorExit):
            lease.worker.abandon(started)
            raise
        self._settle(call, pool, reply)

    async def _lease(self, call: Call, pool: Pool) -> Lease:
        call.route = receipts.POOLED
        session = call.session
        prefer = None if session is None else session.workers.get(call.pool)
        lease = pool.try_lease(prefer)
        if lease is None:
            lease = await pool.lease(call.deadline, prefer)
        call.leased_at = time.perf_counter()
        call.worker = lease.worker.id
        if session is not None:
            session.ran_on(call.pool, lease.worker.id)
        return lease

    def _settle(self, call: Call, pool: Pool, reply: Reply) -> None:
        call.worker_ns = reply.worker_ns
        call.memory_change = reply.rss_change
        pool.served(reply.worker_ns / 1e9)
        settle(call, reply.ok, reply.meta)
