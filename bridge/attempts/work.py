"""The attempts at one call: each is begun, watched, judged and written down.

Owns what runs for one call. What follows upon a failure is decided by its `Plan`. An attempt that is not needed any
more is cancelled, and its worker with it.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from bridge import status
from bridge.attempts.judge import Attempt, Judge
from bridge.attempts.plan import Plan, Step
from bridge.attempts.record import Attempted, Tried, attempt_at, reason, take_over, total_usage
from bridge.attempts.shadow import LARGEST_BYTES, Answer
from bridge.errors import BridgeError
from bridge.inside import adopt
from bridge.receipts.spending import afford
from bridge.routing.routes import RoutedSpec
from handlers.errors import HandlerError
from pool.errors import CancelledByOperator, PoolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bridge.attempts.runner import AttemptsRunner
    from bridge.call import Call, Identity
    from bridge.routing.routes import Alternative, Route
    from handlers.contract import FunctionSpec, ReplyMeta

FAILURES = (BridgeError, HandlerError, PoolError)
CANCELLED = "CANCELLED"


class Attempts:
    """All attempts at one call."""

    def __init__(self, owner: AttemptsRunner, call: Call, route: Route) -> None:
        self._owner = owner
        self._call = call
        self._route = route
        self._record = Attempted(route.name, tried=[])
        self._plan = Plan(route, owner.budgets(route), owner.means, self._record, sticky_key(route, call.identity))
        self._judge = Judge(route.name, owner.means)
        self._why = ""
        self._running: list[Attempt] = []
        self._won: Attempt | None = None
        self._last: Call | None = None
        self._metas: list[ReplyMeta] = []
        self._told: Exception | None = None
        """The failure that the caller hears of, if there is no answer: the last of an attempt that was begun."""
        self._pause: asyncio.Future[None] | None = None

    async def run(self) -> bytes:
        """Return the answer of the first attempt that has one."""
        step = self._first()
        while True:
            try:
                body = await self._answer(step)
            except FAILURES as error:
                step = self._next(step, error)
            else:
                self._send_copies(body)
                return body
            await self._wait(step.wait_s)

    async def stream(self) -> AsyncGenerator[list[bytes], None]:
        """Yield the messages of the first attempt that sends any, or ends well without."""
        copies = self._owner.shadows.wanted(self._call, self._route)
        answer = Answer() if copies else None
        step, sent = self._first(), False
        while True:
            try:
                async with aclosing(self._stream(step)) as batches:
                    async for messages in batches:
                        sent = True
                        if answer is not None:
                            for message in messages:
                                answer.add(message)
                        yield messages
            except FAILURES as error:
                if sent:
                    raise
                step = self._next(step, error)
            else:
                if answer is not None:
                    self._copy(copies, answer, streams=True)
                return
            await self._wait(step.wait_s)

    def _first(self) -> Step:
        step = self._plan.first()
        self._why = step.why
        return step

    def _next(self, step: Step, error: Exception) -> Step:
        """Return what follows upon a failure, or raise what the caller is to hear."""
        failure = status.of_exception(error, idempotent=step.alternative.idempotent)
        if self._told is None or failure.reason != "BREAKER_OPEN":
            self._told = error
        following = self._plan.after(step, failure, self._call.deadline - self._owner.loop.time())
        if following is None or not afford(self._call):
            raise self._told
        return following

    async def _wait(self, seconds: float) -> None:
        """Pause before the next attempt; a cancel by an operator ends the pause."""
        if seconds:
            pause = self._pause = self._owner.loop.create_future()
            timer = self._owner.loop.call_later(seconds, _end_pause, pause)
            try:
                await pause
            finally:
                timer.cancel()
                self._pause = None

    async def _answer(self, step: Step) -> bytes:
        """Make an attempt, and another beside it where it takes long."""
        after_s = None if self._call.session is not None else self._plan.hedge_after_s(step)
        if after_s is None:
            return await self._try(step)
        first = self._owner.loop.create_task(self._try(step))
        tasks = {first}
        try:
            await asyncio.wait(tasks, timeout=after_s)
            if not first.done() and (beside := self._plan.hedge(step)) is not None and afford(self._call):
                self._record.hedged = True
                tasks.add(self._owner.loop.create_task(self._try(beside)))
            waiting = set(tasks)
            while waiting and self._won is None:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._won is None:
                return first.result()
            if self._record.hedged:
                outcome = "won" if self._won.step.kind == "hedge" else "lost"
                self._owner.counters.hedges[self._route.name, outcome] += 1
            return self._won.body
        finally:
            self._drop(tasks)

    def _drop(self, tasks: set[asyncio.Task[bytes]]) -> None:
        """Cancel the attempts that are not needed any more."""
        for task in tasks:
            if not task.done():
                task.cancel()
            self._owner.late.add(task)
            task.add_done_callback(self._owner.forget)
        for attempt in self._running if self._won is not None else ():
            attempt.tried.failure = CANCELLED

    async def _try(self, step: Step) -> bytes:
        """Make one attempt. Raises as the runner of its decision does."""
        attempt = self._begin(step)
        failure: BaseException | None = None
        try:
            attempt.runner = self._owner.place(attempt.call)
            body = attempt.body = await attempt.runner.run(attempt.call)
        except asyncio.CancelledError as error:
            failure = error
            if attempt.call.cancelled:  # a native function, by an operator: its task goes on, to answer
                failure = CancelledByOperator(attempt.call.pool)
                _uncancel()
                raise failure from None
            raise
        except BaseException as error:
            failure = error
            raise
        finally:
            self._ended(attempt, failure)
        return body

    async def _stream(self, step: Step) -> AsyncGenerator[list[bytes], None]:
        """Make one attempt at a stream. Its time counts until its first message."""
        attempt = self._begin(step)
        failure: BaseException | None = asyncio.CancelledError()  # unless it comes to its end
        seconds = 0.0
        try:
            attempt.runner = self._owner.place(attempt.call)
            async with aclosing(attempt.runner.stream(attempt.call)) as batches:
                async for messages in batches:
                    seconds = seconds or time.perf_counter() - attempt.started
                    yield messages
            failure = None
        except FAILURES as error:
            failure = error
            raise
        finally:
            self._ended(attempt, failure, seconds)

    def _begin(self, step: Step) -> Attempt:
        """Begin an attempt, where its breakers let it through. Raises BREAKER_OPEN."""
        owner, alternative = self._owner, step.alternative
        tried = Tried(alternative.label, step.kind)
        try:
            tickets = self._judge.let_through(alternative)
        except BridgeError as refusal:
            tried.failure = refusal.reason
            self._record.tried.append(tried)
            raise
        self._record.tried.append(tried)
        timeout_ms = self._route.config.timeout_ms
        deadline = self._call.deadline if timeout_ms is None else owner.loop.time() + timeout_ms / 1e3
        call = attempt_at(self._call, alternative, self._spec(alternative), deadline)
        call.retried = self._route.config.retry is not None  # so that the pool does not retry beside the budget
        attempt = Attempt(step, call, tried, tickets)
        self._running.append(attempt)
        return attempt

    def _spec(self, alternative: Alternative) -> FunctionSpec:
        if alternative.spec is not None:
            return alternative.spec
        assert isinstance(self._call.spec, RoutedSpec)
        assert self._call.spec.original is not None
        return self._call.spec.original

    def _ended(self, attempt: Attempt, failure: BaseException | None, seconds: float = 0.0) -> None:
        """Judge an attempt that has ended, and write it down."""
        self._running.remove(attempt)
        self._last = attempt.call
        self._metas.append(attempt.call.meta)
        adopt(self._call, attempt.call)
        attempt.call.retried &= self._route.config.retry is None
        tried, elapsed_s = attempt.tried, time.perf_counter() - attempt.started
        tried.seconds = elapsed_s
        if failure is None:
            if self._won is None:
                self._won = attempt
                self._record.alternative = tried.alternative
            self._judge.well(attempt, seconds or elapsed_s)
        elif isinstance(failure, FAILURES):
            told = status.of_exception(failure, idempotent=attempt.step.alternative.idempotent)
            tried.failure = told.reason
            if self._won is None:
                self._record.alternative = tried.alternative
            self._judge.failed(attempt, told, elapsed_s)
        else:
            lost = tried.failure == CANCELLED
            tried.failure = CANCELLED
            self._judge.cancelled(attempt, elapsed_s if lost else None)

    def _send_copies(self, body: bytes) -> None:
        if not self._route.shadows or len(body) > LARGEST_BYTES:
            return
        if wanted := self._owner.shadows.wanted(self._call, self._route):
            answer = Answer()
            answer.add(body)
            self._copy(wanted, answer, streams=False)

    def _copy(self, wanted: list[Alternative], answer: Answer, *, streams: bool) -> None:
        for one in wanted:
            if one.label != self._record.alternative:
                spec = self._spec(one)
                self._owner.shadows.send(self._call, self._route, one, spec, answer, streams=streams)

    @property
    def newest(self) -> Call | None:
        """The attempt that was begun last, of those that run."""
        return self._running[-1].call if self._running else None

    def cancel(self) -> bool:
        """End all attempts with CANCELLED_BY_OPERATOR; return whether there was one that had not ended."""
        ended = False
        if self._pause is not None and not self._pause.done():
            self._pause.set_exception(CancelledByOperator(self._call.pool))
            ended = True
        for attempt in list(self._running):
            ended |= attempt.runner is not None and attempt.runner.cancel(attempt.call)
            self._call.cancelled |= attempt.call.cancelled
        return ended

    def turn_away(self) -> None:
        """End with SHUTTING_DOWN what has not begun."""
        for attempt in self._running:
            if attempt.runner is not None:
                attempt.runner.turn_away(attempt.call)

    def close(self) -> None:
        """Write into the call how it came to its answer, or to none."""
        call, record = self._call, self._record
        for attempt in self._running:  # they lost against another, and are ending
            adopt(call, attempt.call)
        call.attempts, call.meta = record, total_usage(self._metas)
        last = self._last if self._won is None else self._won.call
        if last is not None:
            take_over(call, last)
        call.reason = reason(self._why, record, "" if last is None else last.reason)


def sticky_key(route: Route, identity: Identity) -> str:
    """Return by what a call is kept to one alternative; empty where it is not."""
    by = route.config.sticky
    kept = {"session": identity.session_id, "request": identity.request_id, "tenant": identity.tenant}.get(by, "")
    return f"{route.name}\0{kept}" if kept else ""


def _end_pause(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)


def _uncancel() -> None:
    if (task := asyncio.current_task()) is not None:
        task.uncancel()
