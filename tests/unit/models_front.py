"""The front's gateway without a server, as a worker's calls reach it: for tests of models and of programs."""

from __future__ import annotations

import asyncio

from bridge.asks import Asks
from bridge.call import Identity, new_call
from bridge.config import Config
from bridge.gateway.gateway import Gateway
from bridge.receipts.budgets import Budget
from bridge.routing.breakers import BreakerRule, Breakers
from handlers.context import CallContext
from handlers.contract import CallMeta

RULE = BreakerRule(min_calls=3, open_s=5.0, close_after=1)


class Front:
    """A gateway of `models` (and other tables), whose breakers have a clock that the test turns."""

    def __init__(self, models: dict[str, object], **tables: object) -> None:
        self.now = 0.0
        self.wall = 1_000_000_000.0
        self.sound_at = 0.0
        """What calls are told of when all providers were sound."""
        self.asked: list[str] = []
        self.breakers = Breakers(lambda: self.now, lambda _event: None, lambda _key: RULE)
        self.gateway = Gateway(self.breakers, lambda: self.wall)
        self.renew(models, **tables)
        self._asks = Asks({})
        self._asks.add(*self.gateway.asks())

    def renew(self, models: dict[str, object], **tables: object) -> None:
        self.gateway.renew(Config(models=models, **tables))  # type: ignore[arg-type]

    def call(self, *, budget: Budget | None = None, timeout_s: float = 60.0, **identity: str):
        """A call, as the front has it."""
        known = Identity(identity.pop("request_id", "request"), budget=budget, **identity)  # type: ignore[arg-type]
        return new_call("ModelService/Generate", known, b"", asyncio.get_running_loop().time() + timeout_s)

    def context(self, call=None, **known) -> CallContext:
        """The same, as its worker has it."""
        call = call or self.call(**known)
        bits = 0 if call.identity.budget is None else call.identity.budget.of_models
        meta = CallMeta("ModelService/Generate", budget=bits, sound_at=self.sound_at)
        return CallContext(meta, asker=_Asker(self, call))

    @staticmethod
    def end(call) -> None:
        """End a call as the front does."""
        call.ended_at = 1.0
        if call.inside is not None:
            call.inside.close()

    async def answer(self, call, name, body):
        self.asked.append(name)
        return await self._asks.answer(call, name, body)


class _Asker:
    def __init__(self, front, call) -> None:
        self._front, self.call = front, call

    def ask(self, name, body):
        coroutine = self._front.answer(self.call, name, body)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        raise AssertionError("the answer takes a while")

    async def aask(self, name, body):
        return await self._front.answer(self.call, name, body)

    def tell(self, name, body):
        self.ask(name, body)
