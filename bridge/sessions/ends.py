"""Tells workers of the end of sessions that ran there: best effort, in the background, a few at a time.

Owns the ends that wait to be told. The functions that want to know are the user's (`handlers.session_hooks`); what goes
wrong is logged, never passed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from bridge.telemetry import log
from handlers.contract import CallMeta, ReplyMeta
from handlers.session_hooks import NAME
from pool.errors import PoolError, Stopped, WorkerGone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.sessions.record import Ended, Session
    from pool.calls import Call as Job
    from pool.pool import Pool

AT_A_TIME = 32
_encode = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(ReplyMeta).decode


class _End:
    """One session's end, for one worker."""

    __slots__ = ("done", "pool", "reason", "session", "worker")

    def __init__(self, session: Session, pool: Pool, worker: str, reason: Ended) -> None:
        self.session = session
        self.pool = pool
        self.worker = worker
        self.reason = reason
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class SessionEnds:
    """Submits `bridge.session.end` to the workers where a session ran. `having` names the pools that have hooks."""

    def __init__(self, pools: Mapping[str, Pool], timeout_s: float, most_waiting: int) -> None:
        self._pools = pools
        self._timeout_s = timeout_s
        self._most_waiting = most_waiting
        self._waiting: deque[_End] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: dict[Session, list[asyncio.Future[None]]] = {}
        self.having: frozenset[str] = frozenset()

    def told(self, session: Session) -> list[asyncio.Future[None]]:
        """Return what is done when each worker has been told of a session's end, or its time is over."""
        return self._open.get(session, [])

    def ended(self, session: Session, reason: Ended, places: Iterable[tuple[str, str]]) -> None:
        """Take note of the end of a session in these workers, each with its pool."""
        if not self.having:
            return
        having = ((self._pools.get(pool), worker) for pool, worker in places if pool in self.having)
        ends = [_End(session, pool, worker, reason) for pool, worker in having if pool is not None]
        for end in ends:
            if len(self._waiting) >= self._most_waiting:
                log(logging.WARNING, "too many sessions end at a time: a worker is not told", session=session.id)
                self._finish(end)
            else:
                self._waiting.append(end)
        if ends:
            self._open.setdefault(session, []).extend(end.done for end in ends)
        self._tell_next()

    def _tell_next(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and len(self._tasks) < AT_A_TIME:
            end = self._waiting.popleft()
            job = self._submit(end, loop.time() + self._timeout_s)
            if job is None:
                self._finish(end)
                continue
            task = loop.create_task(self._await(end, job))
            self._tasks.add(task)
            task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._tell_next()

    def _submit(self, end: _End, deadline: float) -> Job | None:
        """Submit at once, so that no later call of a new session with the same id can be before it."""
        session = end.session
        meta = _encode(CallMeta(NAME, f"end-of-{session.id}", session.id, session.epoch, session.tenant))
        body = _encode((session.id, end.reason))
        try:
            return end.pool.submit(NAME, meta, body, deadline, prefer=end.worker, bound=True)
        except (WorkerGone, Stopped):
            return None  # with it went all that there was to clean up
        except PoolError as error:
            self._failed(end, str(error))
            return None

    async def _await(self, end: _End, job: Job) -> None:
        try:
            reply = await job.future
            if not reply.ok:
                record = _decode_meta(reply.meta).error if reply.meta else None
                self._failed(end, "it said no more" if record is None else record.message)
        except (WorkerGone, Stopped):
            pass  # as above
        except PoolError as error:
            self._failed(end, str(error))
        finally:
            end.pool.release(job)
            self._finish(end)

    def _finish(self, end: _End) -> None:
        if not end.done.done():
            end.done.set_result(None)
        if all(done.done() for done in self._open.get(end.session, ())):
            self._open.pop(end.session, None)

    @staticmethod
    def _failed(end: _End, cause: str) -> None:
        fields = {"session": end.session.id, "worker": end.worker, "reason": end.reason}
        log(logging.WARNING, f"a function for the end of sessions failed: {cause}", **fields)
