"""The loop of a worker with one call at a time: cancels by signal, wherever it stands."""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from contextvars import ContextVar

import pytest

from handlers.own_loop import Interrupted, OwnLoop


class Raised(BaseException):
    """What a worker raises where the loop says that it can."""


@pytest.fixture
def own():
    made = OwnLoop()
    yield made
    made._loop.close()


@pytest.fixture
def alarm(own):
    """`alarm(seconds)` lets a signal cancel what runs, as a worker does."""

    def handler(_number, frame):
        if not own.interrupt(frame):
            raise Raised

    timers = []

    def after(seconds):
        timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1)))
        timers[-1].start()

    before = signal.signal(signal.SIGUSR1, handler)
    yield after
    for timer in timers:
        timer.join()
    signal.signal(signal.SIGUSR1, before)


async def value(result):
    await asyncio.sleep(0)
    return result


def nothing_is_left(own):
    return not asyncio.all_tasks(own._loop)


def test_a_result_and_an_error_come_through(own):
    assert own.run(value(5)) == 5

    async def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        own.run(fail())
    assert nothing_is_left(own)


def test_a_signal_ends_a_wait_and_the_cleanup_runs_to_its_end(own, alarm):
    cleaned = []

    async def wait():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.append("all of it")

    alarm(0.05)
    with pytest.raises(Interrupted):
        own.run(wait())
    assert cleaned == ["all of it"]
    assert nothing_is_left(own)
    assert own.run(value("next")) == "next"


def test_a_signal_raises_in_code_that_computes(own, alarm):
    async def compute():
        await asyncio.sleep(0)
        while True:
            sum(range(100))

    alarm(0.05)
    with pytest.raises(Raised):
        own.run(compute())
    assert nothing_is_left(own)
    assert own.run(value("next")) == "next"


@pytest.fixture
def no_collector_hooks():
    """What a signal raises inside a hook of the garbage collector is lost. Hypothesis has one; workers have none."""
    hooks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks.extend(hooks)


def test_signals_at_any_moment_leave_no_task_behind(own, alarm, no_collector_hooks):
    async def busy(seconds):
        alarm(seconds)
        while True:
            await asyncio.sleep(0)

    for turn in range(300):
        with pytest.raises((Interrupted, Raised)):
            own.run(busy(turn * 0.00001))
        assert nothing_is_left(own)
        assert own.run(value(turn)) == turn


def test_a_cancel_that_comes_while_the_task_is_made_is_not_lost(own):
    create = own._loop.create_task

    def create_task(coroutine, **options):
        assert own.interrupt(None)
        return create(coroutine, **options)

    own._loop.create_task = create_task
    with pytest.raises(Interrupted):
        own.run(asyncio.sleep(60))


def test_with_nothing_running_there_is_nothing_to_interrupt(own):
    assert not own.interrupt(None)
    own.run(value(1))
    assert not own.interrupt(None)


def test_a_cancel_of_user_codes_own_making_is_no_interruption(own):
    async def cancelled():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        own.run(cancelled())


def test_an_async_iterator_runs_in_one_context_and_is_closed(own):
    variable = ContextVar("variable", default="outside")
    seen = []

    async def items():
        token = variable.set("inside")
        try:
            while True:
                seen.append(variable.get())
                yield b"x"
        finally:
            await asyncio.sleep(0)
            variable.reset(token)
            seen.append("closed")

    iterator = own.iterate(items())
    assert [next(iterator), next(iterator)] == [b"x", b"x"]
    iterator.close()
    assert seen == ["inside", "inside", "closed"]
    assert variable.get() == "outside"


def test_a_signal_between_two_items_is_the_callers(own, alarm):
    async def items():
        yield b"x"

    iterator = own.iterate(items())
    next(iterator)

    def wait():
        alarm(0.02)
        time.sleep(5)

    with pytest.raises(Raised):
        wait()
    iterator.close()


def test_a_signal_that_comes_into_code_of_asyncio_raises_nothing(own):
    """The task is being put back in line: an exception there would lose it, and the loop would wait for ever."""
    answers = []

    def profile(frame, event, _argument):
        if event == "call" and frame.f_code.co_name == "call_soon" and asyncio.current_task(own._loop):
            sys.setprofile(None)
            answers.append(own.interrupt(frame))

    async def busy():
        sys.setprofile(profile)
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Interrupted):
        own.run(busy())
    assert answers == [True]
