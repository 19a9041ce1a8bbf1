"""The figures of language models behind the gateway, and what was spent on them, as Prometheus metrics.

Owns nothing and counts nothing. Labels are names of the configuration and the catalogue, and tenants: those that spend
most have series of their own, the others one together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from bridge.gateway.gateway import Gateway
    from bridge.receipts.costs import Costs

SERIES = 500
"""Tenants, functions and models that have series of their own."""


def model_families(gateway: Gateway, costs: Costs) -> Iterable[Metric]:
    """Return all of them as they stand now."""
    yield from _costs(costs)
    yield from _limits(gateway)
    yield from _caches(gateway)
    fallbacks = CounterMetricFamily(
        "bridge_model_fallbacks",
        "Answers of models that stood in for another, by why that did not answer.",
        labels=("model", "fallback", "reason"),
    )
    for labels, count in sorted(gateway.fallbacks.items()):
        fallbacks.add_metric(labels, count)
    yield fallbacks
    chained = {
        name
        for model in gateway.models.values()
        if model.config is not None and model.config.fallbacks
        for name in (model.name, *model.config.fallbacks)
    }
    cooling = GaugeMetricFamily(
        "bridge_model_cooling", "1 for a model that is passed over since it has failed.", labels=("model",)
    )
    for name, model in sorted(gateway.models.items()):
        if name in chained:
            cooling.add_metric((name,), float(gateway.cooling_s(model) > 0))
    yield cooling


def _costs(costs: Costs) -> Iterator[Metric]:
    labels = ("tenant", "function", "model")
    dollars = CounterMetricFamily(
        "bridge_cost_usd", "Price of requests to language models in US dollars.", labels=labels
    )
    tokens = CounterMetricFamily(
        "bridge_cost_tokens", "Tokens of prompts and answers, by who has used them.", labels=labels
    )
    requests = CounterMetricFamily(
        "bridge_cost_requests", "Requests to language models, by who has made them.", labels=labels
    )
    for spender, use in sorted(costs.top(SERIES).items()):
        dollars.add_metric(spender, use.cost_usd or 0.0)
        tokens.add_metric(spender, use.input_tokens + use.output_tokens)
        requests.add_metric(spender, use.calls)
    yield from (dollars, tokens, requests)


def _limits(gateway: Gateway) -> Iterator[Metric]:
    running = GaugeMetricFamily(
        "bridge_model_running", "Requests that are under way, of a model with limits.", labels=("model",)
    )
    waiting = GaugeMetricFamily(
        "bridge_model_waiting", "Requests that wait for the limits of their model.", labels=("model",)
    )
    limited = CounterMetricFamily(
        "bridge_model_limited",
        "Requests that had to wait for the limits, or were refused.",
        labels=("model", "outcome"),
    )
    for name, model in sorted(gateway.models.items()):
        if model.limiter is not None:
            running.add_metric((name,), model.limiter.window.running)
            waiting.add_metric((name,), model.limiter.waiting)
            limited.add_metric((name, "waited"), model.limiter.waited)
            limited.add_metric((name, "refused"), model.limiter.refused)
    yield from (running, waiting, limited)


def _caches(gateway: Gateway) -> Iterator[Metric]:
    found = CounterMetricFamily(
        "bridge_model_cache_requests",
        "Requests to a model that keeps answers: kept before (hit), asked by another call at the time (shared), asked "
        "(miss).",
        labels=("model", "outcome"),
    )
    size = GaugeMetricFamily("bridge_model_cache_bytes", "Bytes that kept answers take.", labels=("model",))
    for name, model in sorted(gateway.models.items()):
        if model.cache is not None:
            found.add_metric((name, "hit"), model.cache.hits)
            found.add_metric((name, "shared"), model.cache.shared)
            found.add_metric((name, "miss"), model.cache.misses)
            size.add_metric((name,), model.cache.bytes)
    yield from (found, size)
