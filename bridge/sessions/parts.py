"""The parts that sessions are made of, put together: table, variables, asks, ends. `app` makes one and wires it.

Owns nothing beside those parts. It knows pools as far as sessions touch them: a worker that is held, one that has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.asks import Asks
from bridge.servicers.session import SessionServicer
from bridge.sessions.asks import session_asks
from bridge.sessions.ends import SessionEnds
from bridge.sessions.record import SessionLimits
from bridge.sessions.sessions import Sessions
from bridge.sessions.variables import VariableLimits
from pool.events import PoolEvent, WorkerExited, WorkerLetGo

if TYPE_CHECKING:
    from bridge.config import SessionsConfig
    from bridge.sessions.record import Ended, Session
    from bridge.sessions.sessions import Bound
    from handlers.contract import Catalogue
    from pool.pool import Pool

SWEEP_S = 1.0
"""How late the end of a session without calls may be noticed."""


def variable_limits(config: SessionsConfig) -> VariableLimits:
    """Return the limits of variables that are configured."""
    return VariableLimits(
        variables=config.max_variables,
        value_bytes=config.max_value_bytes,
        session_bytes=config.max_session_bytes,
        total_bytes=config.max_total_bytes,
        watchers=config.max_watchers,
    )


class SessionParts:
    """All that belongs to sessions. `pools` may be filled later: it is looked into when something happens."""

    def __init__(self, config: SessionsConfig, pools: Mapping[str, Pool]) -> None:
        self._pools = pools
        self._tasks: set[asyncio.Task[None]] = set()
        limits = variable_limits(config)
        self.ends = SessionEnds(pools, config.end_hook_timeout_s, config.max_sessions)
        self.sessions = Sessions(
            SessionLimits(
                ttl_s=config.ttl_s,
                sessions=config.max_sessions,
                per_tenant=config.max_per_tenant,
                calls=config.max_calls,
                evict_idle_s=config.evict_idle_s,
                variables=limits,
            ),
            on_end=self._ended,
            hold=self._hold,
        )
        self.asks = Asks(session_asks(self.sessions, limits))
        self.servicer = SessionServicer(self.sessions, limits, self.ends)

    def catalogues(self, by_pool: Mapping[str, Catalogue]) -> None:
        """Take note of the pools that have functions for the end of sessions."""
        self.ends.having = frozenset(pool for pool, catalogue in by_pool.items() if catalogue.session_hooks)

    def pool_event(self, event: PoolEvent) -> None:
        """Take note of a worker that has ended, or soon will: strict sessions that are bound to it are lost."""
        if isinstance(event, WorkerExited):
            self.sessions.worker_gone(event.pool, event.worker, moved=event.expected)
        elif isinstance(event, WorkerLetGo):
            place = [(event.pool, event.worker)]
            for session in self.sessions.worker_gone(event.pool, event.worker, moved=True):
                self.ends.ended(session, "moved", place)
                self._let_go(session, place)

    def _hold(self, pool: str, worker: str) -> None:
        if (found := self._pools.get(pool)) is not None:  # a reload may have removed it
            found.hold(worker)

    def _ended(self, session: Session, reason: Ended, bound: Bound) -> None:
        """Tell the workers where the session ran of its end, and let go of those that it was bound to."""
        self.ends.ended(session, reason, session.workers.items())
        if bound:
            self._let_go(session, bound)

    def _let_go(self, session: Session, places: Bound) -> None:
        """Let go of workers once they have been told what there is to tell."""
        if told := self.ends.told(session):
            task = asyncio.get_running_loop().create_task(self._let_go_later(told, places))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        self._unhold(places)

    def _unhold(self, places: Bound) -> None:
        for name, worker in places:
            if (pool := self._pools.get(name)) is not None:  # a reload may have removed it
                pool.unhold(worker)

    async def _let_go_later(self, told: list[asyncio.Future[None]], places: Bound) -> None:
        await asyncio.wait(told)
        self._unhold(places)

    async def sweep(self) -> None:
        """End what expires, for as long as the server runs."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sessions.sweep()
