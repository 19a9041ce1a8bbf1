"""One configured model behind the front's gate: asked before a request goes out, told how it ended, repeated.

The one way to a model for ModelService and for the models of programs alike. The front knows the limits, the budgets,
the circuit breakers and the answers that were kept; where none of these is configured, nothing is asked. Owns what was
measured of the model's tokens (`spending`), no requests. What a request is, and how it is sent, its user knows.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.boundary import BOUNDARY
from handlers.errors import HandlerError
from handlers.models.gate_wire import BEGIN, DOLLARS, END, Begin, Begun, End
from handlers.models.spending import Spending, Use, size_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from handlers.context import CallContext
    from handlers.contract import ModelOptions

RETRIED = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
"""Codes of provider's failures after which the same request may go well."""
SOUND_S = 0.1
"""For how long after all providers were sound a request need not ask. A breaker that opens meanwhile counts then."""
FIRST_WAIT_S = 0.5
LONGEST_BACKOFF_S = 30.0
_UNANSWERED = frozenset({"UNKNOWN_METHOD", "NO_SERVER", "NO_SESSION"})
"""Reasons of who asks where nobody guards models: the request goes out."""
_GONE = (HandlerError, RuntimeError)
"""How an ask fails whose call has ended meanwhile: there is nobody to tell then."""
_NEVER_KEPT = ("api_key", "api_base", "base_url", "num_retries", "max_retries", "timeout", "stream", "stream_options")
"""Arguments that say how a request is sent: where to, and with which key, the front knows by the model's name."""

_encode = msgspec.msgpack.Encoder().encode
_begun = msgspec.msgpack.Decoder(Begun).decode
_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request, as far as the front has to know it."""

    size: int
    """Bytes of its text."""
    max_tokens: int | None = None
    answers: int = 1
    images: bool = False
    """Whether the answers are images."""
    digest: bytes = b""
    passed: tuple[tuple[str, str], ...] = ()
    last: bool = True


def sound(code: str, *, waited_in_full: bool = True) -> bool | None:
    """Return whether a provider's failure with this status leaves it sound.

    A provider that refuses a request is sound. One that limits the rate says nothing of others' requests, and one that
    a caller with little time has not waited for is not known.
    """
    if code == "UNAVAILABLE":
        return False
    if code == "DEADLINE_EXCEEDED":
        return False if waited_in_full else None
    return None if code == "RESOURCE_EXHAUSTED" else True


def as_it_is(error: BaseException) -> HandlerError | None:
    """Read a failure that is a HandlerError, or none that the gate knows."""
    return error if isinstance(error, HandlerError) else None


class Gate:
    """One model of the configuration. Safe to use from several threads.

    `sleep` waits between attempts; `clock` is `time.monotonic`, which the front tells the time by as well.
    """

    def __init__(
        self,
        name: str,
        options: ModelOptions,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.options = options
        self.spending = Spending(options)
        self.sleep = sleep
        self._clock = clock
        self.failed_at = 0.0
        """When a request last did not go well, in seconds of `time.monotonic()`."""

    def question(
        self,
        prompt: Any,
        arguments: dict[str, Any] | None = None,
        *,
        max_tokens: int | None,
        answers: int = 1,
        images: bool = False,
        passed: tuple[tuple[str, str], ...] = (),
        last: bool = True,
    ) -> Question:
        """Return what the front is to know: `arguments` are all that the answer depends on; None is never kept."""
        digest = b"" if arguments is None or not self.options.cached else digest_of(arguments)
        return Question(
            size=size_of(prompt),
            max_tokens=max_tokens,
            answers=answers,
            images=images,
            digest=digest,
            passed=passed,
            last=last,
        )

    def visit(
        self, context: CallContext | None, question: Question, read: Callable[[BaseException], HandlerError | None]
    ) -> Visit:
        """Return a request, to be sent as often as it takes; `read` makes out what its failures mean."""
        return Visit(self, context, question, read)

    def asks(self, context: CallContext | None) -> bool:
        """Return whether the front wants to be asked."""
        if context is None or context.asker is None:
            return False
        return bool(self.options.breakers or self.options.asks or context.meta.budget)

    def must_wait(self, context: CallContext | None) -> bool:
        """Return whether the front may let a request wait, or needs its reservation: code on a loop must await that."""
        return self.asks(context) and bool(self.options.asks or (context is not None and context.meta.budget))

    def free(self, context: CallContext) -> bool:
        """Return whether a request may go out unasked: breakers alone guard it, and all were closed a moment ago."""
        sound_at = context.meta.sound_at
        if self.must_wait(context) or not self.failed_at < sound_at:
            return False
        return 0.0 <= self._clock() - sound_at < SOUND_S and BOUNDARY.get() is None

    def tell(self, context: CallContext, end: End) -> None:
        """Tell the front how a request has ended; nobody is left to tell where its call has."""
        if not end.sound:
            self.failed_at = self._clock()
        with suppress(*_GONE):
            context.tell(END, _encode(end))

    def begin(self, context: CallContext, question: Question, flight: int = 0) -> bytes:
        """Return what is asked before an attempt. Raises PRICE_UNKNOWN."""
        tokens, usd = 0, 0.0
        if wanted := context.meta.budget | self.options.reserve:
            read, written = self.spending.expected(question.size, question.max_tokens, question.answers)
            tokens = read + written
            if wanted & DOLLARS:
                images = question.answers if question.images else 0
                usd = self.spending.known_price_usd(read, written, images)
        return _encode(
            Begin(
                self.name,
                context.meta.within,
                tokens,
                usd,
                question.digest,
                flight,
                question.passed,
                question.last,
            )
        )

    @contextmanager
    def guarded(
        self, context: CallContext | None, read: Callable[[BaseException], HandlerError | None]
    ) -> Iterator[None]:
        """Guard a request of code that can not await: by its provider's breakers alone. Raises BREAKER_OPEN."""
        if context is None or not self.asks(context):
            yield
            return
        number, model = 0, self.name if self.free(context) else ""
        if not model:
            try:
                number = _begun(context.ask(BEGIN, self.begin(context, Question(size=0)))).number
            except HandlerError as error:
                if error.reason == "BREAKER_OPEN":
                    raise
        end = End(number, True, model=model)
        try:
            yield
        except Exception as error:
            failure = read(error)
            end = End(number, None if failure is None else sound(failure.code), model=model)
            raise
        finally:
            if number or model:
                self.tell(context, end)


