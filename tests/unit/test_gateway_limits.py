"""Limits of a model: never more than is allowed in any minute or at a time, in the order of arrival."""

import asyncio
import math
import random

import pytest

from bridge.errors import BridgeError
from bridge.gateway.limits import WINDOW_S, Limiter, Limits, Window


def test_no_minute_has_more_requests_or_tokens_than_are_allowed():
    chance = random.Random(7)
    window, now, begun, running = Window(Limits(requests=20, tokens=1000, at_once=6)), 0.0, [], []
    for _ in range(20_000):
        tokens = chance.randrange(0, 300)
        wait_s = window.wait_s(now, tokens)
        if wait_s == 0.0:
            running.append((window.begin(now, tokens), tokens))
            begun.append((now, running[-1][0]))
            last = [one for one in begun[-100:] if one[0] + WINDOW_S > now]
            assert len(last) <= 20
            assert sum(entry.tokens for _, entry in last) <= 1000
            assert len(running) <= 6
        elif not math.isinf(wait_s) and chance.random() < 0.5:
            now += wait_s
            assert window.wait_s(now, tokens) in (0.0, math.inf), "it has said how long to wait"
            continue
        now += chance.random() * 2
        if running and chance.random() < 0.8:
            entry, reserved = running.pop(chance.randrange(len(running)))
            window.end(entry, chance.randrange(0, reserved + 1))
    assert len(begun) > 2000


def test_what_a_request_has_used_counts_and_not_what_was_reserved():
    window = Window(Limits(tokens=100))
    entry = window.begin(0.0, 90)
    assert window.wait_s(1.0, 20) == 59.0
    window.end(entry, 10)
    assert window.wait_s(1.0, 90) == 0.0
    window.end(entry, 90)
    assert window.wait_s(1.0, 90) == 0.0, "an end counts once"


def test_one_that_wants_more_than_a_minute_has_goes_alone():
    window = Window(Limits(tokens=100))
    window.end(window.begin(0.0, 500), 400)
    assert window.wait_s(1.0, 500) == 59.0
    assert window.wait_s(60.0, 500) == 0.0


class Clock:
    """Time that the test turns."""

    def __init__(self):
        self.now, self._timers = 0.0, []

    def later(self, seconds, callback):
        timer = Timer(self.now + seconds, callback)
        self._timers.append(timer)
        return timer

    async def turn(self, seconds):
        until = self.now + seconds
        while due := [one for one in self._timers if one.at <= until and not one.over]:
            first = min(due, key=lambda one: one.at)
            self.now, first.over = max(self.now, first.at), True
            first.callback()
            for _ in range(5):
                await asyncio.sleep(0)
        self.now = until


class Timer:
    def __init__(self, at, callback):
        self.at, self.callback, self.over = at, callback, False

    def cancel(self):
        self.over = True


@pytest.fixture(name="clock")
def _clock():
    return Clock()


def limiter(clock, **limits):
    return Limiter("default", Limits(**limits), lambda: clock.now, clock.later)


async def started(*coroutines):
    tasks = [asyncio.create_task(one) for one in coroutines]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_those_who_wait_begin_in_the_order_of_arrival_as_soon_as_there_is_room(clock):
    one = limiter(clock, requests=2)
    await one.enter(0, 0.0)
    clock.now = 10.0
    await one.enter(0, 0.0)
    order = []

    async def enter(name):
        await one.enter(0, 100.0)
        order.append((name, clock.now))

    tasks = await started(*(enter(name) for name in "abc"))
    await clock.turn(200)
    assert [name for name, _ in order] == ["a", "b", "c"][: len(order)]
    assert order[:2] == [("a", 60.0), ("b", 70.0)]
    with pytest.raises(BridgeError):
        await tasks[2]


async def test_a_wait_that_can_not_be_in_time_is_refused_at_once(clock):
    one = limiter(clock, requests=1)
    await one.enter(0, 0.0)
    with pytest.raises(BridgeError, match=r"requests_per_minute is 1 \(1 taken\)") as refused:
        await one.enter(0, 59.0)
    assert (refused.value.code.name, refused.value.reason) == ("RESOURCE_EXHAUSTED", "MODEL_RATE_LIMITED")
    assert refused.value.retry_after_s == 60.0
    assert refused.value.metadata == {"model": "default", "requests_per_minute": "1"}
    assert one.refused == 1


async def test_who_waits_for_others_to_end_is_refused_after_its_patience(clock):
    one = limiter(clock, at_once=1)
    entry = await one.enter(0, 0.0)
    tasks = await started(one.enter(0, 5.0), one.enter(0, 50.0))
    await clock.turn(6)
    with pytest.raises(BridgeError):
        await tasks[0]
    one.leave(entry, None)
    assert (await tasks[1]).ended is False
    assert one.waiting == 0


async def test_who_goes_leaves_its_place_and_what_it_has_been_given(clock):
    one = limiter(clock, at_once=1)
    entry = await one.enter(0, 0.0)
    tasks = await started(one.enter(0, 50.0), one.enter(0, 50.0))
    one.leave(entry, None)
    tasks[0].cancel()  # it has its turn by now, and does not know it yet
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    await tasks[1]
    assert (one.window.running, one.waiting) == (1, 0)
