"""Pooled calls: submitted to a pool, and what came back taken into the call's record.

Owns nothing: the pools own their workers, `sessions` the pins. A call is released on every way out.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from bridge.native import call_meta, settle
from bridge.receipts.receipts import POOLED
from pool.calls import Call as Job
from pool.errors import PoolError, Stopped, WorkerGone, WorkerLost, WorkerProtocol
from pool.frames import Reply
from pool.packs import Pack

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from bridge.call import Call
    from bridge.errors import BridgeError
    from bridge.sessions.record import Session
    from bridge.sessions.sessions import Sessions
    from pool.pool import Pool

NATIVE_QUEUE = 256
CAUSE_CHARACTERS = 100
"""Of the cause of a death, in a receipt."""


class PooledRunner:
    """Runs calls on workers."""

    def __init__(self, pools: Mapping[str, Pool], sessions: Sessions) -> None:
        self._pools = pools
        self._sessions = sessions

    async def run(self, call: Call) -> bytes:
        """Run a unary call. Raises a PoolError where no worker answered, a BridgeError where the function failed."""
        pool = self._pools.get(call.pool) or self._pool(call)
        if call.session is not None and call.session.mode == "strict":
            await self._bind(call, call.session, pool)
        job = call.job = self._submit(call, pool, False)
        try:
            reply = await job.future
        except (WorkerLost, WorkerProtocol) as error:
            job = self._retry(call, pool, job, error)
            reply = await job.future
        except WorkerGone as error:
            raise self._lost(call, pool, error.worker) from None
        finally:
            if (worker := job.worker) is not None:
                call.worker, call.leased_at = worker.id, job.launched_at
            pool.release(job)
            call.job = None  # they know each other: what is left to the garbage collector keeps its bytes until then
        self._settle(call, pool, reply)
        return reply.body

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call; yields all messages that have come since the last turn."""
        pool = self._pool(call)
        if call.session is not None and call.session.mode == "strict":
            await self._bind(call, call.session, pool)
        job = call.job = self._submit(call, pool, True)
        assert job.buffer is not None
        sent = False
        try:
            try:
                while messages := await job.buffer.take():
                    sent = True
                    yield messages
                reply = await job.future
            except (WorkerLost, WorkerProtocol) as error:
                if sent:
                    raise
                job = self._retry(call, pool, job, error)
                assert job.buffer is not None
                while messages := await job.buffer.take():
                    yield messages
                reply = await job.future
        except WorkerGone as error:
            raise self._lost(call, pool, error.worker) from None
        finally:
            note(call, job)
            pool.release(job)
            call.job = None  # they know each other: what is left to the garbage collector keeps its bytes until then
        self._settle(call, pool, reply)

    def _retry(self, call: Call, pool: Pool, job: Job, error: WorkerLost | WorkerProtocol) -> Job:
        """Submit a call once more whose worker has died in it. Raises `error` where that is not to be.

        It was begun, so only a function that may run twice is tried again; nothing of its answer has been sent. It must
        have as much time left as it had run.
        """
        note(call, job)
        pool.release(job)
        if not may_retry(call, pool, time.perf_counter() - (job.launched_at or call.started_at)):
            raise error
        try:
            again = call.job = self._submit(call, pool, job.buffer is not None)
        except PoolError:
            raise error from None
        note_retry(call, error)
        return again

    def _pool(self, call: Call) -> Pool:
        """Return the pool of a call. Raises Stopped where a reload has removed it while the call stood in a line."""
        if (pool := self._pools.get(call.pool)) is None:
            raise Stopped(call.pool)
        return pool

    def cancel(self, call: Call) -> bool:
        """End a call, wherever it is; False where it has not been submitted yet, or has ended."""
        job, pool = call.job, self._pools.get(call.pool)
        if isinstance(job, Pack):
            return job.owner.cancel(job, call)
        return isinstance(job, Job) and pool is not None and pool.cancel(job)

    def turn_away(self, call: Call) -> None:
        """End a call with SHUTTING_DOWN where it waits in the queue."""
        job, pool = call.job, self._pools.get(call.pool)
        if isinstance(job, Job) and job.queued and pool is not None:
            pool.turn_away(job)

    def _submit(self, call: Call, pool: Pool, stream: bool) -> Job:
        call.route = POOLED
        session, identity = call.session, call.identity
        if session is None:
            if not (stream or identity.priority or identity.tenant):
                return pool.submit_plain(call.function, call_meta(call), call.request, call.deadline, call)
            return pool.submit(
                call.function,
                call_meta(call),
                call.request,
                call.deadline,
                stream=stream,
                priority=identity.priority,
                tenant=identity.tenant,
                context=call,
            )
        if session.mode == "strict":
            return self._submit_bound(call, session, pool, stream=stream)
        prefer = session.workers.get(call.pool)
        if prefer is None or not pool.has_worker(prefer):
            prefer = pool.choose()
        if prefer is not None:
            session.ran_on(call.pool, prefer)  # before it runs: the session's next call must go the same way
        return pool.submit(
            call.function,
            call_meta(call),
            call.request,
            call.deadline,
            prefer=prefer,
            stream=stream,
            on_launch=partial(session.ran_on, call.pool),
            priority=identity.priority,
            tenant=identity.tenant,
            context=call,
        )

    async def _bind(self, call: Call, session: Session, pool: Pool) -> None:
        """Bind a strict session to a worker of this pool, at its first call there; wait where none is ready."""
        while not session.lost and call.pool not in session.workers:
            self._sessions.check_open(session)
            if (worker := pool.choose()) is not None:
                self._sessions.bind(session, call.pool, worker)
            elif (error := await pool.canary(call.deadline - asyncio.get_running_loop().time())) is not None:
                raise error

    def _submit_bound(self, call: Call, session: Session, pool: Pool, *, stream: bool) -> Job:
        """Submit a call of a strict session to its worker."""
        if session.lost:
            raise session.refusal()
        worker, identity = session.workers[call.pool], call.identity
        try:
            return pool.submit(
                call.function,
                call_meta(call),
                call.request,
                call.deadline,
                prefer=worker,
                stream=stream,
                priority=identity.priority,
                tenant=identity.tenant,
                context=call,
                bound=True,
            )
        except WorkerGone:
            raise self._lost(call, pool, worker) from None

    def _lost(self, call: Call, pool: Pool, worker: str) -> BridgeError:
        """Return the refusal of a call whose session's worker has gone.

        Where that has not been told of yet, the worker is about to be killed: of one that is retired it would have.
        """
        assert call.session is not None
        if not call.session.lost:
            self._sessions.worker_gone(pool.options.name, worker, moved=False)
        return call.session.refusal()

    def queue_limit(self, pool: str) -> int:
        """Return how many calls may wait for a pool; for none, as native calls have it, what is usual."""
        return self._pools[pool].options.queue_limit if pool else NATIVE_QUEUE

    def _settle(self, call: Call, pool: Pool, reply: Reply) -> None:
        call.worker_ns = worker_ns = reply.worker_ns
        call.memory_change = reply.rss_change
        pool.served(worker_ns / 1e9, call.function)
        if reply.meta or not reply.ok:
            settle(call, reply.ok, reply.meta)


