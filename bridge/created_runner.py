"""Calls of created programs: each learns its version, and then goes the way of pooled calls. Owns nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from bridge.call import Call
    from bridge.pooled import PooledRunner


class CreatedRunner:
    """Runs calls of created programs on workers. `choose` writes the version into a call."""

    def __init__(self, choose: Callable[[Call], None], pooled: PooledRunner) -> None:
        self._choose = choose
        self._pooled = pooled

    async def run(self, call: Call) -> bytes:
        """Run a unary call."""
        self._choose(call)
        return await self._pooled.run(call)

    def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call."""
        self._choose(call)
        return self._pooled.stream(call)

    def cancel(self, call: Call) -> bool:
        """End a call."""
        return self._pooled.cancel(call)

    def turn_away(self, call: Call) -> None:
        """End a call that waits."""
        self._pooled.turn_away(call)
