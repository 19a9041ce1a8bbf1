"""ListModels and ListCosts of ModelService as operations, and what comes back as records. Pure."""

from __future__ import annotations

from typing import Any

from bridge_client import convert
from bridge_client.spending_records import Cost, ModelInfo, Spent, StandingBudget
from bridge_client.v1 import model_pb2
from bridge_client.wire import Operation, operation

_LIMITS = ("requests_per_minute", "tokens_per_minute", "max_concurrent")
_FIGURES = (
    *("name", "model", "running", "waiting", "requests_last_minute", "tokens_last_minute", "cooling_s", "requests"),
    *("refused", "cache_ttl_s", "cache_entries", "cache_bytes", "cache_hits", "cache_shared", "cache_misses"),
)
_COST = (
    *("tenant", "function", "model", "requests", "cached_requests", "input_tokens", "output_tokens", "cost_usd"),
    "unpriced_requests",
)


def list_models() -> Operation[tuple[ModelInfo, ...]]:
    """The configured models."""
    return operation("ModelService/ListModels", model_pb2.ListModelsRequest(), model_pb2.ListModelsResponse, _models)


def list_costs(function: str) -> Operation[Spent]:
    """What was spent on them."""
    request = model_pb2.ListCostsRequest(function=function)
    return operation("ModelService/ListCosts", request, model_pb2.ListCostsResponse, _spent)


def _models(reply: model_pb2.ListModelsResponse) -> tuple[ModelInfo, ...]:
    return tuple(_model(one) for one in reply.models)


def _model(message: model_pb2.ModelInfo) -> ModelInfo:
    limits: dict[str, Any] = {name: getattr(message, name) for name in _LIMITS if message.HasField(name)}
    figures = {name: getattr(message, name) for name in _FIGURES}
    return ModelInfo(**{**dict.fromkeys(_LIMITS), **limits, **figures}, fallbacks=tuple(message.fallbacks))


def _spent(reply: model_pb2.ListCostsResponse) -> Spent:
    costs = tuple(Cost(**{name: getattr(one, name) for name in _COST}) for one in reply.costs)
    budgets = tuple(
        StandingBudget(name=one.name, holder=one.holder, ends_at_s=one.ends_at_s, state=convert.budget(one.state))
        for one in reply.budgets
    )
    return Spent(costs=costs, budgets=budgets)
