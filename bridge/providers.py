"""The circuit breakers of language models' providers: which guard a model, and the front's end of `models.guard`.

A request to a provider is made in a worker, which asks first and tells then. Owns the trials that workers have been
let through for: one whose call has ended without a word is given back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from bridge.breakers import PROVIDER, State, provider_key
from bridge.errors import BridgeError
from handlers.models import test_model
from handlers.models.guard import ENTER, TOLD

if TYPE_CHECKING:
    from bridge.asks import AtOnce
    from bridge.breakers import Breakers
    from bridge.call import Call
    from bridge.settings.model_tables import ModelConfig

_Told = tuple[list[tuple[str, int]], bool | None]
_keys = msgspec.msgpack.Decoder(list[str]).decode
_told = msgspec.msgpack.Decoder(_Told).decode
_encode = msgspec.msgpack.Encoder().encode


def provider_breakers(models: Mapping[str, ModelConfig]) -> dict[str, tuple[str, ...]]:
    """Return the keys of the breakers that guard each model, the one that counts its calls last; none for test models.

    Models of one provider share a breaker, `provider/NAME`. A model with an `api_base` has one beside it that it shares
    with those at the same place, named after the first of them: `provider/NAME@MODEL`.
    """
    found: dict[str, tuple[str, ...]] = {}
    places: dict[str, str] = {}
    for name, model in models.items():
        provider = model.model.partition("/")[0]
        if model.model == test_model.NAME:
            continue
        keys = [provider_key(provider)]
        if model.api_base is not None:
            keys.append(provider_key(f"{provider}@{places.setdefault(model.api_base, name)}"))
        found[name] = tuple(keys)
    return found


def provider_places(models: Mapping[str, ModelConfig]) -> dict[str, str]:
    """Return the name of the breaker that counts each model's calls, without its kind, as failures name the model."""
    keys = provider_breakers(models)
    return {f"models.{name}": found[-1].removeprefix(PROVIDER) for name, found in keys.items()}


class ProviderAsks:
    """Answers workers that are about to ask a provider, or have."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers
        self._trials: dict[tuple[str, int], Call] = {}

    def asks(self) -> dict[str, AtOnce]:
        """Return the answers by name."""
        return {ENTER: self._enter, TOLD: self._tell}

    def _enter(self, call: Call, body: bytes) -> bytes:
        """Let a request through, or raise BREAKER_OPEN; the answer has pairs of key and ticket."""
        self._give_back()
        passed: list[tuple[str, int]] = []
        for key in _keys(body):
            try:
                ticket = self._breakers.enter(key)
            except BridgeError:
                for other, known in passed:
                    self._leave(other, known)
                raise
            passed.append((key, ticket))
            if self._breakers.state(key) is not State.CLOSED:
                self._trials[key, ticket] = call
        return _encode(passed)

    def _tell(self, _call: Call, body: bytes) -> bytes:
        """Take in how a request has ended, or a stream broken (its ticket is 0); None says nothing of its provider."""
        passed, ok = _told(body)
        for index, (key, ticket) in enumerate(passed):
            on_trial = self._trials.pop((key, ticket), None) is not None
            counts = on_trial or index == len(passed) - 1
            if ok is None or not counts:
                self._breakers.leave(key, ticket)
            else:
                self._breakers.record(key, ok, ticket or None)
        return b""

    def _leave(self, key: str, ticket: int) -> None:
        self._trials.pop((key, ticket), None)
        self._breakers.leave(key, ticket)

    def _give_back(self) -> None:
        """Give back the trials of calls that have ended: cancelled ones, and those of workers that died."""
        for (key, ticket), call in list(self._trials.items()):
            if call.ended_at:
                self._leave(key, ticket)
