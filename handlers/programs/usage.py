"""What a running program uses: tokens, model calls and their time, and money where DSPy knows the price.

Owns the counts of one call. DSPy reports to it in three ways: tokens through its usage tracker, calls and times through
callbacks, prices through the history entries of the served models. It must not know about requests or programs.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
from dspy.utils.callback import BaseCallback
from dspy.utils.usage_tracker import UsageTracker

from handlers.contract import ToolRecord, UsageRecord

if TYPE_CHECKING:
    from handlers.context import CallContext

LAST_STEPS = frozenset(("finish", "submit"))
"""Tools by which agents of DSPy say that they are done."""


@dataclass(slots=True)
class _Calls:
    count: int = 0
    seconds: float = 0.0
    priced: int = 0
    cached: int = 0
    cost_usd: float = 0.0


@dataclass(slots=True)
class _Tool:
    count: int = 0
    failed: int = 0
    seconds: float = 0.0


class ToolFailure(str):
    """What a model is told of a call of a tool that failed."""

    __slots__ = ()


class Meter(BaseCallback):  # type: ignore[misc]  # dspy has no types
    """Counts one call's use of models, nested programs and threads included."""

    def __init__(self) -> None:
        self.tracker = UsageTracker()
        self._calls: dict[str, _Calls] = defaultdict(_Calls)
        self._tools: dict[str, _Tool] = defaultdict(_Tool)
        self._running: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Note when a model call starts."""
        self._running[call_id] = (str(instance.model), time.monotonic())

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Count a model call, whether it succeeded, failed or was cancelled."""
        model, started = self._running.pop(call_id)
        with self._lock:
            calls = self._calls[model]
            calls.count += 1
            calls.seconds += time.monotonic() - started

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Note when a call of a tool starts."""
        if instance.name not in LAST_STEPS:
            self._running[call_id] = (str(instance.name), time.monotonic())

    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """Count a call of a tool."""
        if (begun := self._running.pop(call_id, None)) is None:
            return
        with self._lock:
            tool = self._tools[begun[0]]
            tool.count += 1
            tool.failed += exception is not None or isinstance(outputs, ToolFailure)
            tool.seconds += time.monotonic() - begun[1]

    def add_call(self, model: str, cost_usd: float | None, cached_tokens: int) -> None:
        """Add what only a served model tells of one call; a price of None is one that is not known."""
        with self._lock:
            calls = self._calls[model]
            calls.cached += cached_tokens > 0
            if cost_usd is not None:
                calls.priced += 1
                calls.cost_usd += cost_usd

    def add_kept(self, model: str) -> None:
        """Add an answer that the front had kept: it costs nothing, and its tokens were another call's."""
        with self._lock:
            calls = self._calls[model]
            calls.count += 1
            calls.cached += 1
            calls.priced += 1

    def records(self) -> tuple[UsageRecord, ...]:
        """Return what was used so far, one record per model."""
        return tuple(record for record, _ in self._counted())

    def settle(self, context: CallContext) -> None:
        """Record everything into the call's receipt. Call it once, at the end, also after a failure."""
        if self._tools:
            used = sorted(self._tools.items())
            context.record_tools(tuple(ToolRecord(name, one.count, one.failed, one.seconds) for name, one in used))
        for record, seconds in self._counted():
            context.record_usage(record, seconds)

    def _counted(self) -> list[tuple[UsageRecord, float]]:
        """Return what was used of each model, and the seconds that it took."""
        tokens = self.tracker.get_total_tokens()
        with self._lock:
            models = sorted({*tokens, *self._calls})
            return [_record(model, tokens.get(model, {}), self._calls[model]) for model in models]


def _record(model: str, used: dict[str, Any], calls: _Calls) -> tuple[UsageRecord, float]:
    record = UsageRecord(
        model=model,
        calls=calls.count,
        input_tokens=_count(used, "prompt_tokens"),
        output_tokens=_count(used, "completion_tokens"),
        cached_tokens=cached_tokens(used),
        cost_usd=calls.cost_usd if calls.priced else None,
        cached_calls=calls.cached,
        unpriced_calls=max(0, calls.count - calls.priced),
    )
    return record, calls.seconds


def current_meter() -> Meter | None:
    """Return the meter of the call that runs here, if there is one."""
    callbacks = dspy.settings.get("callbacks") or []
    return next((callback for callback in callbacks if isinstance(callback, Meter)), None)


def tokens(usage: dict[str, Any]) -> tuple[int, int]:
    """Return how many tokens a prompt had, and its answer."""
    return _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")


def cached_tokens(usage: dict[str, Any]) -> int:
    """Return how many tokens of a prompt its provider had cached."""
    return _count(usage.get("prompt_tokens_details") or {}, "cached_tokens")


def _count(usage: dict[str, Any], name: str) -> int:
    value = usage.get(name)
    return int(value) if isinstance(value, int | float) else 0
