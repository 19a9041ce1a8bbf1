"""One timer for all deadlines: in order, never early, and nothing for who was discarded."""

import asyncio
import random

import pytest

from pool.deadlines import FAR_S, RESOLUTION_S, Deadlines


class HandLoop:
    """A loop whose time is turned by hand; at most one timer, as `Deadlines` is to have."""

    def __init__(self, now=1000.0):
        self.now = now
        self.timers = []
        self.made = 0

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.made += 1
        timer = Timer(self, when, callback)
        self.timers.append(timer)
        assert len(self.timers) == 1, "one timer for all"
        return timer

    def turn(self, now):
        """Let time pass to `now`, calling what is due at its time."""
        while self.timers and self.timers[0].when <= now:
            timer = self.timers.pop()
            self.now = max(self.now, timer.when)
            timer.callback()
        self.now = now


class Timer:
    def __init__(self, loop, when, callback):
        self.loop, self.when, self.callback = loop, when, callback

    def cancel(self):
        if self in self.loop.timers:
            self.loop.timers.remove(self)


@pytest.fixture
def loop():
    return HandLoop()


@pytest.fixture
def told():
    return []


@pytest.fixture
def deadlines(loop, told):
    return Deadlines(loop, lambda item: told.append((item, loop.now)))


def test_each_is_told_once_in_order_and_never_early(loop, told, deadlines):
    chance = random.Random(1)
    due = {number: 1000 + chance.random() * 5 for number in range(500)}
    for number, deadline in due.items():
        deadlines.add(number, deadline)
    loop.turn(1010)
    assert sorted(item for item, _ in told) == sorted(due)
    assert [at for _, at in told] == sorted(at for _, at in told)
    assert all(0 <= at - due[item] <= RESOLUTION_S + 1e-9 for item, at in told)


def test_who_is_discarded_is_not_told(loop, told, deadlines):
    buckets = {number: deadlines.add(number, 1000.5) for number in range(10)}
    for number in range(0, 10, 2):
        buckets[number].discard(number)
    loop.turn(1001)
    assert sorted(item for item, _ in told) == [1, 3, 5, 7, 9]
    buckets[1].discard(1)


def test_an_earlier_deadline_moves_the_timer_and_a_later_one_does_not(loop, told, deadlines):
    deadlines.add("late", 1005)
    deadlines.add("later", 1006)
    assert loop.made == 1
    deadlines.add("soon", 1001)
    assert loop.made == 2
    loop.turn(1002)
    assert [item for item, _ in told] == ["soon"]
    loop.turn(1007)
    assert [item for item, _ in told] == ["soon", "late", "later"]
    assert loop.timers == []


def test_a_deadline_that_has_passed_is_told_in_the_next_turn(loop, told, deadlines):
    deadlines.add("past", 900)
    assert told == []
    loop.turn(1000)
    assert told == [("past", 1000)]


def test_one_that_is_added_while_others_are_told_is_told_too(loop):
    told = []

    def expired(item):
        told.append(item)
        if item < 3:
            deadlines.add(item + 1, loop.now)

    deadlines = Deadlines(loop, expired)
    deadlines.add(0, 1000)
    loop.turn(1001)
    assert told == [0, 1, 2, 3]


def test_who_expires_may_discard_others_that_are_due_as_well(loop):
    told, buckets = [], {}

    def expired(item):
        told.append(item)
        for other in range(10):
            buckets[other].discard(other)

    deadlines = Deadlines(loop, expired)
    buckets |= {number: deadlines.add(number, 1000.5) for number in range(10)}
    loop.turn(1001)
    assert len(told) == 1


def test_what_was_far_away_once_is_told_in_time_when_it_is_near(loop, told, deadlines):
    deadlines.add("first", 1000.5)
    loop.turn(1050)
    deadlines.add("near", 1149.505)
    deadlines.add("far", 1150.505)
    loop.turn(1200)
    assert told[1:] == [("near", pytest.approx(1149.51)), ("far", pytest.approx(1151.0))]


def test_deadlines_far_away_share_buckets(loop, told, deadlines):
    """Calls with an hour to go, at a steady rate, must not leave a bucket each hundredth of a second."""
    chance = random.Random(1)
    due = {}
    for number in range(20_000):
        due[number] = loop.now + 3600 + chance.random() * 100
        deadlines.add(number, due[number])
    assert len(deadlines._buckets) <= 102
    loop.turn(1000 + 3800)
    assert len(told) == 20_000
    assert all(0 <= at - due[item] <= 1.0 + RESOLUTION_S for item, at in told)
    assert FAR_S >= 100 * (1.0 + RESOLUTION_S) * 0.99, "late by about a hundredth of the time at most"


def test_after_the_close_nobody_is_told(loop, told, deadlines):
    deadlines.add("never", 1000.5)
    deadlines.close()
    deadlines.close()
    loop.turn(1002)
    assert (told, loop.timers) == ([], [])


async def test_on_a_real_loop():
    loop = asyncio.get_running_loop()
    passed = asyncio.Queue()
    deadlines = Deadlines(loop, passed.put_nowait)
    due = {number: loop.time() + number * 0.007 for number in range(10)}
    for number, deadline in due.items():
        deadlines.add(number, deadline)
    for _ in due:
        number = await asyncio.wait_for(passed.get(), 5)
        assert loop.time() >= due[number]
    assert deadlines._timer is None, "nothing is due any more"


def test_buckets_of_calls_that_have_ended_are_let_go_long_before_their_time(loop, told, deadlines):
    late = deadlines.add("late", 1060.0)
    for number in range(5000):
        loop.now = 1000 + number * RESOLUTION_S
        deadlines.add(number, loop.now + 60).discard(number)
    assert len(deadlines._buckets) < 40
    assert late == {"late"}
    loop.turn(1060.02)
    assert [item for item, _ in told] == ["late"]


def test_a_bucket_that_was_let_go_is_made_again(loop, told, deadlines):
    deadlines.add("first", 1010.0).discard("first")
    for number in range(100):
        deadlines.add(number, 1011 + number * RESOLUTION_S).discard(number)
    deadlines.add("again", 1010.0)
    loop.turn(1020)
    assert [item for item, _ in told] == ["again"]
