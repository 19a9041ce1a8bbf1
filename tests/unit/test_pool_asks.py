"""Asks as the front takes them: what is read as it was written, what breaks the protocol, and who hears of the end."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool import asks, frames
from pool.calls import Call
from pool.errors import FrameError


def body_of(frame):
    return memoryview(frame[frames.HEADER_SIZE :])


@given(ask_id=st.integers(0, 2**32 - 1), name=st.text(max_size=30), data=st.binary(max_size=99))
def test_an_ask_is_read_as_it_was_written(ask_id, name, data):
    head = frames.ask_head(5, ask_id, name.encode(), len(data))
    length, kind, call_id = frames.HEADER.unpack_from(head)
    assert (kind, call_id, length) == (frames.ASK, 5, len(head) + len(data) - frames.HEADER_SIZE)
    assert frames.read_ask(body_of(head + data)) == (ask_id, name, data)


@given(ask_id=st.integers(0, 2**32 - 1), ok=st.booleans(), data=st.binary(max_size=99))
def test_an_answer_is_read_as_it_was_written(ask_id, ok, data):
    head = frames.answer_head(5, ask_id, ok, len(data))
    assert frames.HEADER.unpack_from(head)[1:] == (frames.ANSWER, 5)
    assert frames.read_answer(body_of(head + data)) == (ask_id, (ok, data))


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"abc", "expected at least"),
        (b"\1\0\0\0\x09\0name", "states a name of 9"),
        (b"\1\0\0\0\x81\0" + b"n" * 0x81, "states a name of 129"),
        (b"\1\0\0\0\x02\0\xff\xfe", "not UTF-8"),
    ],
)
def test_what_no_worker_may_ask(body, what):
    with pytest.raises(FrameError, match=what):
        frames.read_ask(memoryview(body))


class Rig:
    def __init__(self):
        self.sent = []
        self.hold = asyncio.Event()
        self.call = Call("f", b"", b"", None, asyncio.get_running_loop().create_future())
        self.call.on_ask = self.answer
        self.call.id = 3

    async def answer(self, _call, name, data):
        await self.hold.wait()
        if name == "raise":
            raise LookupError("secret")
        if name == "cancelled":
            raise asyncio.CancelledError
        if name == "large":
            return True, b"x" * (frames.ASK_BYTES + 1)
        return True, name.encode() + data

    def ask(self, ask_id, name="n", data=b""):
        asks.begin(self.call, body_of(frames.ask_head(3, ask_id, name.encode(), len(data)) + data), self.send)

    def send(self, head, body):
        self.sent.append(frames.read_answer(body_of(head + body)))

    async def settled(self):
        self.hold.set()
        for _ in range(5):
            await asyncio.sleep(0)
        return self.sent


@pytest.fixture
async def rig():
    return Rig()


async def test_each_ask_has_its_answer(rig):
    rig.ask(1, data=b"1")
    rig.ask(7, data=b"7")
    assert sorted(await rig.settled()) == [(1, (True, b"n1")), (7, (True, b"n7"))]
    assert rig.call.asking == {}


async def test_one_id_at_a_time(rig):
    rig.ask(1)
    with pytest.raises(FrameError, match="second ask"):
        rig.ask(1)
    await rig.settled()
    rig.ask(1)


async def test_so_many_at_a_time(rig):
    for ask_id in range(1, frames.OPEN_ASKS + 1):
        rig.ask(ask_id)
    with pytest.raises(FrameError, match="open asks"):
        rig.ask(frames.OPEN_ASKS + 1)
    asks.end(rig.call)


async def test_when_the_call_ends_nobody_is_told(rig):
    rig.ask(1)
    rig.ask(2, "raise")
    tasks = list(rig.call.asking.values())
    asks.end(rig.call)
    assert await rig.settled() == []
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize(
    ("name", "reason"), [("raise", "INTERNAL"), ("cancelled", "INTERNAL"), ("large", "MESSAGE_TOO_LARGE")]
)
async def test_what_goes_wrong_is_told_without_what_broke(rig, name, reason):
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    rig.ask(1, name)
    ((_, (ok, body)),) = await rig.settled()
    assert (ok, json.loads(body)["reason"]) == (False, reason)
    assert b"secret" not in body


async def test_a_call_that_was_abandoned_is_refused(rig):
    rig.call.abandoned = True
    rig.ask(1)
    ((_, (ok, body)),) = rig.sent
    assert (ok, json.loads(body)["code"]) == (False, "CANCELLED")


async def test_an_ask_of_a_call_that_does_not_run_breaks_the_protocol(rig):
    rig.call.lined = True
    with pytest.raises(FrameError, match="does not run"):
        rig.ask(1)
    with pytest.raises(FrameError, match="does not run"):
        asks.begin(None, memoryview(b""), rig.send)
