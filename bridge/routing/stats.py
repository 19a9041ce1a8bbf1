"""How long calls take on each way, of late: quantiles, failures and prices that fade. Pure; the clock is injected.

Owns the figures of one `RouteStats`, which is bounded. A way is where a call ran or what ran it: "native", "pool/NAME",
or a function that stands in for another. Times go into buckets whose bounds lie 5 % apart, so a quantile is off by at
most 2.5 %. What a time counts is halved as time passes and as others come, whichever is sooner. Knows nothing of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import exp, log

KEYS = 4096
"""Pairs of function and way that are kept, each with up to `CLASSES` sizes; of more, those unused longest go."""
HALF_LIFE_S = 60.0
HALF_LIFE_CALLS = 1000.0
LEAST_S = 1e-7
MOST_S = 1e5
CLASSES = 40
OUTLIER = 10.0
_STEP = log(1.05)
_RESCALE = 1e12
"""Weights grow instead of being faded one by one; from here on they are scaled back."""
_GONE = 100.0
"""What has been halved so often counts for nothing."""
_LOST = 1e-7
"""A bucket that has less of the whole than this is dropped then."""


class Fading:
    """One stream of times: what each counts fades with its age and with the number that came after it."""

    __slots__ = ("_at", "_buckets", "_sum", "_total", "_unit", "half_life_calls", "half_life_s")

    def __init__(self, half_life_s: float = HALF_LIFE_S, half_life_calls: float = HALF_LIFE_CALLS) -> None:
        self.half_life_s = half_life_s
        self.half_life_calls = half_life_calls
        self._buckets: dict[int, float] = {}
        self._unit = 1.0
        """What a time that comes now counts; older ones count less by comparison."""
        self._at = 0.0
        self._total = 0.0
        self._sum = 0.0

    def add(self, seconds: float, now: float) -> None:
        """Take in a time, measured at `now`."""
        if self._total:
            self._age((now - self._at) / self.half_life_s + 1.0 / self.half_life_calls)
        self._at = now
        unit = self._unit
        index = int(log(min(MOST_S, max(LEAST_S, seconds)) / LEAST_S) / _STEP)
        buckets = self._buckets
        buckets[index] = buckets.get(index, 0.0) + unit
        self._total += unit
        self._sum += unit * seconds
        if unit > _RESCALE:
            self._rescale()

    def _age(self, halvings: float) -> None:
        """Let what is known count less, or nothing where that makes no difference."""
        if halvings < _GONE:
            self._unit *= 2.0**halvings
        else:
            self._buckets.clear()
            self._unit, self._total, self._sum = 1.0, 0.0, 0.0

    def _rescale(self) -> None:
        unit, least = self._unit, _LOST * self._total
        self._buckets = {index: weight / unit for index, weight in self._buckets.items() if weight > least}
        self._sum /= unit
        self._total = sum(self._buckets.values())
        self._unit = 1.0

    def samples(self, now: float) -> float:
        """Return how many fresh times what is known is worth: it falls as they grow old."""
        return self._total / self._unit * float(2.0 ** ((self._at - now) / self.half_life_s))

    def weights(self, now: float) -> Iterator[tuple[int, float]]:
        """Yield the buckets, with how many fresh times each is worth."""
        scale = float(2.0 ** ((self._at - now) / self.half_life_s)) / self._unit
        return ((index, weight * scale) for index, weight in self._buckets.items())

    @property
    def mean(self) -> float | None:
        """The mean in seconds; None before the first time."""
        return self._sum / self._total if self._total else None

    @property
    def usual(self) -> float:
        """The mean, in which no time counts as more than `OUTLIER` medians, in seconds; 0 before the first.

        One call that a busy machine held up for a second must not be remembered as what calls take.
        """
        if not self._total:
            return 0.0
        most = OUTLIER * (self.quantile(0.5) or 0.0)
        return sum(min(most, _middle(index)) * weight for index, weight in self._buckets.items()) / self._total

    def quantile(self, q: float) -> float | None:
        """Return the least time that so great a part of all do not exceed, in seconds; None before the first."""
        return self.quantiles((q,))[0] if self._total else None

    def quantiles(self, wanted: tuple[float, ...]) -> tuple[float, ...]:
        """Return several quantiles, which are given in ascending order, in one pass. There must be a time."""
        found: list[float] = []
        reached, index = 0.0, 0
        buckets = self._buckets
        order = iter(sorted(buckets))
        for q in wanted:
            goal = q * self._total * (1 - 1e-9)
            while reached < goal or not reached:
                following = next(order, None)
                if following is None:
                    break
                index = following
                reached += buckets[index]
            found.append(_middle(index))
        return tuple(found)


def joint_quantile(streams: Iterable[Fading], q: float, now: float) -> float | None:
    """Return the least time that so great a part of the times of several streams do not exceed; None for none."""
    joint: dict[int, float] = {}
    for stream in streams:
        for index, weight in stream.weights(now):
            joint[index] = joint.get(index, 0.0) + weight
    if not joint:
        return None
    goal, reached = q * sum(joint.values()) * (1 - 1e-9), 0.0
    for index in sorted(joint):
        reached += joint[index]
        if reached >= goal:
            return _middle(index)
    return _middle(max(joint))


def _middle(index: int) -> float:
    """Return the time that stands for a bucket."""
    return LEAST_S * exp((index + 0.5) * _STEP)


class _Track:
    """What is known of one function on one way."""

    __slots__ = ("by_size", "cost", "failed", "times")

    def __init__(self, half_life_s: float, half_life_calls: float) -> None:
        self.times = Fading(half_life_s, half_life_calls)
        self.by_size: dict[int, Fading] = {}
        self.failed = _Share(half_life_s, half_life_calls)
        self.cost: _Share | None = None


class _Share:
    """A fading mean of numbers."""

    __slots__ = ("_at", "_half_life_calls", "_half_life_s", "_sum", "_weight")

    def __init__(self, half_life_s: float, half_life_calls: float) -> None:
        self._half_life_s = half_life_s
        self._half_life_calls = half_life_calls
        self._at = self._sum = self._weight = 0.0

    def add(self, value: float, now: float) -> None:
        kept = self._kept(now) * 2.0 ** (-1.0 / self._half_life_calls)
        self._sum = self._sum * kept + value
        self._weight = self._weight * kept + 1.0
        self._at = now

    def _kept(self, now: float) -> float:
        return float(2.0 ** ((self._at - now) / self._half_life_s)) if self._weight else 1.0

    def samples(self, now: float) -> float:
        return self._weight * self._kept(now)

    @property
    def mean(self) -> float | None:
        return self._sum / self._weight if self._weight else None


class RouteStats:
    """What is known of functions by way. Times are of calls that went well: failures are often quick."""

    def __init__(
        self,
        now: Callable[[], float],
        *,
        half_life_s: float = HALF_LIFE_S,
        half_life_calls: float = HALF_LIFE_CALLS,
        keys: int = KEYS,
    ) -> None:
        self._now = now
        self._half_life = (half_life_s, half_life_calls)
        self._keys = keys
        self._tracks: dict[tuple[str, str], _Track] = {}

    def observe(
        self, function: str, way: str, *, seconds: float, ok: bool, cost_usd: float | None = None, bytes_in: int = 0
    ) -> None:
        """Take in a call that has ended. With `bytes_in`, the size of its request, its size class is told apart."""
        track = self._tracks.pop((function, way), None)
        if track is None:
            track = self._add()
        self._tracks[function, way] = track  # to the end: the first is the one unused longest
        now = self._now()
        track.failed.add(0.0 if ok else 1.0, now)
        if cost_usd is not None:
            if track.cost is None:
                track.cost = _Share(*self._half_life)
            track.cost.add(cost_usd, now)
        if not ok:
            return
        track.times.add(seconds, now)
        if bytes_in:
            kind = size_class(bytes_in)
            sized = track.by_size.get(kind)
            if sized is None:
                sized = track.by_size[kind] = Fading(*self._half_life)
            sized.add(seconds, now)

    def _add(self) -> _Track:
        if len(self._tracks) >= self._keys:
            del self._tracks[next(iter(self._tracks))]
        return _Track(*self._half_life)

    def quantile(self, function: str, way: str, q: float) -> float | None:
        """Return a quantile of the calls that went well, in seconds; None where there were none."""
        track = self._tracks.get((function, way))
        return None if track is None else track.times.quantile(q)

    def mean(self, function: str, way: str) -> float | None:
        """Return the mean of the calls that went well, in seconds; None where there were none."""
        track = self._tracks.get((function, way))
        return None if track is None else track.times.mean

    def failure_rate(self, function: str, way: str) -> float | None:
        """Return which part of the calls failed; None where there were none."""
        track = self._tracks.get((function, way))
        return None if track is None else track.failed.mean

    def cost_usd(self, function: str, way: str) -> float | None:
        """Return what a call costs on average; None where no price was known."""
        track = self._tracks.get((function, way))
        return None if track is None or track.cost is None else track.cost.mean

    def samples(self, function: str, way: str) -> float:
        """Return how many fresh calls what is known is worth, failed ones included."""
        track = self._tracks.get((function, way))
        return 0.0 if track is None else track.failed.samples(self._now())

    def times(self, function: str, way: str) -> Fading | None:
        """Return the times of a way, of all sizes."""
        track = self._tracks.get((function, way))
        return None if track is None else track.times

    def sizes(self, function: str, way: str) -> dict[int, Fading]:
        """Return the times of a way by size class."""
        track = self._tracks.get((function, way))
        return {} if track is None else track.by_size

    def forget(self, function: str) -> None:
        """Forget a function: its code has changed."""
        for key in [key for key in self._tracks if key[0] == function]:
            del self._tracks[key]


def size_class(size: int) -> int:
    """Return the class of a request of so many bytes: sizes of one class differ by less than a factor of two."""
    return min(CLASSES - 1, size.bit_length())


def class_bounds(kind: int) -> tuple[int, int]:
    """Return the least and the greatest size of a class, in bytes."""
    return (1 << (kind - 1) if kind else 0), (1 << kind) - 1
