"""How many workers a pool is to have: pure, fed with what is seen at each look. Owns what it remembers of the load.

One more where a call has waited too long; one fewer where for a while there was always one to spare. A worker that was
asked for and does not start yet counts: nothing more is asked for meanwhile.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A pool at one look. `waited_s` is how long its oldest waiting call has waited."""

    target: int
    ready: int
    idle: int
    """Ready workers without a call."""
    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What scaling keeps to; times in seconds."""

    least: int
    most: int
    up_wait_s: float
    down_idle_s: float


class Scaling:
    """Decides for one pool."""

    def __init__(self) -> None:
        self._spare_since: float | None = None

    def decide(self, now: float, load: Load, bounds: Bounds) -> tuple[int, str]:
        """Return how many workers there are to be, and why where that is another number than before."""
        wanted = min(max(load.target, bounds.least), bounds.most)
        if wanted != load.target:
            return wanted, f"between {bounds.least} and {bounds.most} workers are allowed"
        if load.waited_s >= bounds.up_wait_s and load.target < bounds.most and load.ready >= load.target:
            self._spare_since = None
            return load.target + 1, f"a call has waited {load.waited_s:.1f} s for a worker"
        if load.idle == 0 or load.waited_s > 0 or load.ready < load.target or load.target <= bounds.least:
            self._spare_since = None
        elif self._spare_since is None:
            self._spare_since = now
        elif now - self._spare_since >= bounds.down_idle_s:
            spare_s, self._spare_since = now - self._spare_since, None
            return load.target - 1, f"a worker could be spared for {spare_s:.0f} s"
        return load.target, ""


class Waits:
    """Knows about how long a call has waited without a clock reading for each: by how many had come at each look."""

    def __init__(self, looks: int = 1024) -> None:
        self._looks: deque[tuple[int, float]] = deque(maxlen=looks)

    def look(self, now: float, arrivals: int, oldest: int | None) -> float:
        """Return how long the call with the number `oldest` has been seen to wait; 0 where none waits."""
        if oldest is None:
            self._looks.clear()
        elif not self._looks or self._looks[-1][0] < arrivals:
            self._looks.append((arrivals, now))
        while len(self._looks) > 1 and oldest is not None and self._looks[0][0] < oldest:
            self._looks.popleft()
        if oldest is None or not self._looks or self._looks[0][0] < oldest:
            return 0.0
        return now - self._looks[0][1]
