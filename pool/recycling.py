"""When a worker is to be replaced although nothing is wrong with it: after so many calls, at an age, above a memory.

Pure; that the replacement is ready before the old one leaves is the work of `pool.places`.
"""

from __future__ import annotations

from collections.abc import Callable

JITTER = 0.1
"""A limit is met up to so much earlier, by chance, so that workers which started together do not all go together."""

SHARE = 4
"""One worker in so many is replaced at a time."""


def jittered(limit: float | None, random: Callable[[], float]) -> float | None:
    """Return a limit for one worker: at most `JITTER` less."""
    return None if limit is None else limit * (1.0 - JITTER * random())


def cause_to_recycle(calls: int, age_s: float, due_calls: float | None, due_age_s: float | None) -> str:
    """Return why a worker is to be replaced, or nothing."""
    if due_calls is not None and calls >= due_calls:
        return f"it has answered {calls} calls"
    if due_age_s is not None and age_s >= due_age_s:
        return f"it is {age_s:.0f} s old"
    return ""


def most_at_once(target: int) -> int:
    """Return how many workers of a pool may be replaced at a time: each costs the memory of one more."""
    return max(1, target // SHARE)
