"""The parts that sessions are made of, put together: table, variables, asks, ends. `app` makes one and wires it.

Owns nothing beside those parts. It knows pools as far as sessions touch them: a worker that is held, one that has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.asks import Asks
from bridge.servicers.session import SessionServicer
from bridge.session_asks import session_asks
from bridge.session_ends import SessionEnds
from bridge.session_record import SessionLimits
from bridge.session_variables import VariableLimits
from bridge.sessions import Sessions
from pool.events import PoolEvent, WorkerExited

if TYPE_CHECKING:
    from bridge.config import SessionsConfig
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
        limits = variable_limits(config)
        self.ends = SessionEnds(pools, config.end_hook_timeout_s, config.max_sessions)
        self.sessions = Sessions(
            SessionLimits(
                ttl_s=config.ttl_s,
                sessions=config.max_sessions,
                per_tenant=config.max_per_tenant,
                evict_idle_s=config.evict_idle_s,
                variables=limits,
            ),
            on_end=self.ends.ended,
            hold=self._hold,
        )
        self.asks = Asks(session_asks(self.sessions, limits))
        self.servicer = SessionServicer(self.sessions, limits, self.ends)

    def catalogues(self, by_pool: Mapping[str, Catalogue]) -> None:
        """Take note of the pools that have functions for the end of sessions."""
        self.ends.having = frozenset(pool for pool, catalogue in by_pool.items() if catalogue.session_hooks)

    def pool_event(self, event: PoolEvent) -> None:
        """Take note of a worker that has ended: strict sessions that are bound to it are lost."""
        if isinstance(event, WorkerExited):
            self.sessions.worker_gone(event.pool, event.worker, moved=event.expected)

    def _hold(self, pool: str, worker: str, held: bool) -> None:
        """Let a pool know that a session is bound to a worker, or is no more."""
        if (found := self._pools.get(pool)) is not None and hasattr(found, "hold"):
            (found.hold if held else found.unhold)(worker)

    async def sweep(self) -> None:
        """End what expires, for as long as the server runs."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.sessions.sweep()
