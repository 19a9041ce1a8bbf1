"""Chunks that a worker keeps for a moment: none is lost, doubled or late, whenever the front looks for them."""

import asyncio
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool import chunked, frames, streams
from pool.calls import Call
from pool.chunked import BYTES, CHUNKS, KEEP_NS, QUICK_CHUNKS, QUICK_NS, Keeper, left_behind, read
from pool.errors import FrameError
from pool.reader import FrameReader
from pool.streams import StreamBuffer
from pool.tokens import Tokens, shared_memory

SLOW, QUICK = QUICK_NS, 1000


class Stream:
    """A worker's end with a clock turned by hand, what it has sent, and the front's end of the same memory."""

    def __init__(self, patched, loop):
        memory = shared_memory()
        self.front, self.worker = Tokens(memory, new=True), Tokens(memory)
        os.close(memory)
        self.now, self.sent = 1 << 40, b""
        patched.setattr(chunked.time, "perf_counter_ns", lambda: self.now)
        self.keeper = Keeper(self.worker.outbox, 7, self.send)
        self.call = Call("f", b"", b"", None, loop.create_future(), stream=True)
        self.call.id = 7
        self.reader = FrameReader()
        self.delivered = 0

    def send(self, head, body):
        self.sent += head + body

    def add(self, chunk, after_ns):
        self.now += after_ns
        self.keeper.add(chunk)

    def deliver(self):
        """Let the front read what was sent; return the kinds of the frames."""
        data, kinds = self.sent[self.delivered :], []
        self.delivered = len(self.sent)
        while data:
            space = self.reader.space()
            count = min(len(space), len(data))
            space[:count] = data[:count]
            data = data[count:]
            self.reader.filled(count)
            while (frame := self.reader.next()) is not None:
                kind, call_id, body = frame
                assert call_id == 7
                kinds.append(kind)
                streams.take_frame(self.call, kind, body, self.front)
        return kinds

    @property
    def buffer(self):
        return self.call.buffer

    async def close(self):
        self.call.future.cancel()
        self.front.close()
        self.worker.close()


@pytest.fixture
async def stream(monkeypatch):
    made = Stream(monkeypatch, asyncio.get_running_loop())
    yield made
    await made.close()


async def test_slow_chunks_are_sent_one_by_one(stream):
    for number in range(50):
        stream.add(b"%d" % number, SLOW)
    assert stream.deliver() == [frames.CHUNK] * 50
    assert stream.buffer.kept is None, "nobody looks for what is kept: nothing is"
    assert await stream.buffer.take() == [b"%d" % number for number in range(50)]


async def test_quick_chunks_are_sent_several_at_once_and_more_by_and_by(stream):
    sizes = []
    for number in range(400):
        before = len(stream.sent)
        stream.add(b"x%d" % number, QUICK)
        if len(stream.sent) > before:
            sizes.append(number)
    stream.keeper.flush()
    kinds = stream.deliver()
    assert kinds[:QUICK_CHUNKS] == [frames.CHUNK] * QUICK_CHUNKS
    assert set(kinds[QUICK_CHUNKS:]) == {frames.CHUNKS}
    assert len(kinds) < QUICK_CHUNKS + 6 + 400 // CHUNKS
    gaps = [after - before for before, after in zip(sizes[QUICK_CHUNKS:], sizes[QUICK_CHUNKS + 1 :], strict=False)]
    assert gaps[:5] == [2, 4, 8, 16, 32]
    assert await stream.buffer.take() == [b"x%d" % number for number in range(400)]


