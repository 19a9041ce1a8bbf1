"""Calls of programs: each learns what its worker would ask first, and then goes the way of pooled calls. Owns nothing.

That is the version of a created program, and whether the providers of models are sound.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from bridge.call import Call
    from bridge.pooled import PooledRunner
    from bridge.routing.breakers import Breakers


class ProgramRunner:
    """Runs calls of programs on workers. `choose` writes the version into a call."""

    def __init__(self, choose: Callable[[Call], None], breakers: Breakers, pooled: PooledRunner) -> None:
        self._choose = choose
        self._breakers = breakers
        self._pooled = pooled

    def _prepare(self, call: Call) -> None:
        self._choose(call)
        call.sound_at = time.monotonic() if self._breakers.providers_sound else 0.0

    async def run(self, call: Call) -> bytes:
        """Run a unary call."""
        self._prepare(call)
        return await self._pooled.run(call)

    def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Run a streaming call."""
        self._prepare(call)
        return self._pooled.stream(call)

    def cancel(self, call: Call) -> bool:
        """End a call."""
        return self._pooled.cancel(call)

    def turn_away(self, call: Call) -> None:
        """End a call that waits."""
        self._pooled.turn_away(call)
