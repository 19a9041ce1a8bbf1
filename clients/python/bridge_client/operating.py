"""Orders to a running server: `client.operator`, sync and async. Owns no state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge_client import pool_operations as operations

if TYPE_CHECKING:
    from bridge_client.async_wire import AsyncWire
    from bridge_client.pool_records import Breaker, Pool, ServerStatus
    from bridge_client.sync_wire import SyncWire


class Operator:
    """What an operator may do with a server while it serves; it lasts until the server ends or reloads.

    Where keys are on, it needs a key with the role ``admin``.
    """

    def __init__(self, wire: SyncWire) -> None:
        self._wire = wire

    def status(self) -> ServerStatus:
        """The pools, the calls that run or wait, the circuit breakers and the fronts."""
        return self._wire.unary(operations.status())

    def scale(
        self, pool: str, size: int | None = None, *, min_size: int | None = None, max_size: int | None = None
    ) -> Pool:
        """Give a pool `size` workers, or the bounds between which it scales itself. Returns at once."""
        return self._wire.unary(operations.scale(pool, size, min_size, max_size))

    def drain(self, pool: str, within: float | None = None) -> bool:
        """Let a pool take no more calls; return whether those that ran have ended, waiting `within` seconds."""
        return self._wire.unary(operations.drain(pool, within))

    def resume(self, pool: str) -> Pool:
        """Let a drained pool take calls again."""
        return self._wire.unary(operations.resume(pool))

    def restart(self, pool: str, worker: str = "") -> int:
        """Replace a pool's workers, or one of them, without a failed call; return how many were replaced."""
        return self._wire.unary(operations.restart(pool, worker))

    def cancel(self, request_id: str) -> int:
        """End calls that run or wait by their request id; return how many."""
        return self._wire.unary(operations.cancel(request_id))

    def release_input(self, pool: str, fingerprint: str = "") -> int:
        """Let an input run again that killed workers, or all of the pool; return how many."""
        return self._wire.unary(operations.release_input(pool, fingerprint))

    def open_breaker(self, key: str, duration: float | None = None, *, cause: str = "") -> Breaker:
        """Let a circuit breaker refuse calls for `duration` seconds, a minute where that is left out."""
        return self._wire.unary(operations.open_breaker(key, duration, cause))

    def close_breaker(self, key: str) -> bool:
        """Let a circuit breaker let all calls through; return whether it was not closed before."""
        return self._wire.unary(operations.close_breaker(key))


class AsyncOperator:
    """What an operator may do with a server while it serves; it lasts until the server ends or reloads.

    Where keys are on, it needs a key with the role ``admin``.
    """

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def status(self) -> ServerStatus:
        """The pools, the calls that run or wait, the circuit breakers and the fronts."""
        return await self._wire.unary(operations.status())

    async def scale(
        self, pool: str, size: int | None = None, *, min_size: int | None = None, max_size: int | None = None
    ) -> Pool:
        """Give a pool `size` workers, or the bounds between which it scales itself. Returns at once."""
        return await self._wire.unary(operations.scale(pool, size, min_size, max_size))

    async def drain(self, pool: str, within: float | None = None) -> bool:
        """Let a pool take no more calls; return whether those that ran have ended, waiting `within` seconds."""
        return await self._wire.unary(operations.drain(pool, within))

    async def resume(self, pool: str) -> Pool:
        """Let a drained pool take calls again."""
        return await self._wire.unary(operations.resume(pool))

    async def restart(self, pool: str, worker: str = "") -> int:
        """Replace a pool's workers, or one of them, without a failed call; return how many were replaced."""
        return await self._wire.unary(operations.restart(pool, worker))

    async def cancel(self, request_id: str) -> int:
        """End calls that run or wait by their request id; return how many."""
        return await self._wire.unary(operations.cancel(request_id))

    async def release_input(self, pool: str, fingerprint: str = "") -> int:
        """Let an input run again that killed workers, or all of the pool; return how many."""
        return await self._wire.unary(operations.release_input(pool, fingerprint))

    async def open_breaker(self, key: str, duration: float | None = None, *, cause: str = "") -> Breaker:
        """Let a circuit breaker refuse calls for `duration` seconds, a minute where that is left out."""
        return await self._wire.unary(operations.open_breaker(key, duration, cause))

    async def close_breaker(self, key: str) -> bool:
        """Let a circuit breaker let all calls through; return whether it was not closed before."""
        return await self._wire.unary(operations.close_breaker(key))
