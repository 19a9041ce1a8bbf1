"""Requests between a front and main, both ends in one process: bounds, cancels at every moment, a lost main."""

import asyncio
import socket
from math import inf

import pytest

from bridge.errors import Code
from bridge.fronts import wire
from bridge.fronts.link import Link
from bridge.fronts.relay import Relay
from bridge.fronts.served import Handlers, Served
from bridge.server import Answer
from bridge.upkeep.slow_readers import SlowReaders

MANY = 1 << 30


class Pair:
    """A front and main, joined; `handlers` are those of main, and as the front offers them."""

    def __init__(self, unary=None, streaming=None, conversations=None, lost=None):
        self.readers = SlowReaders(0.1)
        self.handlers = Handlers(unary or {}, streaming or {}, conversations or {})
        self._lost = lost or {}
        self.main = Link(lambda *frame: self.served.frame(*frame), lambda _why: self.served.lost(), MANY)
        self.front = Link(lambda *frame: self.relay.frame(*frame), lambda _why: self.relay.lost(), MANY)

    async def join(self):
        loop = asyncio.get_running_loop()
        self.served = Served(self.handlers, self.main, loop)
        self.relay = Relay(self.front, self.readers, self._lost)
        for link, sock in zip((self.main, self.front), socket.socketpair(), strict=True):
            await loop.create_unix_connection(lambda link=link: link, sock=sock)
        offered = self.relay.handlers(
            wire.Setup(
                address="",
                max_message_bytes=1,
                keepalive_time_s=1.0,
                keepalive_timeout_s=1.0,
                slow_reader_timeout_s=1.0,
                unary=self.handlers.unary,
                streaming=self.handlers.streaming,
                conversations=self.handlers.conversations,
                lost=self._lost,
            )
        )
        return tuple({**offered[0], **offered[1], **offered[2]}.values())


@pytest.fixture
async def joined():
    made = []

    async def one(**handlers):
        pair = Pair(**handlers)
        made.append(pair)
        return pair, *(await pair.join())

    yield one
    for pair in made:
        pair.main.close()
        pair.front.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def test_a_request_and_its_answer_arrive_as_they_are(joined):
    async def answer(request, metadata, remaining_s):
        assert request == b"ask"
        assert metadata == (("x-a", "ä"), ("x-b-bin", b"\xff"))
        assert 4.0 < remaining_s <= 5.0
        return Answer(b"told", (("y-bin", b"\x00"), ("z", "1")))

    pair, ask = await joined(unary={"/a": answer})
    told = await ask(b"ask", (("x-a", "ä"), ("x-b-bin", b"\xff")), 5.0)
    assert told == Answer(b"told", (("y-bin", b"\x00"), ("z", "1")))
    assert pair.relay.is_idle
    assert len(pair.served) == 0


async def test_an_error_without_a_deadline(joined):
    async def answer(_request, _metadata, remaining_s):
        assert remaining_s is None
        return Answer(None, (("a", "b"),), Code.NOT_FOUND, "none such")

    _, ask = await joined(unary={"/a": answer})
    assert await ask(b"", (), None) == Answer(None, (("a", "b"),), 5, "none such")


@pytest.mark.parametrize("size", [10, 4_000_000])
async def test_a_cancel_at_any_moment_ends_the_handler_or_never_begins_it(joined, size):
    begun, ended = [], []

    async def answer(request, _metadata, _remaining_s):
        begun.append(len(request))
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(len(request))

    pair, ask = await joined(unary={"/a": answer})
    for turns in range(0, 400, 10):
        asking = asyncio.ensure_future(ask(bytes(size), (), None))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    await until(lambda: len(ended) == len(begun) and not pair.main._incoming and not len(pair.served))
    assert begun, "some were begun"
    assert pair.relay.is_idle
    assert pair.front._outgoing == {}


async def test_a_stream_is_no_further_ahead_than_its_window(joined):
    written = 0

    async def answer(_request, _metadata, _remaining_s, write):
        nonlocal written
        for _ in range(1000):
            await write(bytes(10_000))
            written += 10_000
        return Answer(None, (("end", "1"),))

    _, listen = await joined(streaming={"/s": answer})
    gate, read = asyncio.Event(), 0

    async def write(message):
        nonlocal read
        await gate.wait()
        read += len(message)

    listening = asyncio.ensure_future(listen(b"", (), None, write))
    await until(lambda: written >= 200_000)
    for _ in range(200):
        await asyncio.sleep(0)
    assert written <= wire.WINDOW + 20_000
    gate.set()
    assert await listening == Answer(None, (("end", "1"),))
    assert read == 10_000_000


