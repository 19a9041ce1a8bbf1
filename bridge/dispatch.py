"""One call's way, as a list of verbs: resolve, join, route, run. Failures leave as exceptions, for the edge."""

from __future__ import annotations

import asyncio
import heapq
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Protocol

from bridge.attempts.work import Attempts
from bridge.batching.members import Member
from bridge.errors import BridgeError, Code
from bridge.nested import HostedRunner
from bridge.programs.runner import ProgramRunner
from bridge.receipts import receipts
from bridge.receipts.spending import BudgetedRunner, Estimates
from bridge.routing.router import Batched, Measured, Native, Pooled, Program, Routed
from bridge.sessions.line import Line
from pool.errors import CancelledByOperator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from bridge.attempts.runner import AttemptsRunner
    from bridge.auto.runner import AutoRunner
    from bridge.batching.runner import BatchedRunner
    from bridge.call import Call
    from bridge.native import NativeRunner
    from bridge.pooled import PooledRunner
    from bridge.resolve import Resolver
    from bridge.routing.breakers import Breakers
    from bridge.routing.router import Router
    from bridge.sessions.record import Session
    from bridge.sessions.sessions import Sessions

TURN_AWAY_S = 0.05
"""How often a drain looks for calls that wait: those in line behind one that goes on come back into the queue."""


