"""The line of an ordered session: its calls run one after another, in the order in which they arrived.

Owns who stands in it. A call that is cancelled or whose deadline passes leaves the line wherever it stands.
"""

from __future__ import annotations

import asyncio

from bridge.errors import BridgeError, Code
from pool.errors import PoolError, QueueFull


class Line:
    """One session's calls: the one whose turn it is, and those behind it."""

    __slots__ = ("_behind", "_taken")

    def __init__(self) -> None:
        self._taken = False
        self._behind: dict[object, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._behind)

    async def enter(self, call: object, deadline: float, pool: str, limit: int) -> None:
        """Wait for a call's turn; `leave` ends it. Raises IN_QUEUE at the deadline (on the loop's clock).

        Raises QueueFull where `limit` calls stand in the line already, which names `pool`, and what `cancel` says.
        """
        if not self._taken:
            self._taken = True
            return
        if len(self._behind) >= limit:
            raise QueueFull(pool, limit, 1.0)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._behind[call] = turn
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # its turn came at the moment that it left
            self._behind.pop(call, None)
            if isinstance(error, TimeoutError):
                message = "the deadline passed while the session's earlier calls ran"
                raise BridgeError(Code.DEADLINE_EXCEEDED, "IN_QUEUE", message) from None
            raise

    def cancel(self, call: object, error: PoolError) -> bool:
        """End the wait of a call with an error; return whether it waited."""
        turn = self._behind.pop(call, None)
        if turn is None or turn.done():
            return False
        turn.set_exception(error)
        return True

    def leave(self) -> None:
        """Let the next one have its turn."""
        while self._behind:
            turn = self._behind.pop(next(iter(self._behind)))
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False
