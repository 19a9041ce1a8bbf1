"""The circuit breakers of language models' providers: which guard a model, and how requests go through them.

A request to a provider is made in a worker, which asks first and tells then: `bridge.gateway.gateway`. Owns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.routing.breakers import PROVIDER, State, provider_key
from handlers.models import test_model

if TYPE_CHECKING:
    from bridge.routing.breakers import Breakers
    from bridge.settings.model_tables import ModelConfig

Passed = tuple[tuple[str, int, bool], ...]
"""The breakers that a request has passed: key, ticket, and whether it is on trial there."""


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


class ProviderDoor:
    """Lets requests to providers through their breakers, and counts how they end. Owns nothing beside the breakers."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    def enter(self, keys: tuple[str, ...]) -> Passed:
        """Let a request through. Raises BREAKER_OPEN."""
        passed: Passed = ()
        for key in keys:
            try:
                ticket = self._breakers.enter(key)
            except BridgeError:
                for known, number, _ in passed:
                    self._breakers.leave(known, number)
                raise
            passed += ((key, ticket, self._breakers.state(key) is not State.CLOSED),)
        return passed

    def tell(self, passed: Passed, ok: bool | None) -> None:
        """Take in how a request has ended; None says nothing of its provider.

        Of a model's breakers the last counts its calls; another counts one that it let through on trial.
        """
        for index, (key, ticket, on_trial) in enumerate(passed):
            if ok is None or not (on_trial or index == len(passed) - 1):
                self._breakers.leave(key, ticket)
            else:
                self._breakers.record(key, ok, ticket or None)