def _cause(error: WorkerLost | WorkerProtocol) -> str:
    """Return briefly how a worker died."""
    if isinstance(error, WorkerProtocol):
        return "it broke the frame protocol"
    return f"killed by {error.signal}" if error.signal else error.cause[:CAUSE_CHARACTERS]


def may_retry(call: Call, pool: Pool, ran_s: float) -> bool:
    """Return whether a call may be tried once more that has run for so long when its worker died."""
    if call.retried or call.spec is None or not call.spec.idempotent or not pool.options.retry_idempotent:
        return False
    if call.session is not None and call.session.mode == "strict":
        return False
    return call.deadline - asyncio.get_running_loop().time() > ran_s


def note_retry(call: Call, error: WorkerLost | WorkerProtocol) -> None:
    """Write into a call's record that it is tried once more, and why."""
    call.retried = True
    call.reason += f"; retried after {error.worker} died: {_cause(error)}"


def note(call: Call, job: Job) -> None:
    """Write into the call's record who ran it and since when, also where that failed."""
    if job.worker is not None:
        call.worker = job.worker.id
        call.leased_at = job.launched_at


def note_now(call: Call) -> None:
    """Write the same into the record of a call that is given up while it may run."""
    job = call.job
    if isinstance(job, Job) and job.worker is not None and job.launched_at:
        note(call, job)
