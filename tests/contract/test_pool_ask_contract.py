"""Asks in every kind of pool: what a running call asks, the front answers, as long as the call runs and no longer."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from pool.errors import DeadlineExceeded, WorkerLost
from pool.frames import OPEN_ASKS


class Front:
    """What answers: `echo` at once, `hold` when told, `fail` never well. It keeps the names of what was cancelled."""

    def __init__(self):
        self.asked = asyncio.Queue()
        self.cancelled = asyncio.Queue()
        self.release = asyncio.Event()
        self.contexts = []
        self.heard = []

    def answer(self, call, name, body):
        self.heard.append((name, body))
        if name == "now":
            return True, body
        if name == "fail now":
            raise ValueError("no answer")
        return self.later(call, name, body)

    async def later(self, call, name, body):
        self.contexts.append(call.context)
        if name == "fail":
            raise ValueError("no answer")
        if name == "refuse":
            return False, b"not to you"
        if name == "hold":
            self.asked.put_nowait(body)
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.put_nowait(body)
                raise
        return True, body


@pytest.fixture
async def front():
    return Front()


@pytest.fixture
async def asked_pool(make, front):
    return await make(on_ask=front.answer)


def in_s(seconds):
    return asyncio.get_running_loop().time() + seconds


def submit(pool, name, body=b"", function="ask", timeout_s=20.0, **more):
    return pool.submit(function, name.encode(), body, in_s(timeout_s), **more)


async def reply_of(pool, submitted):
    try:
        return await submitted.future
    finally:
        pool.release(submitted)


async def idle(pool):
    async with asyncio.timeout(10):
        for worker in list(pool._supervisor.workers.values()):
            await worker.idle()


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_an_ask_comes_back_with_its_bytes(asked_pool, size):
    body = bytes(range(256)) * (size // 256 + 1)
    reply = await reply_of(asked_pool, submit(asked_pool, "echo", body[:size]))
    assert (reply.ok, reply.meta, reply.body) == (True, b"ok", body[:size])


async def test_the_front_knows_whose_ask_it_is(asked_pool, front):
    context = object()
    await reply_of(asked_pool, submit(asked_pool, "echo", context=context))
    assert front.contexts == [context]


async def test_many_asks_of_one_call(asked_pool):
    parts = b",".join(b"%d" % number for number in range(100))
    reply = await reply_of(asked_pool, submit(asked_pool, "", parts, function="asks"))
    assert reply.body == parts


async def test_asks_of_several_calls_are_not_mixed_up(make, front):
    pool = await make(on_ask=front.answer, size=2)
    submitted = [submit(pool, "echo", b"%d" % number) for number in range(60)]
    assert [(await reply_of(pool, one)).body for one in submitted] == [b"%d" % number for number in range(60)]


async def test_a_refusal_is_a_value(asked_pool):
    reply = await reply_of(asked_pool, submit(asked_pool, "refuse"))
    assert (reply.ok, reply.meta, reply.body) == (True, b"refused", b"not to you")


async def test_a_handler_that_fails_is_reported_and_answers_with_a_record(asked_pool):
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context["exception"]))
    reply = await reply_of(asked_pool, submit(asked_pool, "fail"))
    assert reply.meta == b"refused"
    assert json.loads(reply.body)["reason"] == "INTERNAL"
    assert "no answer" not in json.loads(reply.body)["message"], "what broke inside is for the operator"
    assert [str(error) for error in reports] == ["no answer"]
    assert (await reply_of(asked_pool, submit(asked_pool, "echo", b"on"))).body == b"on"


async def test_an_answer_that_needs_no_waiting(asked_pool):
    reply = await reply_of(asked_pool, submit(asked_pool, "now", b"at once"))
    assert (reply.ok, reply.meta, reply.body) == (True, b"ok", b"at once")


async def test_a_handler_that_fails_at_once_is_reported_and_answers_with_a_record(asked_pool):
    reports = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context["exception"]))
    reply = await reply_of(asked_pool, submit(asked_pool, "fail now"))
    assert (reply.meta, json.loads(reply.body)["reason"]) == (b"refused", "INTERNAL")
    assert [str(error) for error in reports] == ["no answer"]
    assert (await reply_of(asked_pool, submit(asked_pool, "now", b"on"))).body == b"on"


async def test_what_is_told_is_heard_before_the_end_of_its_call(asked_pool, front):
    for number in range(20):
        body = b"%d,and more" % number
        heard = []
        submitted = submit(asked_pool, "now", body, function="tell")
        submitted.future.add_done_callback(lambda _, heard=heard: heard.extend(front.heard))
        assert (await reply_of(asked_pool, submitted)).body == body
        assert heard == [("now", b"%d" % number), ("now", b"and more")]
        front.heard.clear()


async def test_what_is_told_takes_no_room_among_the_open_asks(asked_pool, front):
    parts = [b"%d" % number for number in range(OPEN_ASKS + 10)]
    await reply_of(asked_pool, submit(asked_pool, "now", b",".join(parts), function="tell"))
    assert [body for _, body in front.heard] == parts


async def test_what_is_told_and_takes_a_while_ends_with_its_call(asked_pool, front):
    await reply_of(asked_pool, submit(asked_pool, "hold", b"told", function="tell"))
    assert front.heard == [("hold", b"told")]
    left = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "later"]
    await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 10)
    assert (await reply_of(asked_pool, submit(asked_pool, "echo", b"on"))).body == b"on"


async def test_a_pool_without_a_handler_answers_too(make):
    pool = await make()
    reply = await reply_of(pool, submit(pool, "echo"))
    assert (reply.meta, json.loads(reply.body)["code"]) == (b"refused", "UNIMPLEMENTED")


async def test_a_stream_asks_between_its_chunks(asked_pool):
    started = submit(asked_pool, "", b"one,two,three", function="asking", stream=True)
    found = []
    while chunks := await started.buffer.take():
        found += chunks
    assert found == [b"one", b"two", b"three"]
    assert (await reply_of(asked_pool, started)).ok


async def test_other_calls_go_on_while_one_waits_for_an_answer(make, front, flavour):
    pool = await make(on_ask=front.answer, concurrency=1 if flavour in ("blocking", "forked") else 4, size=2)
    holding = submit(pool, "hold", b"held")
    assert await asyncio.wait_for(front.asked.get(), 10) == b"held"
    assert (await reply_of(pool, submit(pool, "echo", b"meanwhile"))).body == b"meanwhile"
    front.release.set()
    assert (await reply_of(pool, holding)).body == b"held"


async def test_calls_that_come_while_one_asks_are_answered_after_it(asked_pool, front):
    holding = submit(asked_pool, "hold", b"held")
    await asyncio.wait_for(front.asked.get(), 10)
    behind = [submit(asked_pool, "echo", b"%d" % number) for number in range(20)]
    front.release.set()
    assert [(await reply_of(asked_pool, one)).body for one in (holding, *behind)] == [
        b"held",
        *(b"%d" % number for number in range(20)),
    ]


async def test_a_cancel_ends_the_wait_and_the_handler(asked_pool, front):
    for _ in range(5):
        holding = submit(asked_pool, "hold", b"held")
        await asyncio.wait_for(front.asked.get(), 10)
        asked_pool.release(holding)
        assert await asyncio.wait_for(front.cancelled.get(), 10) == b"held"
        await idle(asked_pool)
    assert asked_pool.snapshot().restarts == 0, "the worker was interrupted, not killed"
    assert (await reply_of(asked_pool, submit(asked_pool, "echo", b"on"))).body == b"on"


async def test_a_deadline_ends_the_wait_and_the_handler(asked_pool, front):
    holding = submit(asked_pool, "hold", b"held", timeout_s=0.2)
    with pytest.raises(DeadlineExceeded):
        await reply_of(asked_pool, holding)
    assert await asyncio.wait_for(front.cancelled.get(), 10) == b"held"
    await idle(asked_pool)
    assert asked_pool.snapshot().restarts == 0


async def test_a_worker_that_dies_ends_its_asks(asked_pool, front, flavour):
    holding = submit(asked_pool, "hold", b"held")
    await asyncio.wait_for(front.asked.get(), 10)
    (victim,) = asked_pool.snapshot().workers
    if flavour == "fake":
        asked_pool.kill(victim.id)
    else:
        os.kill(victim.pid, 9)
    with pytest.raises(WorkerLost):
        await reply_of(asked_pool, holding)
    assert await asyncio.wait_for(front.cancelled.get(), 10) == b"held"


async def test_what_outlives_its_call_can_not_ask(make, front, flavour):
    """In the name of no other call, above all: a task that goes on while the next one runs is refused."""
    if flavour in ("blocking", "forked", "threads"):
        pytest.skip("a task needs an event loop")
    pool = await make(on_ask=front.answer)
    await reply_of(pool, submit(pool, "", function="leave"))
    reply = await reply_of(pool, submit(pool, "", function="late"))
    assert reply.body == b"AskRefused"
    assert front.contexts == []


async def test_more_open_asks_than_may_be(make, front, flavour):
    if flavour in ("blocking", "forked", "threads"):
        pytest.skip("code that is not async asks once at a time")
    pool = await make(on_ask=front.answer)
    parts = b",".join(b"%d" % number for number in range(300))
    reply = await reply_of(pool, submit(pool, "", parts, function="asks"))
    assert (reply.ok, reply.meta, reply.body) == (False, b"AskRefused", b"%d" % (300 - OPEN_ASKS))
    assert (await reply_of(pool, submit(pool, "echo", b"on"))).body == b"on"
