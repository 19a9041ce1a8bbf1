"""Inputs that kill workers: which calls are refused because the same function with the same bytes has killed before.

Pure, fed with times. Owns what is known of such inputs: first suspected, then, after enough deaths, quarantined for a
while. An input that a worker has answered since is cleared: workers die of other causes too, while they run what is
harmless. Nothing is hashed while nothing is suspected, and then only calls of a suspected function and size.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b

from pool.errors import Quarantined

MOST = 256
"""Inputs that are remembered; of more, the oldest suspect is forgotten, or the oldest of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedInput:
    """An input that is refused, as operators see it."""

    function: str
    fingerprint: str
    deaths: int
    left_s: float


@dataclass(slots=True)
class _Input:
    function: str
    size: int
    deaths: int = 0
    until: float = 0.0


class Quarantine:
    """The suspected and quarantined inputs of one pool. `armed` tells whether there are any: else `check` need not be
    asked. An input is refused for `ttl_s` after it has killed `after` workers; 0 refuses none.
    """

    def __init__(self, pool: str, after: int = 0, ttl_s: float = 0.0, exempt: str = "") -> None:
        self._pool = pool
        self._after = after
        self._ttl_s = ttl_s
        self._exempt = exempt
        self._inputs: dict[str, _Input] = {}
        self._sizes: Counter[tuple[str, int]] = Counter()
        self.armed = False

    def configure(self, after: int, ttl_s: float, exempt: str) -> None:
        """Take over changed options. `exempt` is a function that is never suspected: the canary."""
        self._after = after
        self._ttl_s = ttl_s
        self._exempt = exempt

    def killed(self, function: str, body: bytes, now: float) -> bool:
        """Say that a worker died of this input, alone; return whether it is refused from now on."""
        if not self._after or function == self._exempt:
            return False
        self._expire(now)
        fingerprint = fingerprint_of(function, body)
        known = self._inputs.pop(fingerprint, None)
        if known is None:
            if len(self._inputs) >= MOST:
                self._drop(self._least())
            known = _Input(function, len(body))
            self._sizes[function, len(body)] += 1
        self._inputs[fingerprint] = known  # to the end: the oldest are first
        known.deaths += 1
        known.until = now + self._ttl_s
        self.armed = True
        return known.deaths >= self._after

    def survived(self, function: str, body: bytes) -> None:
        """Say that a worker has answered a call: its input does not kill, whatever happened before."""
        if (function, len(body)) in self._sizes:
            self.release(fingerprint_of(function, body))

    def suspects(self, function: str, size: int) -> bool:
        """Return whether a call may have an input that has killed: such a call is to run by itself."""
        return (function, size) in self._sizes

    def check(self, function: str, body: bytes, now: float) -> Quarantined | None:
        """Return why a call is refused, or None."""
        if (function, len(body)) not in self._sizes:
            return None
        fingerprint = fingerprint_of(function, body)
        known = self._inputs.get(fingerprint)
        if known is None:
            return None
        if now >= known.until:
            self._drop(fingerprint)
            return None
        if not self._after or known.deaths < self._after:
            return None
        return Quarantined(self._pool, function, fingerprint, known.deaths, known.until - now)

    def release(self, fingerprint: str) -> bool:
        """Forget an input, so that it is run again; return whether it was known."""
        if fingerprint not in self._inputs:
            return False
        self._drop(fingerprint)
        return True

    def clear(self) -> None:
        """Forget all: the code is another one."""
        self._inputs.clear()
        self._sizes.clear()
        self.armed = False

    def refused(self, now: float) -> tuple[QuarantinedInput, ...]:
        """Return the inputs that are refused, those first that killed last."""
        self._expire(now)
        return tuple(
            QuarantinedInput(function=one.function, fingerprint=key, deaths=one.deaths, left_s=one.until - now)
            for key, one in reversed(self._inputs.items())
            if self._after and one.deaths >= self._after
        )

    def _expire(self, now: float) -> None:
        for fingerprint in [key for key, known in self._inputs.items() if now >= known.until]:
            self._drop(fingerprint)

    def _least(self) -> str:
        suspects = (key for key, known in self._inputs.items() if known.deaths < self._after)
        return next(suspects, None) or next(iter(self._inputs))

    def _drop(self, fingerprint: str) -> None:
        known = self._inputs.pop(fingerprint)
        self._sizes[known.function, known.size] -= 1
        if not self._sizes[known.function, known.size]:
            del self._sizes[known.function, known.size]
        self.armed = bool(self._inputs)


def fingerprint_of(function: str, body: bytes) -> str:
    """Return what names an input: 16 hexadecimal digits of function and request."""
    state = blake2b(function.encode("utf-8", "backslashreplace"), digest_size=8)
    state.update(b"\0")
    state.update(body)
    return state.hexdigest()
