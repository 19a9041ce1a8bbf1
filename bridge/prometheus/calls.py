"""What calls took, as Prometheus metrics: by function, and by language model. What receipts tell adds up to these.

Owns nothing: the sums are those of `tallies`. Needs the extra `prometheus`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, Metric

from bridge.errors import Code
from bridge.receipts.tallies import Tally
from handlers.contract import UsageRecord
from handlers.usage import total

if TYPE_CHECKING:
    from bridge.receipts.tallies import Tallies

SERIES = 1000
"""Functions, and models, that have series of their own, by the number of calls; the rest counts together."""
OTHER = "other"

_BY_FUNCTION: tuple[tuple[str, str, Callable[[Tally], float]], ...] = (
    ("bridge_request_bytes", "Bytes of request messages.", lambda tally: tally.bytes_in),
    ("bridge_response_bytes", "Bytes of response messages.", lambda tally: tally.bytes_out),
    ("bridge_call_seconds", "Time from the arrival of calls to their replies.", lambda tally: tally.total_s),
    ("bridge_call_queue_seconds", "Of that, time spent waiting for a worker.", lambda tally: tally.queue_s),
    ("bridge_call_worker_seconds", "Of that, time in the worker.", lambda tally: tally.worker_ns / 1e9),
    ("bridge_call_model_seconds", "Time of language-model calls.", lambda tally: tally.model_s),
    (
        "bridge_nested_calls",
        "Calls that other calls made, of those in bridge_calls.",
        lambda tally: tally.nested,
    ),
)
_BY_MODEL: tuple[tuple[str, str, Callable[[UsageRecord], float]], ...] = (
    ("bridge_model_calls", "Requests to language models.", lambda use: use.calls),
    (
        "bridge_model_cached_calls",
        "Of these, those that a cache helped with.",
        lambda use: use.cached_calls,
    ),
    ("bridge_model_unpriced_calls", "Of these, those whose price is not known.", lambda use: use.unpriced_calls),
    ("bridge_model_cost_usd", "Price of the others in US dollars.", lambda use: use.cost_usd or 0.0),
)


def call_families(tallies: Tallies) -> Iterable[Metric]:
    """Return all of them as they stand now."""
    functions = _most_called(tallies.functions)
    calls = CounterMetricFamily(
        "bridge_calls", "Calls that were answered, by function and gRPC status.", labels=("function", "code")
    )
    for function, tally in sorted(functions.items()):
        for code, count in sorted(tally.codes.items()):
            calls.add_metric((function, Code(code).name), count)
    yield calls
    for name, text, of_tally in _BY_FUNCTION:
        family = CounterMetricFamily(name, text, labels=("function",))
        for function, tally in sorted(functions.items()):
            family.add_metric((function,), of_tally(tally))
        yield family
    yield from _models(_most_used(tallies.models))


def _models(models: Mapping[str, UsageRecord]) -> Iterable[Metric]:
    for name, text, of_use in _BY_MODEL:
        family = CounterMetricFamily(name, text, labels=("model",))
        for model, use in sorted(models.items()):
            family.add_metric((model,), of_use(use))
        yield family
    tokens = CounterMetricFamily(
        "bridge_model_tokens",
        "Tokens of prompts (input) and of answers (output); cached are those of the input that the provider had.",
        labels=("model", "kind"),
    )
    for model, use in sorted(models.items()):
        for kind, count in (("cached", use.cached_tokens), ("input", use.input_tokens), ("output", use.output_tokens)):
            tokens.add_metric((model, kind), count)
    yield tokens


def _most_called(functions: Mapping[str, Tally]) -> Mapping[str, Tally]:
    """Return the tallies of so many functions, those that are called most, and of all others together."""
    if len(functions) <= SERIES:
        return functions
    ranked = sorted(functions.items(), key=lambda item: -item[1].calls)
    kept, rest = dict(ranked[:SERIES]), Tally()
    for _, tally in ranked[SERIES:]:
        rest.add(tally)
    return {**kept, OTHER: rest}


def _most_used(models: Mapping[str, UsageRecord]) -> Mapping[str, UsageRecord]:
    if len(models) <= SERIES:
        return models
    ranked = sorted(models.items(), key=lambda item: -item[1].calls)
    return {**dict(ranked[:SERIES]), OTHER: total(OTHER, (use for _, use in ranked[SERIES:]))}
