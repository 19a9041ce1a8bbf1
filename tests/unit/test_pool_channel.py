"""The front's end of a socket: frames whole and in order, however little the socket takes; ends told once."""

import asyncio
import random
import socket

import pytest

from pool import frames
from pool.channel import Channel
from pool.reader import FrameReader


class Line:
    """A channel, the other end of its socket, and what came of it."""

    def __init__(self, limit=1 << 24):
        self.ours, self.theirs = socket.socketpair()
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        self.frames, self.closed = [], []
        self.changed = asyncio.Event()
        self.channel = Channel(self.ours, asyncio.get_running_loop(), self._frame, self._closed, limit)

    def _frame(self, kind, call_id, body):
        self.frames.append((kind, call_id, bytes(body)))
        self.changed.set()

    def _closed(self, why):
        self.closed.append(why)
        self.changed.set()

    async def until(self, condition):
        async with asyncio.timeout(5):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def line():
    made = Line()
    yield made
    made.channel.close()
    made.theirs.close()


def read_all(sock, count):
    """Read `count` frames as a worker does, in a thread."""
    reader, found = FrameReader(), []
    while len(found) < count:
        while (frame := reader.next()) is not None:
            found.append((frame[0], frame[1], bytes(frame[2])))
        if len(found) < count:
            reader.filled(sock.recv_into(reader.space()))
    return found


async def test_frames_go_out_whole_and_in_order_through_a_narrow_socket(line):
    chance = random.Random(7)
    bodies = [chance.randbytes(chance.choice([0, 5, 2000, 16384, 200_000])) for _ in range(60)]
    reading = asyncio.get_running_loop().run_in_executor(None, read_all, line.theirs, len(bodies))
    for number, body in enumerate(bodies):
        line.channel.send(frames.HEADER.pack(len(body), frames.CALL, number), body)
        if number % 7 == 0:
            await asyncio.sleep(0)
    assert await asyncio.wait_for(reading, 10) == [(frames.CALL, number, body) for number, body in enumerate(bodies)]


async def test_frames_come_in(line):
    sent = [(frames.CHUNK, number, bytes(number * 100)) for number in range(200)]
    data = b"".join(frames.pack(*frame) for frame in sent)
    await asyncio.get_running_loop().run_in_executor(None, line.theirs.sendall, data)
    await line.until(lambda: len(line.frames) == 200)
    assert line.frames == sent


async def test_an_end_is_told_once(line):
    line.theirs.sendall(frames.pack(frames.RESULT, 1, b"last"))
    line.theirs.close()
    await line.until(lambda: line.closed)
    assert line.frames == [(frames.RESULT, 1, b"last")]
    line.channel.send(b"nobody reads this")
    line.channel.close()
    line.channel.drain_input()
    assert line.closed == [""]


@pytest.mark.parametrize("bad", [b"x" * 13, frames.HEADER.pack((1 << 24) + 1, frames.CHUNK, 1)])
async def test_a_broken_protocol_is_told_with_its_reason(line, bad):
    line.theirs.sendall(frames.pack(frames.CHUNK, 1, b"good") + bad)
    await line.until(lambda: line.closed)
    assert line.frames == [(frames.CHUNK, 1, b"good")]
    (why,) = line.closed
    assert "a frame of" in why


async def test_what_was_written_before_a_death_is_delivered(line):
    line.theirs.sendall(b"".join(frames.pack(frames.CHUNK, number, bytes(50)) for number in range(100)))
    line.theirs.close()
    line.channel.drain_input()
    assert len(line.frames) == 100


async def test_draining_ends_at_what_is_no_frame(line):
    line.theirs.sendall(frames.pack(frames.CHUNK, 1, b"good") + b"y" * 100)
    line.channel.drain_input()
    assert [frame[2] for frame in line.frames] == [b"good"]


async def test_draining_does_not_wait_for_a_grandchild_that_holds_the_socket(line):
    line.theirs.sendall(frames.pack(frames.CHUNK, 1, b"good"))
    line.channel.drain_input()
    assert len(line.frames) == 1
