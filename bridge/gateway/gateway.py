"""The front's end of `handlers.models.gate`: what a request to a language model must pass before it goes out.

In this order: the answers that are kept, the model's cool-down, the budgets, the limits, the provider's breakers. Each
request that has passed has a lease, which ends with what its worker tells, or with its call. Owns the leases and what
is known of each model; the parts that decide are its own, and pure.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from bridge.errors import BridgeError, Code
from bridge.gateway.cache import Answer, AnswerCache, Flight
from bridge.gateway.limits import Limiter, Limits
from bridge.gateway.providers import ProviderDoor, provider_breakers
from bridge.gateway.standing_budgets import StandingBudgets
from bridge.nested import inside_of
from bridge.receipts.budgets import NOTHING, Amount, pico
from bridge.receipts.spending import asking, reserve, settle
from bridge.telemetry import log
from bridge.v1.common_pb2 import ModelAnswer
from handlers.contract import ErrorRecord
from handlers.errors import HandlerError, of_record
from handlers.models.chain import may_fall
from handlers.models.gate_wire import BEGIN, END, Begin, Begun, End

if TYPE_CHECKING:
    from bridge.asks import AtOnce, Later
    from bridge.call import Call
    from bridge.config import Config
    from bridge.gateway.limits import Entry
    from bridge.gateway.providers import Passed
    from bridge.gateway.standing_budgets import Reservation
    from bridge.routing.breakers import Breakers
    from bridge.settings.model_tables import ModelConfig

ANSWERS = 8
"""Answers of one call whose origin its receipt tells."""
_NAME_CHARACTERS = 48
_begin = msgspec.msgpack.Decoder(Begin).decode
_end = msgspec.msgpack.Decoder(End).decode
_encode = msgspec.msgpack.Encoder().encode
_record = msgspec.json.Decoder(ErrorRecord).decode


class Model:
    """What the front knows of one configured model."""

    def __init__(
        self, name: str, config: ModelConfig | None, keys: tuple[str, ...], clock: Callable[[], float]
    ) -> None:
        self.name = name
        self.config = config
        self.keys = keys
        self.unasked: Passed = tuple((key, 0, False) for key in keys)
        """What a request has passed that went out without asking, while all its breakers were closed."""
        self.requests = 0
        self.cooling_until = 0.0
        self.limiter: Limiter | None = None
        self.cache: AnswerCache | None = None
        self.key_reference = "" if config is None else _told(config.api_key or "")
        self.max_wait_s, self.timeout_s = (0.0, 0.0) if config is None else (config.max_wait_s, config.timeout_s)
        if config is None:
            return
        if limits := Limits.of(config):
            loop = asyncio.get_running_loop()
            self.limiter = Limiter(name, limits, clock, loop.call_later)
        if config.cache_ttl_s is not None:
            self.cache = AnswerCache(config.cache_ttl_s, config.cache_bytes, clock)
        self._print = "\n".join(map(repr, (name, config.model, config.api_base, config.api_key))).encode()

    def key(self, tenant: str, digest: bytes) -> bytes:
        """Return by what an answer is found: the model, its place and its key, who asks, and the question."""
        return hashlib.sha256(b"%b\n%b\n%b" % (self._print, repr(tenant).encode(), digest)).digest()


def _told(reference: str) -> str:
    """Return a reference to a key as callers may see it: of a key itself, only what tells it apart."""
    if not reference.startswith("literal:"):
        return reference
    return f"literal:{hashlib.sha256(reference.encode()).hexdigest()[:8]}"


class Lease:
    """One request that goes out, or has."""

    __slots__ = (
        "caller",
        "ended",
        "entry",
        "flight",
        "gateway",
        "last",
        "model",
        "number",
        "of_call",
        "passed",
        "past",
        "standing",
    )

    def __init__(
        self, gateway: Gateway, number: int, caller: Call, model: Model, past: tuple[tuple[str, str], ...]
    ) -> None:
        self.gateway = gateway
        self.number = number
        self.caller = caller
        self.model = model
        self.past = past
        """The models that were to answer before it."""
        self.last = True
        """Whether no other model is asked after it."""
        self.flight: Flight | None = None
        self.of_call = 0
        """The reservation of its call's budget."""
        self.standing: Reservation = []
        self.entry: Entry | None = None
        self.passed: Passed = ()
        """The breakers that it has passed."""
        self.ended = False

    def abandon(self) -> None:
        """End it, as its call has ended without a word of it."""
        self.gateway.end(self, End(self.number, None, False))


