"""Which functions make workers grow: the memory changes of calls, summed by function.

Owns the sums of a pool, for a bounded number of functions. Fed only with changes that are not 0, so that a call that
leaves memory as it was costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

FUNCTIONS = 256
"""Functions that are remembered at a time; of more, those that changed least are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionGrowth:
    """What calls of one function have added to their workers' resident memory, in bytes."""

    function: str
    grown_bytes: int
    """All changes added up; what a later call gave back is taken off."""
    calls: int
    """Calls that changed something; those that changed nothing are not counted."""


class Growth:
    """The sums of a pool."""

    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}

    def add(self, function: str, change: int) -> None:
        """Add the memory change of a call, in bytes."""
        sums = self._sums.get(function)
        if sums is None:
            if len(self._sums) >= FUNCTIONS:
                self._forget()
            sums = self._sums[function] = [0, 0]
        sums[0] += change
        sums[1] += 1

    def _forget(self) -> None:
        """Forget the half of the functions that changed least."""
        kept = sorted(self._sums.items(), key=lambda item: abs(item[1][0]), reverse=True)[: FUNCTIONS // 2]
        self._sums = dict(kept)

    def top(self, count: int) -> tuple[FunctionGrowth, ...]:
        """Return the functions that added most, the greatest first; none that added nothing."""
        grown = sorted(((sums, name) for name, sums in self._sums.items() if sums[0] > 0), reverse=True)[:count]
        return tuple(FunctionGrowth(function=name, grown_bytes=sums[0], calls=sums[1]) for sums, name in grown)