@pytest.mark.parametrize("way", ["pause", "time", "bytes", "large"])
async def test_what_is_kept_does_not_wait_for_long(stream, way):
    for _ in range(200):
        stream.add(b"a", QUICK)
    stream.keeper.flush()
    stream.add(b"kept", QUICK)
    before = len(stream.sent)
    if way == "pause":
        stream.add(b"b", SLOW)
    elif way == "time":
        for _ in range(CHUNKS - 2):
            stream.add(b"b", KEEP_NS // (CHUNKS - 3))
            if len(stream.sent) > before:
                break
    elif way == "bytes":
        stream.add(bytes(BYTES), QUICK)
    else:
        stream.add(bytes(BYTES + 1), QUICK)
    assert len(stream.sent) > before
    stream.deliver()
    assert b"kept" in await stream.buffer.take()


async def test_after_a_slow_chunk_the_front_learns_anew_that_some_are_kept(stream):
    for _ in range(200):
        stream.add(b"a", QUICK)
    stream.add(b"slow", SLOW)
    stream.deliver()
    await stream.buffer.take()
    stream.add(b"slow", SLOW)
    for _ in range(QUICK_CHUNKS + 2):
        stream.add(b"b", QUICK)
    stream.deliver()
    stream.buffer.take_kept()
    assert await stream.buffer.take() == [b"slow"] + [b"b"] * (QUICK_CHUNKS + 2)


async def test_what_a_stream_that_stands_still_has_kept_is_found(stream):
    for _ in range(QUICK_CHUNKS + 4):
        stream.add(b"a", QUICK)
    stream.deliver()
    got = len(await stream.buffer.take())
    assert got < QUICK_CHUNKS + 4
    reader = asyncio.ensure_future(stream.buffer.take())
    assert await asyncio.wait_for(reader, 5) == [b"a"] * (QUICK_CHUNKS + 4 - got)
    reader = asyncio.ensure_future(stream.buffer.take())
    await asyncio.sleep(0)
    stream.add(b"a", QUICK)
    assert await asyncio.wait_for(reader, 5) == [b"a"], "it is looked for again and again"
    stream.add(b"b", SLOW)
    stream.deliver()
    assert await stream.buffer.take() == [b"b"], "what was found is not taken twice"


runs = st.lists(
    st.tuples(
        st.sampled_from([1, 10, 40, 100]),
        st.sampled_from([QUICK, QUICK, SLOW]),
        st.sampled_from([0, 0, 3, 1000, BYTES + 5]),
        st.sampled_from(["", "deliver", "look", "take", "flush"]),
    ),
    max_size=12,
)
"""Runs of so many chunks with so much time before each, of such a size, and what happens after each run."""


@settings(deadline=None, max_examples=60)
@given(runs)
def test_chunks_come_once_and_in_order_whenever_they_are_looked_for(todo):
    async def play():
        with pytest.MonkeyPatch.context() as patched:
            stream = Stream(patched, asyncio.get_running_loop())
            made, taken = [], []
            for count, after_ns, size, then in todo:
                for _ in range(count):
                    made.append(b"%d." % len(made) + bytes(size))
                    stream.add(made[-1], after_ns)
                if then == "deliver":
                    stream.deliver()
                elif then == "look":
                    stream.buffer.take_kept()
                elif then == "flush":
                    stream.keeper.flush()
                elif then == "take" and stream.buffer._chunks:
                    taken += await stream.buffer.take()
            stream.deliver()
            stream.buffer.take_kept()
            stream.buffer.end()
            taken += await stream.buffer.take()
            await stream.close()
            assert taken == made, "what was not sent is found, though nothing follows"

    asyncio.run(play())


@given(st.binary(max_size=100))
def test_bytes_that_are_no_chunks_are_refused_or_read(data):
    try:
        _, chunks = read(data)
    except FrameError:
        return
    assert sum(map(len, chunks)) <= len(data)


async def test_chunks_that_skip_some_are_refused():
    buffer = StreamBuffer(asyncio.get_running_loop().create_future())
    buffer.put_all(0, [b"a"])
    with pytest.raises(FrameError, match="from number 3 on"):
        buffer.put_all(3, [b"b"])


def test_memory_of_another_call_or_of_nonsense_is_nothing():
    memory = shared_memory()
    tokens = Tokens(memory, new=True)
    os.close(memory)
    keeper = Keeper(tokens.outbox, 7, lambda *_: None)
    for _ in range(QUICK_CHUNKS + 3):
        keeper.add(b"a")
    assert left_behind(tokens.outbox, 8) == (0, [])
    tokens.outbox[24:32] = b"\xff" * 8
    assert left_behind(tokens.outbox, 7) == (0, [])
    tokens.outbox[8:16] = b"\xff" * 8
    assert left_behind(tokens.outbox, 7) == (0, [])
    tokens.close()
    assert left_behind(tokens.outbox, 7) == (0, [])
