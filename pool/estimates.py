"""How long calls take: running estimates from measured service times. Pure; owns the figures of one pool."""

from __future__ import annotations


class ServiceTimes:
    """The service times of a pool. `usual_s` is what a call takes, of whatever function."""

    __slots__ = ("usual_s",)

    def __init__(self) -> None:
        self.usual_s = 0.05

    def observe(self, seconds: float) -> None:
        """Take in a measured service time."""
        self.usual_s += 0.05 * (seconds - self.usual_s)