class Runner(Protocol):
    """Runs calls of one kind of decision: `bridge.routing.router` has the kinds."""

    async def run(self, call: Call) -> bytes:
        """Answer a unary call with the bytes of its response message."""
        ...

    def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Answer a streaming call with the bytes of its response messages, as many at a time as have come."""
        ...

    def cancel(self, call: Call) -> bool:
        """End a call with CANCELLED_BY_OPERATOR; return whether it had not ended yet."""
        ...

    def turn_away(self, call: Call) -> None:
        """End a call with SHUTTING_DOWN where it has not begun."""
        ...


class Dispatcher:
    """Takes a call from its envelope to its reply. Owns the set of calls in flight and the order to take no more."""

    def __init__(
        self,
        resolver: Resolver,
        router: Router,
        native: NativeRunner,
        pooled: PooledRunner,
        batched: BatchedRunner,
        auto: AutoRunner,
        attempts: AttemptsRunner,
        sessions: Sessions,
        choose: Callable[[Call], None],
        breakers: Breakers,
    ) -> None:
        self._resolver = resolver
        self._router = router
        self._native = native
        self.pooled = pooled
        self._batched = batched
        self._auto = auto
        self._attempts = attempts
        self._runners: Mapping[type, Runner] = {
            Native: native,
            Pooled: pooled,
            Batched: batched,
            Measured: auto,
            Routed: attempts,
            Program: ProgramRunner(choose, breakers, pooled),
            HostedRunner: HostedRunner(choose),
        }
        attempts.bind(self._runners)
        self._estimates = Estimates()
        self._budgeted: dict[Runner, Runner] = {}
        self._sessions = sessions
        self._loop = asyncio.get_running_loop()
        self._calls: set[Call] = set()
        self._draining: asyncio.Event | None = None
        """Set once nothing runs any more; None before draining."""

    async def run(self, call: Call) -> bytes:
        """Answer a unary call with the bytes of its response message."""
        self._calls.add(call)
        try:
            runner = self._place(call)
            if call.session is not None and call.session.ordered:
                await self._enter_line(call, call.session)
            body = await runner.run(call)
        finally:
            self.ended(call)
        call.bytes_out = len(body)
        return body

    def begin(self, call: Call) -> Runner:
        """Place a call that `finish` or `ended` will follow; it is in flight from now on."""
        self._calls.add(call)
        try:
            return self._place(call)
        except BaseException:
            self.ended(call)
            raise

    def join(self, calls: Iterable[Call]) -> None:
        """Take note of calls without sessions that were placed as one that was begun."""
        self._calls.update(calls)

    def leave(self, calls: Iterable[Call]) -> None:
        """Take note that calls without sessions have ended."""
        self._calls.difference_update(calls)
        if self._draining is not None and not self._calls:
            self._draining.set()

    async def finish(self, call: Call, runner: Runner) -> bytes:
        """Answer a unary call that has been begun."""
        try:
            if call.session is not None and call.session.ordered:
                await self._enter_line(call, call.session)
            body = await runner.run(call)
        finally:
            self.ended(call)
        call.bytes_out = len(body)
        return body

    async def stream(self, call: Call) -> AsyncGenerator[list[bytes], None]:
        """Answer a streaming call with the bytes of its response messages, as many at a time as have come."""
        self._calls.add(call)
        try:
            runner = self._place(call)
            if call.session is not None and call.session.ordered:
                await self._enter_line(call, call.session)
            async with aclosing(runner.stream(call)) as batches:
                async for messages in batches:
                    call.bytes_out += sum(map(len, messages))
                    yield messages
        finally:
            self.ended(call)

    def cancel(self, request_id: str) -> int:
        """End the calls of a request id, each with CANCELLED_BY_OPERATOR; return how many were told to."""
        return sum(self._cancel(call) for call in list(self._calls) if call.identity.request_id == request_id)

    def _cancel(self, call: Call) -> bool:
        """End a call, also where it stands in the line of its session."""
        line = None if call.session is None or call.in_line else call.session.line
        if line is not None and line.cancel(call, CancelledByOperator(call.pool)):
            return True
        return self._runner_of(call).cancel(call)

    def oldest(self, most: int) -> list[Call]:
        """Return the calls in flight, the oldest first."""
        return heapq.nsmallest(most, self._calls, key=lambda call: call.started_at)

    def _runner_of(self, call: Call) -> Runner:
        """Return who has a call that is under way."""
        if isinstance(call.job, Attempts):
            return self._attempts
        if call.route == receipts.NATIVE:
            return self._native
        return self._batched if isinstance(call.job, Member) else self.pooled

    def _place(self, call: Call) -> Runner:
        """Refuse while draining, resolve, check the deadline, route."""
        if self._draining is not None and call.nested is None:
            raise _shutting_down()
        spec = call.spec = self._resolver.resolve(call)
        if call.deadline <= self._loop.time():
            raise BridgeError(Code.DEADLINE_EXCEEDED, "IN_QUEUE", "the deadline had passed when the call arrived")
        router = self._router
        decision = router.fixed.get(spec.name) or router.decide(spec, call.bytes_in, self._native.running)
        call.reason = decision.reason
        call.pool = decision.pool
        runner = self._runners[type(decision)]
        return runner if call.identity.bare else self._particular(call, runner)

    def _particular(self, call: Call, runner: Runner) -> Runner:
        """Join the session, find the place of a nested call, and keep to the budget: then a call is never batched."""
        if call.identity.session_id:
            call.session = self._join(call)
        if runner is self._attempts:
            return runner  # it finds the place of each attempt
        if call.nested is not None and call.nested.host(call.pool) is not None:
            runner = self._runners[HostedRunner]
        return runner if call.identity.budget is None else self._within_budget(runner)

    def _within_budget(self, runner: Runner) -> Runner:
        if runner is self._batched:
            runner = self.pooled
        if (found := self._budgeted.get(runner)) is None:
            found = self._budgeted[runner] = BudgetedRunner(runner, self._estimates)
        return found

    def _join(self, call: Call) -> Session:
        """Return the session of a call."""
        if call.nested is not None and call.nested.caller.session is not None:
            return self._sessions.use_again(call.nested.caller.session)
        identity = call.identity
        mode, ordered = identity.session_mode, identity.session_ordered
        return self._sessions.use(identity.session_id, identity.tenant, mode, ordered)

    async def _enter_line(self, call: Call, session: Session) -> None:
        """Wait until the session's earlier calls have ended; a nested call has the turn of its caller."""
        if call.nested is not None:
            return
        if session.line is None:
            session.line = Line()
        await session.line.enter(call, call.deadline, call.pool or "native", self.pooled.queue_limit(call.pool))
        call.in_line = True
        if self._draining is not None:
            raise _shutting_down()

    def ended(self, call: Call) -> None:
        """Take note that a call has ended."""
        self._calls.discard(call)
        if call.session is not None:
            if call.in_line and call.session.line is not None:
                call.session.line.leave()
            self._sessions.left(call.session)
        if self._draining is not None and not self._calls:
            self._draining.set()

    @property
    def is_idle(self) -> bool:
        """Whether no call runs or waits."""
        return not self._calls

    async def drain(self, timeout_s: float) -> bool:
        """Take no more calls, and refuse those that wait for a worker; return whether the others ended within the time.

        What running calls call goes on being taken.
        """
        if self._draining is None:
            self._draining = asyncio.Event()
        ends = self._loop.time() + timeout_s
        while self._calls:
            for call in tuple(self._calls):
                if call.nested is None:
                    self._runner_of(call).turn_away(call)
            if (left_s := ends - self._loop.time()) <= 0:
                return False
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, TURN_AWAY_S)):
                    await self._draining.wait()
        return True


def _shutting_down() -> BridgeError:
    message = "the server takes no more calls: it is shutting down"
    return BridgeError(Code.UNAVAILABLE, "SHUTTING_DOWN", message, retry_after_s=1.0)
