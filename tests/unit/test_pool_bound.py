"""Calls that are for one worker alone: they wait for it, and end with it, whatever state they are in."""

import asyncio

import pytest

from pool.admission import Admission
from pool.calls import Call
from pool.errors import QueueFull, WorkerGone
from pool.frames import Reply
from pool.testing import ScriptedWorker

OK = Reply(True, b"", b"")


@pytest.fixture
async def queue():
    made = Admission("p", 3, asyncio.get_running_loop())
    yield made
    made.close()


def add(queue, name, lookahead=0):
    worker = ScriptedWorker(name, "p", 1, queue.slot_free, lookahead)
    queue.add(worker)
    return worker


def submit(queue, worker):
    call = Call("f", b"", b"", None, asyncio.get_running_loop().create_future())
    queue.submit_bound(call, worker)
    return call


@pytest.mark.parametrize("lookahead", [0, 8])
async def test_they_end_with_their_worker_and_go_to_no_other(queue, lookahead):
    home, _other = add(queue, "home", lookahead), add(queue, "other", lookahead)
    running, waiting = submit(queue, "home"), submit(queue, "home")
    assert (running.worker, waiting.worker if waiting.lined else None) == (home, home if waiting.lined else None)
    queue.remove(home)
    await asyncio.sleep(0)
    with pytest.raises(WorkerGone):
        await waiting.future
    assert not running.future.done(), "what it has begun ends in its own way"
    home.finish(running, OK)
    assert (await running.future).ok
    with pytest.raises(WorkerGone):
        submit(queue, "home")
    assert queue.waiting == 0


async def test_they_wait_while_another_worker_is_free(queue):
    home, other = add(queue, "home"), add(queue, "other")
    first, second = submit(queue, "home"), submit(queue, "home")
    assert (other.calls, second.worker) == ({}, None)
    home.finish(first, OK)
    assert second.worker is home
    home.finish(second, OK)
    await asyncio.sleep(0)
    assert not queue._bound


async def test_one_that_is_refused_or_leaves_is_forgotten(queue):
    add(queue, "home")
    calls = [submit(queue, "home") for _ in range(4)]
    with pytest.raises(QueueFull):
        submit(queue, "home")
    for call in calls[1:]:
        queue.release(call)
    await asyncio.sleep(0)
    assert queue.waiting == 0
    calls[0].worker.finish(calls[0], OK)
    await asyncio.sleep(0)
    assert not queue._bound


async def test_a_worker_that_is_set_apart_serves_those_bound_to_it(queue):
    home, _other = add(queue, "home"), add(queue, "other")
    queue.set_apart(home, pinned=True)
    call = submit(queue, "home")
    assert call.worker is home
    home.finish(call, OK)
