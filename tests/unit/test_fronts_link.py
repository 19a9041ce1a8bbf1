"""The link between main and a front: frames of every size come whole and in order, and none holds up the others."""

import asyncio
import random
import socket

import pytest

from bridge.fronts import wire
from bridge.fronts.link import Link

PART = wire.PART_BYTES


class End:
    """One end of a link, with what has come."""

    def __init__(self, largest=1 << 30, wants=lambda _request: True):
        self.frames = []
        self.closed = []
        self.news = asyncio.Event()
        self.link = Link(self._frame, self._closed, largest, wants)

    def _frame(self, *frame):
        self.frames.append(frame)
        self.news.set()

    def _closed(self, why):
        self.closed.append(why)
        self.news.set()

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def ends():
    """Makes a connected pair."""
    made = []

    async def pair(**options):
        loop = asyncio.get_running_loop()
        ours, theirs = End(), End(**options)
        for end, sock in zip((ours, theirs), socket.socketpair(), strict=True):
            await loop.create_unix_connection(lambda end=end: end.link, sock=sock)
            made.append(end.link)
        return ours, theirs

    yield pair
    for link in made:
        link.close()


SIZES = [0, 1, 100, 16_384, 16_385, PART - 1, PART, PART + 1, 3 * PART, 5_000_000]


async def test_frames_of_all_sizes_come_whole_and_in_the_order_of_their_request(ends):
    ours, theirs = await ends()
    source = random.Random(4)
    sent = {request: [] for request in range(1, 9)}
    for _ in range(200):
        request = source.choice(list(sent))
        body = source.randbytes(source.choice(SIZES[:-1]))
        meta = source.randbytes(source.choice((0, 10, 5000)))
        deadline = source.random()
        sent[request].append((wire.MESSAGE, request, len(sent[request]) - 5, meta, body, deadline))
        ours.link.send(*sent[request][-1])
    await theirs.until(lambda: len(theirs.frames) == 200)
    for request, frames in sent.items():
        assert [frame for frame in theirs.frames if frame[1] == request] == frames
    assert {type(frame[4]) for frame in theirs.frames} == {bytes}


async def test_both_ways_at_once(ends):
    ours, theirs = await ends()
    body = random.Random(1).randbytes(3_000_001)
    for request in range(1, 6):
        ours.link.send(wire.OPEN, request, 0, b"", body)
        theirs.link.send(wire.ANSWER, request, 0, b"", body)
    await theirs.until(lambda: len(theirs.frames) == 5)
    await ours.until(lambda: len(ours.frames) == 5)
    assert all(frame[4] == body for end in (ours, theirs) for frame in end.frames)


async def test_a_small_frame_overtakes_large_ones_of_other_requests(ends):
    ours, theirs = await ends()
    ours.link.send(wire.OPEN, 1, 0, b"", bytes(40_000_000))
    ours.link.send(wire.OPEN, 2, 0, b"", bytes(40_000_000))
    ours.link.send(wire.CREDIT, 1, 7)  # of a large one: it stays behind it
    ours.link.send(wire.CANCEL, 3)
    await theirs.until(lambda: len(theirs.frames) == 4)
    order = [(frame[0], frame[1]) for frame in theirs.frames]
    assert order[0] == (wire.CANCEL, 3)
    assert order.index((wire.CREDIT, 1)) > order.index((wire.OPEN, 1))


async def test_what_is_forgotten_on_its_way_disturbs_nobody(ends):
    ours, theirs = await ends()
    ours.link.send(wire.OPEN, 1, 0, b"", bytes(20_000_000))
    ours.link.send(wire.MESSAGE, 1, 0, b"", b"behind it")
    ours.link.forget(1)
    ours.link.send(wire.CANCEL, 1)
    ours.link.send(wire.OPEN, 2, 0, b"", bytes(PART + 1))
    theirs.link.drop(1)
    await theirs.until(lambda: any(frame[1] == 2 for frame in theirs.frames))
    assert [(frame[0], frame[1]) for frame in theirs.frames] == [(wire.CANCEL, 1), (wire.OPEN, 2)]


async def test_no_large_message_is_kept_that_nobody_wants(ends):
    ours, theirs = await ends(wants=lambda request: request == 2)
    ours.link.send(wire.ANSWER, 1, 0, b"", bytes(3 * PART))
    ours.link.send(wire.ANSWER, 2, 0, b"", bytes(3 * PART))
    await theirs.until(lambda: len(theirs.frames) == 1)
    assert theirs.frames[0][1] == 2
    assert theirs.link._incoming == {}


async def test_a_frame_beyond_the_limit_ends_the_link(ends):
    ours, theirs = await ends(largest=1000)
    ours.link.send(wire.MESSAGE, 1, 0, b"", bytes(1001))
    await theirs.until(lambda: theirs.closed)
    assert "the limit is 1000" in theirs.closed[0]
    await ours.until(lambda: ours.closed)
    assert theirs.frames == []
    theirs.link.send(wire.MESSAGE, 1)  # says nothing


async def test_what_is_sent_before_the_link_is_joined_goes_first():
    ours, theirs = End(), End()
    ours.link.send(wire.RENEW, 0, 1)
    await asyncio.sleep(0)
    for end, sock in zip((ours, theirs), socket.socketpair(), strict=True):
        await asyncio.get_running_loop().create_unix_connection(lambda end=end: end.link, sock=sock)
    ours.link.send(wire.SETUP, 0, 2)
    await theirs.until(lambda: len(theirs.frames) == 2)
    assert [frame[2] for frame in theirs.frames] == [1, 2]
    ours.link.close()
    theirs.link.close()


async def test_the_end_of_the_other_side_is_told_once_and_after_its_last_frames(ends):
    ours, theirs = await ends()
    ours.link.send(wire.MESSAGE, 1, 0, b"", bytes(100_000))
    ours.link.close()
    await theirs.until(lambda: theirs.closed)
    assert len(theirs.frames) == 1
    assert theirs.closed == [""]
    assert ours.closed == []
