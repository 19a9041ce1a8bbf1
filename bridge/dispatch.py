"""One call's way, as a list of verbs: resolve, join, route, run. Failures leave as exceptions, for the edge."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code
from bridge.router import Native

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bridge.call import Call
    from bridge.native import NativeRunner
    from bridge.pooled import PooledRunner
    from bridge.resolve import Resolver
    from bridge.router import Router
    from bridge.sessions import Sessions


class Dispatcher:
    """Takes a call from its envelope to its reply."""

    def __init__(
        self, resolver: Resolver, router: Router, native: NativeRunner, pooled: PooledRunner, sessions: Sessions
    ) -> None:
        self._resolver = resolver
        self._router = router
        self._native = native
        self._pooled = pooled
        self._sessions = sessions

    async def run(self, call: Call) -> bytes:
        """Answer a unary call with the bytes of its response message."""
        runner = self._place(call)
        body = await runner.run(call)
        call.bytes_out = len(body)
        return body

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Answer a streaming call with the bytes of its response messages, as many at a time as have come."""
        runner = self._place(call)
        async with aclosing(runner.stream(call)) as batches:
            async for messages in batches:
                call.bytes_out += sum(map(len, messages))
                yield messages

    def _place(self, call: Call) -> NativeRunner | PooledRunner:
        """Resolve, check the deadline, join the session, route."""
        spec = call.spec = self._resolver.resolve(call)
        if call.deadline <= asyncio.get_running_loop().time():
            raise BridgeError(Code.DEADLINE_EXCEEDED, "IN_QUEUE", "the deadline had passed when the call arrived")
        if call.identity.session_id:
            call.session = self._sessions.use(call.identity.session_id)
        decision = self._router.decide(spec, call.bytes_in, self._native.running)
        call.reason = decision.reason
        if isinstance(decision, Native):
            return self._native
        call.pool = decision.pool
        return self._pooled