class Gateway:
    """Answers workers that are about to ask a language model, or have. `wall` tells seconds since 1970."""

    def __init__(self, breakers: Breakers, wall: Callable[[], float] = time.time) -> None:
        self._clock = asyncio.get_running_loop().time
        self._door = ProviderDoor(breakers)
        self._numbers = itertools.count(1)
        self._leases: dict[int, Lease] = {}
        self.models: dict[str, Model] = {}
        self.budgets = StandingBudgets(wall)
        self.fallbacks: Counter[tuple[str, str, str]] = Counter()
        """Answers of models that stood in: by the model that was to answer, the one that did, and the reason."""

    def renew(self, config: Config) -> None:
        """Take over the models of a configuration; what is known of one that stays as it was is kept."""
        keys = provider_breakers(config.models) if config.breakers.providers.enabled else {}
        old, self.models = self.models, {}
        for name, model in config.models.items():
            known = old.get(name)
            if known is None or (known.config, known.keys) != (model, keys.get(name, ())):
                known = Model(name, model, keys.get(name, ()), self._clock)
            self.models[name] = known
        self.budgets.renew(config.budgets)

    def asks(self) -> tuple[Mapping[str, Later], Mapping[str, AtOnce]]:
        """Return the answers by name: those that may take a while, and the others."""
        return {BEGIN: self._begin}, {END: self._end}

    def cooling_s(self, model: Model) -> float:
        """Return for how long a model is passed over."""
        return max(0.0, model.cooling_until - self._clock())

    def _begin(self, outer: Call, body: bytes) -> bytes | Awaitable[bytes]:
        asked = _begin(body)
        caller = asking(outer, asked.within)
        if caller.ended_at:
            raise BridgeError(Code.CANCELLED, "CALLER_ENDED", "the call that asks has ended")
        model = self.models.get(asked.model) or Model(asked.model, None, (), self._clock)
        lease = Lease(self, next(self._numbers), caller, model, asked.passed)
        lease.last = asked.last
        before = self._leases.pop(asked.flight, None)
        if before is not None:
            inside_of(before.caller).leases.discard(before)
            lease.flight, before.flight = before.flight, None
        elif asked.digest and model.cache is not None:
            return self._kept_or_passed(lease, asked, model.cache)
        if model.limiter is not None:
            return self._passed_in_turn(lease, asked, model.limiter)
        return self._passed(lease, asked)

    async def _kept_or_passed(self, lease: Lease, asked: Begin, cache: AnswerCache) -> bytes:
        answer = await self._kept(lease.model, cache, lease, asked.digest)
        if answer is not None:
            return _encode(Begun(0, answer.data))
        if lease.model.limiter is not None:
            return await self._passed_in_turn(lease, asked, lease.model.limiter)
        return self._passed(lease, asked)

    def _passed(self, lease: Lease, asked: Begin) -> bytes:
        """Let a request pass all that may keep it back. Raises BridgeError where something does."""
        try:
            self._reserve(lease, asked)
            lease.passed = self._door.enter(lease.model.keys)
        except BaseException:
            self._undo(lease)
            raise
        return self._let_go(lease)

    async def _passed_in_turn(self, lease: Lease, asked: Begin, limiter: Limiter) -> bytes:
        """Do as `_passed` where requests may have to wait."""
        try:
            self._reserve(lease, asked)
            patience_s = min(lease.model.max_wait_s, lease.caller.deadline - self._clock())
            lease.entry = await limiter.enter(asked.tokens, patience_s)
            lease.passed = self._door.enter(lease.model.keys)
        except BaseException:
            self._undo(lease)
            raise
        return self._let_go(lease)

    def _let_go(self, lease: Lease) -> bytes:
        lease.model.requests += 1
        self._leases[lease.number] = lease
        inside_of(lease.caller).leases.add(lease)
        return _encode(Begun(lease.number))

    async def _kept(self, model: Model, cache: AnswerCache, lease: Lease, digest: bytes) -> Answer | None:
        """Return the answer to a question that was asked before, or is being asked; None where it is to be asked."""
        caller = lease.caller
        before = cache.shared
        key = model.key(caller.identity.tenant, digest)
        patience_s = min(model.timeout_s, caller.deadline - self._clock())
        found: Answer | Flight | None = None
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, patience_s)):
                found = await cache.find(key, caller.identity.request_id)
        if not isinstance(found, Answer):
            lease.flight = found
            return None
        age_s = self._clock() - found.made_at
        self._note(lease, "cache" if cache.shared == before else "shared", age_s, found.origin)
        return found

    def _reserve(self, lease: Lease, asked: Begin) -> None:
        """Reserve what a request may use. Raises BridgeError where there is no such room, or its model is cooling."""
        model, caller = lease.model, lease.caller
        cooling_s = self.cooling_s(model)
        if cooling_s and not asked.last:
            message = f"the model '{model.name}' has failed lately, and is passed over for {cooling_s:.1f} s"
            raise BridgeError(
                Code.UNAVAILABLE, "MODEL_COOLING", message, metadata={"model": model.name}, retry_after_s=cooling_s
            )
        lease.of_call = reserve(caller, lease.number, asked.tokens, asked.usd)
        lease.standing = self.budgets.reserve(caller.identity, model.name, model.key_reference, asked.tokens, asked.usd)

    def _undo(self, lease: Lease) -> None:
        """Give back what a request has that does not go out."""
        settle(lease.caller, lease.of_call, 0, 0.0)
        self.budgets.settle(lease.standing, NOTHING)
        if lease.entry is not None and lease.model.limiter is not None:
            lease.model.limiter.leave(lease.entry, 0)
        self._land(lease, b"", None)

    def _end(self, _outer: Call, body: bytes) -> bytes:
        told = _end(body)
        if told.model:
            if (model := self.models.get(told.model)) is not None:
                model.requests += 1
                self._door.tell(model.unasked, told.sound)
            return b""
        lease = self._leases.get(told.number)
        if lease is not None and not lease.ended:
            self.end(lease, told)
        return b""

    def end(self, lease: Lease, told: End) -> None:
        """Settle what a request had reserved, count how it went, and give its answer to who waits for it."""
        failure = of_record(_record(told.failure)) if told.failure else None
        if not lease.ended:
            lease.ended = True
            self._settle(lease, told)
            if told.sound and failure is None and lease.past:
                self._note(lease, "fallback", 0.0, "")
        if told.again:
            return  # the next attempt takes the flight over
        self._leases.pop(lease.number, None)
        inside_of(lease.caller).leases.discard(lease)
        self._land(lease, told.answer, failure)
        if failure is not None and not lease.last:
            self._cool(lease.model, failure)

    def _settle(self, lease: Lease, told: End) -> None:
        self._door.tell(lease.passed, told.sound)
        if told.known:
            settle(lease.caller, lease.of_call, told.tokens, told.usd)
        spent = Amount(1, max(0, told.tokens), pico(max(0.0, told.usd))) if told.known else None
        self.budgets.settle(lease.standing, spent)
        if lease.entry is not None and lease.model.limiter is not None:
            lease.model.limiter.leave(lease.entry, told.tokens if told.known else None)

    def _land(self, lease: Lease, answer: bytes, failure: HandlerError | None) -> None:
        """Let who waits for the same answer have it, or the provider's failure; else one of them asks."""
        flight, lease.flight = lease.flight, None
        cache = lease.model.cache
        if flight is None or cache is None:
            return
        if failure is not None and failure.reason == "PROVIDER_ERROR" and failure.code != "DEADLINE_EXCEEDED":
            cache.failed(flight, failure)
        else:
            cache.answered(flight, answer)

    def _cool(self, model: Model, failure: HandlerError) -> None:
        """Pass over a model that has failed, where others stand in for it."""
        if model.config is None or failure.reason != "PROVIDER_ERROR" or not may_fall(failure, None):
            return
        seconds = max(model.config.cooldown_s, failure.retry_after_s or 0.0)
        if seconds and not self.cooling_s(model):
            message = f"model passed over for {seconds:g} s where others stand in for it: {failure}"
            log(logging.WARNING, message, model=model.name)
        model.cooling_until = max(model.cooling_until, self._clock() + seconds)

    def _note(self, lease: Lease, cause: str, age_s: float, origin: str) -> None:
        """Tell the call's receipt where an answer came from."""
        if lease.past:
            first, reason = lease.past[0]
            self.fallbacks[first, lease.model.name, reason] += 1
        answers = inside_of(lease.caller).answers
        if len(answers) < ANSWERS:
            answers.append(
                ModelAnswer(
                    model=lease.model.name[:_NAME_CHARACTERS],
                    cause=cause,
                    passed=[f"{name[:_NAME_CHARACTERS]}: {reason[:_NAME_CHARACTERS]}" for name, reason in lease.past],
                    age_ms=int(max(0.0, age_s) * 1000),
                    origin_request_id=origin[:_NAME_CHARACTERS],
                )
            )
