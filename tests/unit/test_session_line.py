"""The line of an ordered session: one at a time, in the order of arrival, whoever leaves before its turn."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BridgeError
from bridge.sessions.line import Line
from pool.errors import CancelledByOperator, QueueFull


def in_s(seconds):
    return asyncio.get_running_loop().time() + seconds


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_after_another_in_order_of_arrival():
    line, order = Line(), []

    async def one(number):
        await line.enter(object(), in_s(10), "p", 10)
        order.append(number)
        await asyncio.sleep(0)
        assert order[-1] == number, "nobody begins before the one before has left"
        line.leave()

    await asyncio.gather(*(one(number) for number in range(8)))
    assert order == list(range(8))
    assert len(line) == 0


async def test_a_waiter_leaves_at_its_deadline():
    line = Line()
    await line.enter(object(), in_s(10), "p", 10)
    with pytest.raises(BridgeError) as late:
        await line.enter(object(), in_s(0.01), "p", 10)
    assert late.value.reason == "IN_QUEUE"
    assert len(line) == 0


async def test_the_line_is_bounded():
    line = Line()
    await line.enter(object(), in_s(10), "p", 1)
    waiting = asyncio.ensure_future(line.enter(object(), in_s(10), "p", 1))
    await settle()
    with pytest.raises(QueueFull):
        await line.enter(object(), in_s(10), "p", 1)
    line.leave()
    await waiting


async def test_who_is_cancelled_leaves_the_line_with_the_error_and_the_next_moves_up():
    line, second = Line(), object()
    await line.enter(object(), in_s(10), "p", 10)
    waiting = [asyncio.ensure_future(line.enter(who, in_s(10), "p", 10)) for who in (second, object())]
    await settle()
    assert line.cancel(second, CancelledByOperator("p"))
    assert not line.cancel(second, CancelledByOperator("p")), "it waits no more"
    with pytest.raises(CancelledByOperator):
        await waiting[0]
    assert not waiting[1].done(), "the turn is still the first one's"
    line.leave()
    await waiting[1]
    assert len(line) == 0


@given(st.lists(st.tuples(st.sampled_from(["come", "cancel", "leave", "cancel and leave"]), st.integers(0, 9))))
def test_whoever_leaves_the_line_moves(steps):
    async def run():
        line, tasks, inside = Line(), [], []

        async def one():
            await line.enter(object(), in_s(100), "p", 1000)
            inside.append(asyncio.current_task())

        for what, which in steps:
            live = [task for task in tasks if not task.done()]
            if what == "come":
                tasks.append(asyncio.ensure_future(one()))
            if "leave" in what and inside:
                inside.pop()
                line.leave()
            if "cancel" in what and live:
                live[which % len(live)].cancel()
            await settle()
            assert len(inside) <= 1
            assert len(line) == len([task for task in tasks if not task.done()])
            assert inside or not len(line), "while somebody waits, somebody has the turn"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())
