"""Packs in the queue: each member counts as a call that waits, and leaves by itself when it must."""

from __future__ import annotations

import asyncio
import os

import pytest

from pool.admission import Admission
from pool.calls import Call
from pool.errors import Quarantined, QueueFull, Stopped
from pool.frames import Reply
from pool.options import Canary, PoolOptions
from pool.packs import Pack
from pool.testing import FakePool, ScriptedWorker
from pool.tokens import Tokens, shared_memory

LIMIT = 10
OPTIONS = PoolOptions(
    name="p", entry="", entry_options=b"", canary=Canary(function="c", meta=b"", body=b""), queue_limit=LIMIT
)


class Owner:
    """Keeps what it is told."""

    def __init__(self):
        self.launches = []
        self.refusals = {}

    def launched(self, pack):
        self.launches.append(pack)

    def refused(self, _pack, member, error):
        self.refusals[member] = error


@pytest.fixture
async def loop():
    return asyncio.get_running_loop()


@pytest.fixture
async def queue(loop):
    made = Admission("p", LIMIT, loop)
    made.configure(OPTIONS)
    yield made
    made.close()


@pytest.fixture
async def add(queue):
    def add(name):
        worker = ScriptedWorker(name, "p", 1, queue.slot_free)
        queue.add(worker)
        return worker

    return add


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
async def submit(queue, owner, loop):
    def submit(*bodies):
        members = [body.decode() for body in bodies]
        pack = Pack("f", [(b"", body) for body in bodies], members, None, loop.create_future(), owner)
        pack.count(queue.count_packed)
        queue.submit(pack)
        return pack

    return submit


def alone(queue, loop, body=b"x"):
    call = Call("f", b"", body, None, loop.create_future())
    queue.submit(call)
    return call


async def test_each_member_counts_while_the_pack_waits(queue, add, submit, owner, loop):
    worker = add("w")
    first = alone(queue, loop)
    pack = submit(b"a", b"b", b"c")
    assert (queue.waiting, owner.launches) == (3, [])
    worker.finish(first, Reply(True, b"", b""))
    assert (queue.waiting, owner.launches) == (0, [pack])
    worker.finish(pack, Reply(True, b"", b""))
    await pack.future
    await asyncio.sleep(0)
    assert (queue.waiting, owner.launches) == (0, [pack]), "it is told of once"


async def test_the_limit_is_one_of_calls(queue, add, submit, loop):
    add("w")
    alone(queue, loop)
    submit(*[b"%d" % number for number in range(LIMIT - 1)])
    alone(queue, loop)
    with pytest.raises(QueueFull) as caught:
        alone(queue, loop)
    assert caught.value.waiting == LIMIT


@pytest.mark.parametrize("end", ["stop", "cancel", "fail"])
async def test_a_pack_that_leaves_the_queue_is_counted_no_more(queue, add, submit, owner, loop, end):
    add("w")
    alone(queue, loop)
    pack = submit(b"a", b"b", b"c")
    if end == "stop":
        queue.stop()
    elif end == "cancel":
        queue.release(pack)
    else:
        queue.cancel(pack, Stopped("p"))
    await asyncio.wait([pack.future])
    await asyncio.sleep(0)
    assert (queue.waiting, owner.launches) == (0, [pack])


async def test_waiting_packs_are_looked_through_for_an_input_that_is_quarantined(queue, add, submit, owner, loop):
    add("w")
    alone(queue, loop)
    mixed, bad = submit(b"a", b"poison", b"b", b"poison"), submit(b"poison")
    for _ in range(2):
        queue.buried([], Call("f", b"", b"poison", None, loop.create_future()))
    assert isinstance(owner.refusals["poison"], Quarantined)
    assert mixed.open == ["a", None, "b", None]
    assert not mixed.future.done()
    assert isinstance(bad.future.exception(), Quarantined), "none of its members is left"
    assert queue.waiting == 4, "of those that are left it is known only once they are sent that they are fewer"


async def test_members_that_have_ended_are_sent_as_such(submit, queue, add, loop):
    add("w")
    alone(queue, loop)
    pack = submit(b"a", b"b", b"c")
    memory = shared_memory()
    tokens = Tokens(memory, new=True)
    os.close(memory)
    pack.end(1)
    pack.arm(tokens)
    assert tokens.dropped[pack.slot] == 0b10
    tokens.close()


async def test_a_pool_says_how_many_calls_a_pack_may_have_now(owner):
    class Entry:
        def catalogue(self):
            return b""

        async def acall(self, *_):
            return await asyncio.get_running_loop().create_future()

    pool = FakePool(OPTIONS, Entry())
    await pool.start()
    assert pool.pack_room == 64
    calls = [pool.submit("f", b"", b"x" * 20_000, None) for _ in range(OPTIONS.size + 3)]
    assert pool.pack_room == LIMIT - 3
    members = [(b"", b"y")] * (pool.pack_room + 1)
    with pytest.raises(QueueFull):
        pool.submit_pack("f", members, list(members), None, owner)
    assert pool.pack_room == LIMIT - 3, "what was refused is not counted"
    calls.append(pool.submit_pack("f", members[1:], members[1:], None, owner))
    assert pool.pack_room == 0
    for call in calls:
        pool.release(call)
    await pool.stop()