async def test_a_conversation_is_bounded_both_ways(joined):
    taken = 0
    gate = asyncio.Event()

    async def converse(_metadata, _remaining_s, read, write):
        nonlocal taken
        await gate.wait()
        while (message := await read()) is not None:
            taken += 1
            await write(message)
        return Answer(None)

    _, talk = await joined(conversations={"/c": converse})
    given, got = 0, []

    async def read():
        nonlocal given
        given += 1
        return None if given > 500 else given.to_bytes(2, "big") * 2000

    async def write(message):
        got.append(int.from_bytes(message[:2], "big"))

    talking = asyncio.ensure_future(talk((), None, read, write))
    for _ in range(300):
        await asyncio.sleep(0)
    assert 10 < given < wire.WINDOW // 4000 + 3, "the client is read no further than main takes it"
    gate.set()
    assert await talking == Answer(None)
    assert got == list(range(1, 501))
    assert taken == 500


async def test_a_client_that_can_not_be_read_ends_the_conversation(joined):
    ended = asyncio.Event()

    async def converse(_metadata, _remaining_s, read, _write):
        try:
            await read()
        finally:
            ended.set()

    async def read():
        raise ConnectionError("broken")

    _, talk = await joined(conversations={"/c": converse})
    answer = await talk((), None, read, None)
    assert (answer.code, "broken" in answer.message) == (Code.UNKNOWN, True)
    await ended.wait()


async def test_a_client_that_does_not_read_what_main_has_sent_is_left(joined):
    async def answer(_request, _metadata, _remaining_s, write):
        await write(b"first")
        await write(b"second")
        return Answer(None)

    pair, listen = await joined(streaming={"/s": answer})

    async def write(_message):
        await asyncio.Event().wait()

    watching = asyncio.ensure_future(pair.readers.watch())
    answered = await asyncio.wait_for(listen(b"", (("x-request-id", "me"),), None, write), 10)
    watching.cancel()
    assert answered.code == Code.DEADLINE_EXCEEDED
    assert b"SLOW_READER" in dict(answered.trailers)["grpc-status-details-bin"]
    assert pair.relay.is_idle


async def test_a_handler_that_breaks_is_answered_all_the_same(joined, caplog):
    async def answer(_request, _metadata, _remaining_s):
        raise KeyError("a bug")

    pair, ask = await joined(unary={"/a": answer})
    assert (await ask(b"", (), None)).code == Code.UNKNOWN
    assert len(pair.served) == 0


async def test_a_front_without_main_refuses_all_and_tells_that_it_is_not_well(joined):
    begun = asyncio.Event()

    async def answer(_request, _metadata, _remaining_s):
        begun.set()
        await asyncio.Event().wait()

    async def watch(_request, _metadata, _remaining_s, write):
        await write(b"well")
        await asyncio.Event().wait()

    pair, ask, check, listen = await joined(
        unary={"/a": answer, "/check": answer}, streaming={"/watch": watch}, lost={"/check": b"ill", "/watch": b"ill"}
    )
    got = []

    async def write(message):
        got.append(message)

    metadata = (("x-request-id", "mine"),)
    calls = [ask(b"", metadata, None), check(b"", (), None), listen(b"", (), None, write)]
    waiting = [asyncio.ensure_future(call) for call in calls]
    await begun.wait()
    await until(lambda: got == [b"well"])
    pair.main.close()
    refused, last, ended = await asyncio.gather(*waiting)
    assert (refused.code, last, got, ended.code) == (Code.UNAVAILABLE, Answer(b"ill"), [b"well", b"ill"], 14)
    details = dict(refused.trailers)["grpc-status-details-bin"]
    assert b"SHUTTING_DOWN" in details
    assert b"mine" in details
    assert (await ask(b"", (), None)).code == Code.UNAVAILABLE
    assert await check(b"", (), None) == Answer(b"ill")
    assert (await listen(b"", (), inf, write)).code == Code.UNAVAILABLE


async def test_what_a_lost_front_had_is_ended(joined):
    ended = asyncio.Event()

    async def answer(_request, _metadata, _remaining_s):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    pair, ask = await joined(unary={"/a": answer})
    asking = asyncio.ensure_future(ask(b"", (), None))
    await until(lambda: len(pair.served) == 1)
    pair.front.close()
    await asyncio.wait_for(ended.wait(), 10)
    assert len(pair.served) == 0
    asking.cancel()
