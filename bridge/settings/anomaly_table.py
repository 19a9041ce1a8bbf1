"""The settings of `[anomalies]`: when something is one, and how often something may be done about it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from bridge.settings.fields import Int, Seconds, Section

LEAST_LOOKS = 12
"""In a window."""


class AnomaliesConfig(Section):
    """When a worker, function or queue is an anomaly. What is done then is up to each pool (`pools.NAME.anomalies`)."""

    interval_s: Seconds = Field(1.0, ge=0.05, description="How often the pools are looked at.")
    window_s: Seconds = Field(
        60.0, ge=1.0, description="What counts as now. Older figures are the past, which fades over ten such times."
    )
    min_samples: Int = Field(
        30, ge=10, le=1000, description="Calls on each side, within `window_s`, before anything is compared."
    )
    latency_ratio: Annotated[float, Field(strict=True, ge=1.2, le=100)] = Field(
        2.0, description="A worker is slow whose calls take so many times what they take on the pool's other workers."
    )
    error_rate: Annotated[float, Field(strict=True, ge=0.1, le=1)] = Field(
        0.5, description="A function fails when this share of its calls does, on all workers, and did not before."
    )
    memory_lead_s: Seconds = Field(
        30.0,
        description="A worker that will reach `memory_limit` within this time, or three times what a start takes, is "
        "running out of memory.",
    )
    breaker_s: Seconds = Field(30.0, description="How long a circuit breaker stays open that an anomaly has opened.")
    cooldown_s: Seconds = Field(
        300.0, description="After an action no other of its kind follows in that pool for so long; twice, if it recurs."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.interval_s > self.window_s / LEAST_LOOKS:
            raise ValueError(
                f"interval_s is {self.interval_s:g}; it must be at most a {LEAST_LOOKS}th of window_s "
                f"({self.window_s:g})"
            )
        return self