@dataclass(slots=True)
class Visit:
    """One request, with its repeats: `async for attempt in visit:`, `async with attempt:`, and send it in there.

    The loop ends after an attempt that went well. What no repeat may mend is raised, and so is what the front refuses:
    BUDGET_EXCEEDED, BREAKER_OPEN, MODEL_RATE_LIMITED, MODEL_COOLING. Where `answer` is not None it came out of the
    front's cache, and nothing is to be sent. The block writes what it has used and what may be kept.
    """

    gate: Gate
    context: CallContext | None
    question: Question
    read: Callable[[BaseException], HandlerError | None]
    use: Use = field(default_factory=Use)
    answer: bytes | None = None
    keep: bytes = b""
    began: bool = False
    """Whether a part of the answer has gone out to the caller: nothing is repeated then."""
    waited_in_full: bool = True
    attempts: int = 0
    _number: int = 0
    _free: bool = False
    """Whether the front was not asked, but is to be told."""
    _wait_s: float | None = 0.0

    def __aiter__(self) -> Visit:
        return self

    async def __anext__(self) -> Visit:
        if self._wait_s is None:
            raise StopAsyncIteration
        if self._wait_s:
            await self.gate.sleep(self._wait_s)
        self._wait_s = None
        return self

    async def __aenter__(self) -> Visit:
        self.attempts += 1
        self.use = Use()
        if self.context is None or not self.gate.asks(self.context):
            return self
        self._free = self.attempts == 1 and not self.question.passed and self.gate.free(self.context)
        if self._free:
            return self
        body = self.gate.begin(self.context, self.question, self._number)
        try:
            begun = _begun(await self.context.aask(BEGIN, body))
        except HandlerError as error:
            if error.reason not in _UNANSWERED or self.context.meta.budget:
                raise
            return self
        self._number, self.answer = begun.number, begun.answer
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, _where: object) -> bool:
        use = self.use
        if error is None:
            if self.answer is None:
                self.gate.spending.learn(self.question.size, use)
            self._tell(True, answer=self.keep)
            return False
        if not isinstance(error, Exception):
            self._give_up()
            return False
        failure = self.read(error)
        self._wait_s = self._wait_after(failure)
        again = self._wait_s is not None
        verdict = None if failure is None else sound(failure.code, waited_in_full=self.waited_in_full)
        record = b"" if failure is None else _json(failure.to_record())
        self._tell(verdict, failure=record, again=again)
        return again

    def _wait_after(self, failure: HandlerError | None) -> float | None:
        """Return the seconds to wait before the next attempt; None for none.

        What the provider asks for counts, but nothing outlasts the call, nor what the configuration lets a call wait.
        """
        if failure is None or failure.reason != "PROVIDER_ERROR" or failure.code not in RETRIED:
            return None
        if self.began or self.attempts > self.gate.options.max_retries:
            return None
        wait_s = failure.retry_after_s
        if wait_s is None:
            wait_s = float(min(FIRST_WAIT_S * 2 ** (self.attempts - 1), LONGEST_BACKOFF_S))
        remaining = None if self.context is None else self.context.remaining_s()
        if wait_s > self.gate.options.max_wait_s or (remaining is not None and wait_s >= remaining):
            return None
        return wait_s

    def _tell(self, verdict: bool | None, *, answer: bytes = b"", failure: bytes = b"", again: bool = False) -> None:
        use = self.use
        tokens = use.input_tokens + use.output_tokens
        self._told(End(self._number, verdict, True, tokens, use.cost_usd or 0.0, answer, failure, again))

    def _give_up(self) -> None:
        """Tell that nobody waits any more: what was used is not known. The end of the whole call tells by itself."""
        self._told(End(self._number, None, False))

    def _told(self, end: End) -> None:
        if self.context is None:
            return
        if self._free:
            self.gate.tell(self.context, End(0, end.sound, model=self.gate.name))
        elif self._number:
            self.gate.tell(self.context, end)


def digest_of(arguments: dict[str, Any]) -> bytes:
    """Return a digest of all that an answer depends on; empty where that can not be told."""
    known = {key: value for key, value in arguments.items() if key not in _NEVER_KEPT and value is not None}
    try:
        text = json.dumps(known, sort_keys=True, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return b""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _plain(value: Any) -> Any:
    """Return what stands for a value that is not plain. Raises TypeError where nothing does."""
    if isinstance(value, type) and hasattr(value, "model_json_schema"):
        return {"title": value.__qualname__, "schema": value.model_json_schema()}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError
