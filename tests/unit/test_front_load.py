"""How busy the front is, by a loop whose time the test turns."""

import time

import pytest

from bridge.upkeep.front_load import CALL_S, STALE_S, TICK_S, FrontLoad, ThreadTimes


class Loop:
    """Time, timers and callbacks of a loop; and the CPU time of its thread."""

    def __init__(self):
        self.now = self.cpu = 100.0
        self.waited = 5.0
        self.timers = []
        self.soon = []

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.timers.append((when, callback))

    def call_soon(self, callback):
        self.soon.append(callback)

    def tick(self, *, busy=0.0, late_s=0.0, waited=0.0):
        """Let the one timer come, after the thread was busy, or had no processor, for a part of the time."""
        ((when, callback),) = self.timers
        self.timers.clear()
        self.cpu += busy * (when + late_s - self.now)
        self.waited += waited * (when + late_s - self.now)
        self.now = when + late_s
        callback()


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def load(loop):
    return FrontLoad(loop, lambda: (loop.cpu, loop.waited))


def test_nothing_is_measured_while_nobody_asks(load, loop):
    assert loop.timers == []
    load.touch()
    load.touch()
    assert [when for when, _ in loop.timers] == [100.0 + TICK_S]
    loop.tick()
    assert loop.timers == []


def test_it_follows_how_busy_the_thread_is(load, loop):
    for _ in range(40):
        load.touch()
        loop.tick(busy=0.8)
    assert load.busy == pytest.approx(0.8, abs=0.01)
    for _ in range(40):
        load.touch()
        loop.tick(busy=0.1)
    assert load.busy == pytest.approx(0.1, abs=0.01)
    assert load.lag_s == pytest.approx(0.0, abs=1e-9)


def test_a_thread_that_has_no_processor_is_as_busy_as_one_that_computes(load, loop):
    for _ in range(60):
        load.touch()
        loop.tick(busy=0.3, waited=0.6)
    assert load.busy == pytest.approx(0.9, abs=0.01)
    assert load.calls_per_s == pytest.approx(0.3 / CALL_S, rel=0.01)


def test_the_times_of_a_thread():
    times = ThreadTimes()
    before, ends = times(), time.thread_time() + 0.05
    while time.thread_time() < ends:
        pass
    after = times()
    times.close()
    assert after[0] - before[0] == pytest.approx(0.05, abs=0.02)
    assert after[1] >= before[1] >= 0.0
    assert times()[0] >= after[0], "without the kernel's file"


def test_calls_are_reckoned_from_the_work_that_is_not_native(load, loop):
    for _ in range(60):
        load.touch()
        load.ran(0.25 * TICK_S)
        loop.tick(busy=0.55)
    assert load.calls_per_s == pytest.approx(0.3 / CALL_S, rel=0.01)
    for _ in range(60):
        load.touch()
        load.ran(TICK_S)
        loop.tick(busy=0.9)
    assert load.calls_per_s == pytest.approx(0.0, abs=1.0)


def test_late_timers_are_lag_and_one_counts_little(load, loop):
    load.touch()
    loop.tick(late_s=0.05)
    assert load.lag_s == pytest.approx(0.01)
    for _ in range(40):
        load.touch()
        loop.tick(late_s=0.05)
    assert load.lag_s == pytest.approx(0.05, rel=0.01)


def test_what_is_old_is_forgotten(load, loop):
    for _ in range(40):
        load.touch()
        loop.tick(busy=1.0, late_s=0.05)
    loop.now += STALE_S + 0.1
    load.touch()
    assert (load.busy, load.lag_s, load.calls_per_s) == (0.0, 0.0, 0.0)


def test_native_calls_add_up_within_a_turn_of_the_loop(load, loop):
    load.ran(0.001)
    load.ran(0.002)
    assert load.turn_s == pytest.approx(0.003)
    assert len(loop.soon) == 1
    loop.soon.pop()()
    assert load.turn_s == 0.0
    load.ran(0.004)
    assert (load.turn_s, len(loop.soon)) == (0.004, 1)
