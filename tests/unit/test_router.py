"""Where a call runs, and that the reason is told: every way the decision can fall."""

import pytest

from bridge.routing.router import Measured, Native, NativeLimits, Pooled, Router
from handlers.contract import FunctionSpec

LIMITS = NativeLimits(max_request_bytes=1000, concurrency=4)


class Auto:
    """Decides by the size alone."""

    def decide(self, spec, request_bytes, running):
        return Measured("" if request_bytes < 10 else spec.pool, f"{spec.name}, {running} running")


def spec(placement, pool="general", name="f"):
    return FunctionSpec(name=name, placement=placement, pool=pool)


@pytest.mark.parametrize(
    ("placement", "size", "running", "expected"),
    [
        ("pooled", 0, 0, Pooled("general", "declared pooled")),
        ("pooled", 10**9, 100, Pooled("general", "declared pooled")),
        ("native", 0, 0, Native("declared native")),
        ("native", 1000, 3, Native("declared native")),
        (
            "native",
            1001,
            0,
            Pooled("general", "declared native, but its request of 1001 bytes is over 1000"),
        ),
        ("native", 10, 4, Pooled("general", "declared native, but 4 native calls run already")),
        ("native", 10, 5, Pooled("general", "declared native, but 5 native calls run already")),
    ],
)
def test_the_decision_and_its_reason(placement, size, running, expected):
    assert Router(LIMITS, Auto()).decide(spec(placement), size, running) == expected


def test_decisions_are_kept_per_function():
    router = Router(LIMITS, Auto())
    first = router.decide(spec("pooled", "llm", "a"), 1, 0)
    other = router.decide(spec("pooled", "embeddings", "b"), 1, 0)
    assert (first.pool, other.pool) == ("llm", "embeddings")
    assert router.decide(spec("pooled", "llm", "a"), 2, 1) is first


def test_functions_that_are_placed_by_measurement_are_asked_about_for_each_call():
    router = Router(LIMITS, Auto())
    assert router.decide(spec("auto"), 5, 2) == Measured("", "f, 2 running")
    assert router.decide(spec("auto"), 50, 3) == Measured("general", "f, 3 running")
