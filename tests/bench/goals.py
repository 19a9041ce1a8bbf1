"""The table of figures: what each name in bench.json compares, what it must reach, and what it aims at.

Every figure is a ratio, so that it can be held against one from another machine. Owns no state; how a figure is
measured is said where it is measured.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure. Without a target it is measured to be looked at."""

    name: str
    what: str
    """Numerator / denominator."""
    target: float | None = None
    aim: float | None = None
    lower_is_better: bool = False

    def reaches(self, value: float, bound: float | None) -> bool | None:
        """Whether a value is as good as the bound; None without one."""
        if bound is None:
            return None
        return value <= bound if self.lower_is_better else value >= bound

    def verdict(self, value: float) -> str:
        """What is to be said of a value, in a word or two."""
        if self.target is None:
            return ""
        if not self.reaches(value, self.target):
            return "MISSED"
        return "aim met" if self.reaches(value, self.aim) else "met"


def _table(*goals: Goal) -> dict[str, Goal]:
    return {goal.name: goal for goal in goals}


GOALS = _table(
    Goal(name="pooled_echo_c16", what="echo in a worker / bare echo, calls/s, 16 in flight", target=0.80, aim=0.87),
    Goal(name="pooled_echo_c64", what="the same, 64 in flight", target=0.80, aim=0.87),
    Goal(name="affinity_echo_c16", what="4 sessions on 4 workers / bare echo, calls/s", target=0.75, aim=0.85),
    Goal(name="native_echo_c16", what="echo in the front / bare echo, calls/s, 16 in flight", target=0.92, aim=0.97),
    Goal(
        name="pooled_p50_c1",
        what="echo in a worker / bare echo, median latency, one at a time",
        target=1.5,
        aim=1.35,
        lower_is_better=True,
    ),
    Goal(name="multiplex_50", what="50 calls a message / bare unary calls, calls/s", target=10.0, aim=20.0),
    Goal(name="stream_single", what="chunks through a worker / bare stream, one a message", target=0.9, aim=1.0),
    Goal(name="stream_aggregated", what="the same, items joined / bare stream", target=3.0, aim=6.0),
    Goal(name="payload_16mib", what="16 MiB echo in a worker / bare echo, calls/s", target=0.5, aim=0.8),
    Goal(name="embed_batched", what="64 callers of one short text, batched / unbatched, texts/s", target=3.0, aim=5.0),
    Goal(name="embed_token_budget", what="mixed lengths, token budget / fixed count, texts/s", target=1.5, aim=2.0),
    Goal(
        name="router_auto",
        what="placement auto / best fixed placement, mean latency of the mixed load",
        target=0.9,
        aim=0.8,
        lower_is_better=True,
    ),
    Goal(
        name="program_p50",
        what="a program's call through the bridge / in plain Python, median latency, model of 0 ms",
        target=1.5,
        aim=1.3,
        lower_is_better=True,
    ),
    Goal(
        name="program_concurrency",
        what="64 callers, a model of 1 s, one worker: calls/s / 64",
        target=0.9,
        aim=0.95,
    ),
    *(
        Goal(
            name=f"client_{name}_p50",
            what=f"a call by the {shown} client / by a bare generated stub, median latency",
            target=1.3,
            aim=1.1,
            lower_is_better=True,
        )
        for name, shown in (
            ("python", "Python"),
            ("python_async", "asyncio"),
            ("typescript", "TypeScript"),
            ("go", "Go"),
            ("elixir", "Elixir"),
        )
    ),
    Goal(name="queue_1000", what="1,000 callers / 16 callers, calls/s in a worker", target=0.9, aim=1.0),
    Goal(
        name="front_memory",
        what="the front's memory after 1,000,000 calls / after 10,000",
        target=1.05,
        aim=1.0,
        lower_is_better=True,
    ),
    Goal(name="pooled_echo_c1", what="echo in a worker / bare echo, calls/s, one at a time"),
    Goal(name="native_echo_c1", what="echo in the front / bare echo, calls/s, one at a time"),
    Goal(name="native_echo_c64", what="the same, 64 in flight"),
    Goal(name="bare_1000", what="bare echo, 1,000 callers / 16, calls/s"),
    Goal(name="payload_1mib", what="1 MiB echo in a worker / bare echo, calls/s"),
    Goal(name="multiplex_50_native", what="50 calls a message in the front / bare unary calls"),
    Goal(name="router_by_hand", what="auto / each function where it does best by itself", lower_is_better=True),
    Goal(name="router_oracle", what="auto / an oracle that knows what each request takes", lower_is_better=True),
    Goal(name="router_prediction_error", what="mean error of predictions / what calls took", lower_is_better=True),
    Goal(name="front_memory_100k", what="the front's memory after 100,000 calls / after 10,000", lower_is_better=True),
)
"""By name; those that must reach something first."""
