"""What running calls may ask the front, by name, and the way there for functions that run in the front itself.

Owns the list of names. Answers are bytes that the asker understands; failures travel as `ErrorRecord`. Knows nothing of
frames: `pool.asks` brings what workers ask.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

from bridge import status
from bridge.call import Call
from bridge.errors import BridgeError, Code
from handlers.contract import ErrorRecord
from handlers.errors import HandlerError
from pool.errors import AskRefused, PoolError

if TYPE_CHECKING:
    from pool.calls import Call as Job
    from pool.entry import Answer

AtOnce = Callable[[Call, bytes], bytes]
Later = Callable[[Call, bytes], bytes | Awaitable[bytes]]
"""Answers what may take a while; where it does not, it may answer at once all the same."""

_NATIVE: ContextVar[Call | None] = ContextVar("native_call", default=None)
"""The native call that the running code belongs to."""


class Asks:
    """Answers asks: with `at_once` what the front knows, with `later` what it must wait for."""

    def __init__(self, at_once: Mapping[str, AtOnce], later: Mapping[str, Later] | None = None) -> None:
        self._at_once = dict(at_once)
        self._later = dict(later or {})

    def add(self, later: Mapping[str, Later], at_once: Mapping[str, AtOnce] | None = None) -> None:
        """Answer these as well."""
        self._later |= later
        self._at_once |= at_once or {}

    def of_worker(self, job: Job, name: str, body: bytes) -> Answer | Coroutine[Any, Any, Answer]:
        """Answer what a call asks in a worker: at once where nothing has to be waited for."""
        if not isinstance(job.context, Call):
            error = BridgeError(Code.FAILED_PRECONDITION, "NO_SESSION", "what runs here is no call of a client")
            return _failed(error)
        if job.context.job is None:  # it stands for the calls of a batch
            job.context.job = job
        return self._begin(job.context, name, body)

    async def answer(self, call: Call, name: str, body: bytes) -> Answer:
        """Answer what a call asks."""
        answer = self._begin(call, name, body)
        return answer if isinstance(answer, tuple) else await answer

    def _begin(self, call: Call, name: str, body: bytes) -> Answer | Coroutine[Any, Any, Answer]:
        if (found := self._later.get(name)) is None:
            return self.answer_now(call, name, body)
        try:
            answer = found(call, body)
        except (BridgeError, HandlerError, PoolError) as error:
            return _failed(error)
        return (True, answer) if isinstance(answer, bytes) else self._awaited(answer)

    @staticmethod
    async def _awaited(answer: Awaitable[bytes]) -> Answer:
        try:
            return True, await answer
        except (BridgeError, HandlerError, PoolError) as error:
            return _failed(error)

    def answer_now(self, call: Call, name: str, body: bytes) -> Answer:
        """Answer what needs no waiting. Raises AskRefused where it does."""
        if name in self._later:
            raise AskRefused(f"a native function must be async to ask for '{name}', which takes a while")
        try:
            if (found := self._at_once.get(name)) is None:
                raise BridgeError(Code.UNIMPLEMENTED, "UNKNOWN_METHOD", f"the front does not know '{name[:100]}'")
            return True, found(call, body)
        except (BridgeError, HandlerError, PoolError) as error:
            return _failed(error)


class NativeAsker:
    """The `Asker` of the front's own entry."""

    def __init__(self, asks: Asks) -> None:
        self._asks = asks

    @staticmethod
    def running(call: Call) -> None:
        """Say that what runs in this task from now on belongs to a call."""
        _NATIVE.set(call)

    def ask(self, name: str, body: bytes) -> Answer:
        """Answer a synchronous function, which holds up the front: only what needs no waiting. Raises AskRefused."""
        call = self._call()
        if call.spec is not None and call.spec.is_async:
            raise AskRefused("async code must await the answer: use the variant with an 'a' before its name")
        return self._asks.answer_now(call, name, body)

    async def aask(self, name: str, body: bytes) -> Answer:
        """Answer an async function."""
        return await self._asks.answer(self._call(), name, body)

    def tell(self, name: str, body: bytes) -> None:
        """Take in what waits for no answer. Raises AskRefused where it could not be done at once."""
        self._asks.answer_now(self._call(), name, body)

    @staticmethod
    def _call() -> Call:
        call = _NATIVE.get()
        if call is None:
            raise AskRefused("what runs here belongs to no call")
        return call


def _failed(error: Exception) -> Answer:
    failure = status.of_exception(error)
    record = ErrorRecord(
        code=failure.code.name,
        reason=failure.reason,
        message=failure.message,
        violations=failure.violations,
        metadata=failure.metadata,
        retry_after_s=failure.retry_after_s,
    )
    return False, msgspec.json.encode(record)
