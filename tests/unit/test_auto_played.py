"""Placement by measurement against fixed placements and an oracle, on a front that is played in virtual time.

The front is one server with a queue: a native call holds it up for as long as it runs. Workers are others. Each call
costs the front a little at its begin and end, and more where it goes to a worker. Who places a call is an argument of
the play; `auto` is the placement of the bridge itself, with all that it measures.
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
from collections import deque
from dataclasses import dataclass, field

import pytest

from bridge.auto.runner import AutoPlacement
from bridge.routing.router import NativeLimits
from handlers.contract import FunctionSpec

CALL_S, HOP_S, TRANSIT_S = 100e-6, 50e-6, 60e-6
TICK_S, WEIGHT = 0.02, 0.2
LIMITS = NativeLimits(max_request_bytes=65_536, concurrency=64, max_p99_s=0.005)


@dataclass(eq=False)
class Call:
    """One call; `takes_s` is how long it runs, wherever it does."""

    caller: int | None
    function: str
    size: int
    takes_s: float
    came_at: float
    native: bool = False
    sent_at: float = 0.0
    started_at: float = 0.0
    predicted_wait_s: float = 0.0


@dataclass
class Load:
    """What `FrontLoad` tells, of the played front."""

    busy: float = 0.0
    calls_per_s: float = 0.0
    lag_s: float = 0.0
    turn_s: float = 0.0

    def touch(self):
        pass


@dataclass
class Pool:
    """What the placement sees of a pool."""

    workers: int
    idle: int
    usual_s: float = 0.05
    queue: deque = field(default_factory=deque)

    @property
    def wait_s(self):
        return 0.0 if self.idle else (len(self.queue) + 1) * self.usual_s / self.workers


class Played:
    """One run. `draw` makes (function, bytes, seconds) of a random generator; `place` says whether a call is native."""

    def __init__(self, draw, place, *, callers=16, pause_s=0.005, workers=2, seed=1):
        self.now = 0.0
        self.done: list[Call] = []
        self.latencies: list[float] = []
        self.pool = Pool(workers, workers)
        self.load = Load()
        self.placement = AutoPlacement({"general": self.pool}, LIMITS, self.load, lambda: self.now)
        self._draw, self._place, self._pause_s = draw, place, pause_s
        self._chance = random.Random(seed)
        self._events = []
        self._numbers = itertools.count()
        self._front = deque()
        self._working = False
        self._worked_s = self._native_s = 0.0
        self._turn = 0
        for number in range(callers):
            self._after(self._chance.expovariate(1 / pause_s), self._come, number)
        self._after(TICK_S, self._tick)

    def _after(self, seconds, what, *arguments):
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), what, arguments))

    def run(self, seconds):
        while self._events and self._events[0][0] < seconds:
            self.now, _, what, arguments = heapq.heappop(self._events)
            what(*arguments)
        return self

    def mean_s(self, warm_s=2.0):
        """The mean latency of the calls that came after a while."""
        return statistics.fmean(
            latency for call, latency in zip(self.done, self.latencies, strict=True) if call.came_at > warm_s
        )

    def _tick(self):
        busy = min(1.0, self._worked_s / TICK_S)
        calls = max(0.0, self._worked_s - self._native_s) / 150e-6
        self._worked_s = self._native_s = 0.0
        load = self.load
        load.busy += WEIGHT * (busy - load.busy)
        load.calls_per_s += WEIGHT * (calls / TICK_S - load.calls_per_s)
        load.lag_s += WEIGHT * (sum(work[0] for work in self._front) - load.lag_s)
        self._after(TICK_S, self._tick)

    def _come(self, caller):
        function, size, takes_s = self._draw(self._chance)
        call = Call(caller, function, size, takes_s, self.now)
        self._give_front(CALL_S / 2, self._begin, call)

    def _give_front(self, seconds, what, call):
        self._front.append((seconds, what, call))
        self._work()

    def _work(self):
        """Let the front take the next of what waits for it; what has come by then belongs to one turn of its loop."""
        if self._working or not self._front:
            return
        if self._turn <= 0:
            self._turn, self.load.turn_s = len(self._front), 0.0
        self._turn -= 1
        seconds, what, call = self._front.popleft()
        more_s, following = what(call)
        self._working = True
        self._worked_s += seconds + more_s
        self._after(seconds + more_s, self._worked, following)

    def _worked(self, following):
        self._working = False
        if following is not None:
            what, *arguments = following
            what(*arguments)
        self._work()

    def _begin(self, call):
        call.native = self._place(self, call)
        if not call.native:
            return HOP_S / 2, (self._send, call)
        known, figures = self.known(call), self.placement.figures
        figures.ran_native(call.function, call.size, call.takes_s)
        if call.takes_s > LIMITS.max_p99_s:
            figures.overran(known)
        self.load.turn_s += call.takes_s
        self._native_s += call.takes_s
        return call.takes_s, (self._give_front, CALL_S / 2, self._end, call)

    def known(self, call):
        return self.placement.figures.known(call.function, "general", call.size)

    def _send(self, call):
        call.sent_at, call.predicted_wait_s = self.now, self.pool.wait_s
        if self.pool.idle:
            self.pool.idle -= 1
            self._start(call)
        else:
            self.pool.queue.append(call)

    def _start(self, call):
        call.started_at = self.now
        self._after(TRANSIT_S + call.takes_s, self._served, call)

    def _served(self, call):
        self.pool.usual_s += 0.05 * (call.takes_s - self.pool.usual_s)
        if self.pool.queue:
            self._start(self.pool.queue.popleft())
        else:
            self.pool.idle += 1
        self._give_front(CALL_S / 2 + HOP_S / 2, self._end, call)

    def _end(self, call):
        self.done.append(call)
        self.latencies.append(self.now - call.came_at)
        if not call.native:
            waited_s = call.started_at - call.sent_at
            on_way_s = self.now - call.started_at - call.takes_s
            self.placement.figures.ran_pooled(call.function, "general", call.size, call.takes_s, on_way_s)
            if call.predicted_wait_s:
                self.placement.waits.learn("general", call.predicted_wait_s, waited_s)
        return 0.0, (self._after, self._chance.expovariate(1 / self._pause_s), self._come, call.caller)


def auto(played, call):
    """Place a call as the bridge does."""
    spec = FunctionSpec(name=call.function, placement="auto", pool="general")
    return not played.placement.decide(spec, call.size, 0).pool


def native(played, call):
    return True


def pooled(played, call):
    return False


def oracle(limit_s):
    """Place a call by what it really takes."""
    return lambda played, call: call.takes_s <= limit_s


ORACLES = (0.0003, 0.001, 0.003)


def mixed(chance):
    """Mostly trifles; some that grow with their text, or with its square; a few that are always slow."""
    draw = chance.random()
    if draw < 0.65:
        length = 20 * 6 ** chance.random()
        return "slug", int(40 + length), 30e-6 + length * 5e-8
    if draw < 0.87:
        length = 100 * 400 ** chance.random()
        return "statistics", int(40 + length), 30e-6 + length * 80e-9
    if draw < 0.98:
        left, right = (8 * 31 ** chance.random() for _ in range(2))
        return "distance", int(40 + left + right), 30e-6 + left * right * 150e-9
    length = 2000 * 2 ** chance.random()
    return "report", int(40 + length), length * 7e-6


def mean_s(place, **options):
    return statistics.fmean(Played(mixed, place, seed=seed, **options).run(8.0).mean_s() for seed in (1, 2))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"callers": 16, "pause_s": 0.015}, id="16 callers"),
        pytest.param({"callers": 16, "pause_s": 0.005}, id="16 busy callers"),
        pytest.param({"callers": 16, "pause_s": 1e-6}, id="16 callers without a pause"),
        pytest.param({"callers": 16, "pause_s": 0.005, "workers": 4}, id="4 workers"),
    ],
)
def test_it_beats_fixed_placements_and_comes_near_to_an_oracle(options):
    found = mean_s(auto, **options)
    assert found <= 0.9 * min(mean_s(native, **options), mean_s(pooled, **options))
    assert found <= 1.1 * min(mean_s(oracle(limit_s), **options) for limit_s in ORACLES)


def test_a_caller_by_itself_loses_next_to_nothing():
    options = {"callers": 1, "pause_s": 0.001}
    assert mean_s(auto, **options) <= 1.05 * min(mean_s(native, **options), mean_s(pooled, **options))


def test_hardly_a_slow_call_gets_into_the_front():
    played = Played(mixed, auto).run(20.0)
    slow = [call for call in played.done if call.takes_s > LIMITS.max_p99_s]
    let_in = [call for call in slow if call.native]
    assert len(slow) > 100
    assert len(let_in) <= 0.01 * len(slow)
    assert statistics.fmean(call.native for call in played.done) > 0.5


def test_a_function_that_becomes_slow_leaves_the_front_at_once():
    """Four in five are slow from a moment on; nothing in their requests tells."""
    slow_from = 5000

    def draw(chance):
        draw.calls += 1
        slow = draw.calls > slow_from and chance.random() < 0.8
        return "f", 100, 0.02 if slow else 0.0001

    draw.calls = 0
    played = Played(draw, auto).run(20.0)
    slow = [call for call in played.done if call.takes_s > 0.01]
    assert any(call.native for call in played.done if call.takes_s < 0.01)
    assert len(slow) > 500
    assert sum(call.native for call in slow) <= 3
