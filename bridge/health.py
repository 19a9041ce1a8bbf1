"""Whether the server can do its work, judged anew at every question.

A pool serves when a worker takes calls and a call has come back over its whole path recently. The pool itself sends
canaries that way to workers that have not answered for a while, and takes out those that do not answer; here is only
judged. Owns the flag that draining sets; caches no verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.resolve import FORWARDED
from pool.events import OutputDropped, WorkerOutput

if TYPE_CHECKING:
    from bridge.config import HealthConfig
    from pool.events import PoolEvent
    from pool.pool import Pool

SERVICES = sorted(
    {f"bridge.v1.{name.partition('/')[0]}" for name, rule in FORWARDED.items() if rule.public}
    | {"bridge.v1.SessionService", "bridge.v1.PoolService", "bridge.v1.ToolService"}
)
INVOKE = "bridge.v1.InvokeService"
_POOL_OF = {
    INVOKE: "general",
    "bridge.v1.MetricService": "general",
    "bridge.v1.EmbeddingService": "embeddings",
    "bridge.v1.ModelService": "llm",
    "bridge.v1.ProgramService": "llm",
}


class Health:
    """The health of the server, of each service and of each pool."""

    def __init__(self, pools: Mapping[str, Pool], config: HealthConfig) -> None:
        self._pools = pools
        self._config = config
        self._draining = False
        self._closed = False
        self._changed = asyncio.Event()

    def names(self) -> list[str]:
        """Return every name that can be asked for."""
        return ["", *SERVICES, *(f"pool/{name}" for name in sorted(self._pools))]

    def serving(self, name: str) -> bool | None:
        """Return whether `name` serves; None for an unknown name. The server as a whole needs all its pools."""
        if name == "":
            return not self._draining and all(self._pool_serves(pool) for pool in self._pools.values())
        if name.startswith("pool/"):
            pool = self._pools.get(name[5:])
            return None if pool is None else not self._draining and self._pool_serves(pool)
        if name not in SERVICES:
            return None
        if self._draining or name not in _POOL_OF:
            return not self._draining
        pool = self._pools.get(_POOL_OF[name])
        if pool is None and name == INVOKE:  # any pool's functions are called through it
            return any(self._pool_serves(other) for other in self._pools.values())
        return pool is not None and self._pool_serves(pool)

    def _pool_serves(self, pool: Pool) -> bool:
        """A pool with every slot taken has no room for a proof: its calls have deadlines, which are its proof."""
        if pool.draining or not pool.ready_workers:
            return False
        age_s = pool.proof_age_s
        return (age_s is not None and age_s <= self._config.max_age_s) or pool.saturated

    @property
    def is_well(self) -> bool:
        """Whether the server need not be restarted: every pool serves that an operator has not drained."""
        return not self._draining and all(self._pool_serves(pool) for pool in self._pools.values() if not pool.draining)

    def renew(self, config: HealthConfig) -> None:
        """Take over how old a proof may be."""
        self._config = config

    def drain(self) -> None:
        """Answer NOT_SERVING from now on; watchers are told at once."""
        self._draining = True
        self._tell()

    def close(self) -> None:
        """Let watchers end."""
        self._closed = True
        self._tell()

    def pool_event(self, event: PoolEvent) -> None:
        """Let watchers be told at once of what has become of a worker."""
        if not isinstance(event, WorkerOutput | OutputDropped):
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def look_again(self, after_s: float) -> bool:
        """Wait until it is time to judge again: after a while, or when it changes; False when the server ends."""
        if self._closed:
            return False
        try:
            async with asyncio.timeout(after_s):
                await self._changed.wait()
        except TimeoutError:
            return True
        return not self._closed
