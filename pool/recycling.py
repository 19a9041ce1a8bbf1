"""When a worker is to be replaced although nothing is wrong with it: after so many calls, at an age, above a memory.

Owns nothing: the workers' limits are in their runs. That the replacement is ready before the old one leaves is the work
of `pool.places`.
"""

from __future__ import annotations

from collections.abc import Callable

from pool.lifecycle import State
from pool.places import Places

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


class Recycling:
    """Orders replacements in one pool, not many at a time. `target` returns its size, `now` the time on the loop."""

    def __init__(self, places: Places, target: Callable[[], int], now: Callable[[], float]) -> None:
        self._places = places
        self._target = target
        self._now = now

    def look(self) -> None:
        """Have those replaced that are due."""
        room = most_at_once(self._target()) - sum(place.order is not None for place in self._places.all)
        for place in self._places.all:
            run = place.run
            if room <= 0:
                return
            if run is None or run.worker is None or place.order is not None or run.worker.state is not State.READY:
                continue
            calls = run.worker.answered - run.canaries
            age_s = self._now() - run.worker.started_at
            run.recycle = run.recycle or cause_to_recycle(calls, age_s, run.due_calls, run.due_age_s)
            if run.recycle:
                self._places.order(place, run.recycle)
                room -= 1
