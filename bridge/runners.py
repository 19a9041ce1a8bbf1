"""Who runs calls: every runner, the router that chooses among them and the dispatcher, made and renewed together.

Owns nothing but these objects, which belong to one front.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.auto.runner import AutoPlacement, AutoRunner
from bridge.batching.runner import BatchedRunner
from bridge.dispatch import Dispatcher
from bridge.native import NativeRunner
from bridge.pooled import PooledRunner
from bridge.routing.router import NativeLimits, Router
from bridge.upkeep.front_load import FrontLoad, ThreadTimes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.call import Call
    from bridge.config import Config
    from bridge.resolve import Resolver
    from bridge.routing.parts import RouteParts
    from bridge.sessions.parts import SessionParts
    from handlers.entry import Entry
    from pool.pool import Pool


class Runners:
    """The runners of one front, on its pools and on its own entry.

    `choose` writes into the call of a created program which version it runs.
    """

    def __init__(
        self,
        config: Config,
        pools: Mapping[str, Pool],
        sessions: SessionParts,
        resolver: Resolver,
        native: Entry,
        routes: RouteParts,
        choose: Callable[[Call], None],
    ) -> None:
        limits = native_limits(config)
        self._times = ThreadTimes()
        self.placement = AutoPlacement(pools, limits, FrontLoad(asyncio.get_running_loop(), self._times))
        self.router = Router(limits, self.placement)
        self.native = NativeRunner(native, sessions.asks)
        self.pooled = PooledRunner(pools, sessions.sessions)
        self.batched = BatchedRunner(pools, self.pooled, config.server.max_message_bytes)
        self.auto = AutoRunner(self.placement, self.native, self.pooled)
        self.attempts = routes.make_runner(pools, self.native, self.pooled, self.router)
        self.dispatcher = Dispatcher(
            resolver,
            self.router,
            self.native,
            self.pooled,
            self.batched,
            self.auto,
            self.attempts,
            sessions.sessions,
            choose,
            routes.breakers,
        )

    def renew(self, config: Config, native: Entry) -> None:
        """Take over other limits, and other code."""
        limits = native_limits(config)
        self.placement.renew(limits)
        self.router.renew(limits)
        self.native.renew(native)

    def close(self) -> None:
        """Watch nothing any more: no call is left."""
        self.batched.close()
        self.auto.copies.close()
        self._times.close()
        self.attempts.close()


def native_limits(config: Config) -> NativeLimits:
    """Return what may run in the front."""
    native = config.native
    return NativeLimits(
        max_request_bytes=native.max_request_bytes,
        concurrency=native.concurrency,
        max_p99_s=native.max_p99_ms / 1000,
        copies=native.copies,
    )
