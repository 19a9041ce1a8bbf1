"""What workers are told of the configured language models. Pure, but for the secrets that it looks up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bridge.config import resolve_secret
from bridge.gateway.limits import Limits
from bridge.gateway.providers import provider_breakers
from handlers.contract import ModelOptions
from handlers.models.gate_wire import DOLLARS, TOKENS

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.settings.model_tables import ModelConfig


def model_options(config: Config, environ: Mapping[str, str]) -> dict[str, ModelOptions]:
    """Return the models of the configuration, their secrets looked up: never log them."""
    breakers = provider_breakers(config.models) if config.breakers.providers.enabled else {}
    stand_ins = {other for model in config.models.values() for other in model.fallbacks}
    return {
        name: ModelOptions(
            model=model.model,
            api_key=None if model.api_key is None else resolve_secret(model.api_key, environ),
            api_base=model.api_base,
            timeout_s=model.timeout_s,
            max_retries=model.max_retries,
            temperature=model.temperature,
            max_tokens=model.max_tokens,
            breakers=breakers.get(name, ()),
            input_price=model.input_price,
            output_price=model.output_price,
            image_price=model.image_price,
            fallbacks=model.fallbacks,
            max_wait_s=model.max_wait_s,
            asks=name in stand_ins or _asks(name, model, config),
            reserve=_reserve(name, model, config),
            cached=model.cache_ttl_s is not None,
        )
        for name, model in config.models.items()
    }


def _asks(name: str, model: ModelConfig, config: Config) -> bool:
    """Return whether the front has anything to say to a request but what breakers and calls' own budgets do."""
    limited = bool(Limits.of(model)) or model.cache_ttl_s is not None or bool(model.fallbacks)
    return limited or any(not rule.models or name in rule.models for rule in config.budgets.values())


def _reserve(name: str, model: ModelConfig, config: Config) -> int:
    rules = [rule for rule in config.budgets.values() if not rule.models or name in rule.models]
    tokens = model.tokens_per_minute is not None or any(rule.tokens is not None for rule in rules)
    dollars = any(rule.usd is not None for rule in rules)
    return TOKENS * tokens + DOLLARS * dollars
