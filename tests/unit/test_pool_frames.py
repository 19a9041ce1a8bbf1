"""Frames: what is packed is what is read, however the bytes arrive; what is no frame is refused."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pool import frames
from pool.errors import FrameError
from pool.reader import FrameReader

FRAMES = st.lists(
    st.tuples(
        st.sampled_from([frames.RESULT, frames.CHUNK, frames.CALL, frames.READY]),
        st.integers(0, 2**64 - 1),
        st.one_of(st.binary(max_size=40), st.integers(0, 400).map(bytes)),
    ),
    max_size=12,
)


def feed(reader, data, sizes):
    """Give `data` to the reader in pieces of `sizes`, again and again, and return the frames as they come."""
    found = []
    at = turn = 0
    while at < len(data):
        space = reader.space()
        assert len(space) > 0
        count = min(sizes[turn % len(sizes)], len(space), len(data) - at)
        space[:count] = data[at : at + count]
        reader.filled(count)
        at += count
        turn += 1
        while (frame := reader.next()) is not None:
            kind, call_id, body = frame
            found.append((kind, call_id, bytes(body)))
    return found


@given(sent=FRAMES, sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8), buffer=st.integers(13, 100))
@example(sent=[(frames.CHUNK, 1, bytes(87)), (frames.CHUNK, 2, b"")], sizes=[1], buffer=100)
def test_any_split_of_the_bytes_gives_the_same_frames(sent, sizes, buffer):
    data = b"".join(frames.pack(*frame) for frame in sent)
    assert feed(FrameReader(buffer_size=buffer), data, sizes) == sent


def test_a_frame_larger_than_the_buffer_arrives_whole():
    big = bytes(range(256)) * 4096
    data = frames.pack(frames.CHUNK, 7, big) + frames.pack(frames.RESULT, 7, b"end")
    assert feed(FrameReader(), data, [65536, 1, 4096]) == [(frames.CHUNK, 7, big), (frames.RESULT, 7, b"end")]


@pytest.mark.parametrize("cut", [0, 1, 12, 13, 20, 99])
def test_a_truncated_frame_is_no_frame(cut):
    data = frames.pack(frames.CHUNK, 1, bytes(87))[:cut]
    assert feed(FrameReader(buffer_size=32), data, [50]) == []


def test_a_frame_above_the_limit_is_refused_by_its_header_alone():
    reader = FrameReader(limit=1000)
    with pytest.raises(FrameError, match="a frame of 1001 bytes, the limit is 1000"):
        feed(reader, frames.pack(frames.CHUNK, 1, bytes(1001))[:13], [13])
    assert feed(FrameReader(limit=1000), frames.pack(frames.CHUNK, 1, bytes(1000)), [64]) == [
        (frames.CHUNK, 1, bytes(1000))
    ]


@pytest.mark.parametrize(
    "garbage", [b"hello, I am a print()\n", b'{"a": 1, "b": 2, "c": 3}', b"\x01\0\0\0?" * 2 + b"12345"]
)
def test_text_is_refused_before_anything_is_allocated(garbage):
    """User code may write to a descriptor it does not know: that must not look like the head of a huge frame."""
    with pytest.raises(FrameError):
        feed(FrameReader(limit=1 << 30, kinds=frames.FROM_WORKER), garbage, [13])


@given(
    left=st.none() | st.floats(-10, 1e9),
    function=st.text(max_size=30),
    meta=st.binary(max_size=50),
    body=st.binary(max_size=50),
    stream=st.booleans(),
    lined=st.booleans(),
)
def test_a_call_is_read_as_it_was_written(left, function, meta, body, stream, lined):
    kind = (frames.STREAM if stream else frames.CALL) | (frames.LINED if lined else 0)
    deadline = -1.0 if left is None else time.monotonic() + left
    data = frames.call_head(kind, 2**63, deadline, function, meta, len(body)) + body
    ((read_kind, call_id, read_body),) = feed(FrameReader(), data, [1000])
    request = frames.read_call(read_kind, call_id, memoryview(read_body))
    assert (request.call_id, request.stream) == (2**63, stream)
    if left is None:
        assert request.timeout_s is None
    else:
        assert request.timeout_s == pytest.approx(max(0.0, left), abs=1.0), "what is left of it, never negative"
    assert (request.function, request.meta, request.body) == (function, meta, body)


@given(
    ok=st.booleans(),
    meta=st.binary(max_size=50),
    body=st.binary(max_size=50),
    worker_ns=st.integers(0, 2**63),
    change=st.none() | st.integers(-(2**62), 2**62),
)
def test_a_result_is_read_as_it_was_written(ok, meta, body, worker_ns, change):
    data = frames.result_head(3, ok, meta, len(body), worker_ns, change) + body
    ((kind, call_id, read),) = feed(FrameReader(), data, [1000])
    reply = frames.read_result(memoryview(read))
    assert (kind, call_id) == (frames.RESULT, 3)
    assert (reply.ok, reply.meta, reply.body, reply.worker_ns, reply.rss_change) == (ok, meta, body, worker_ns, change)


def test_a_result_that_states_more_than_it_has_is_refused():
    whole = frames.result_head(1, True, b"meta", 0, 0, None)[frames.HEADER_SIZE :]
    with pytest.raises(FrameError, match="states 4 bytes of meta"):
        frames.read_result(memoryview(whole[:-1]))
    with pytest.raises(FrameError, match="expected at least"):
        frames.read_result(memoryview(whole[:5]))


def test_credit_is_read_as_it_was_written():
    ((kind, call_id, body),) = feed(FrameReader(), frames.pack_credit(9, 2**32 - 1), [100])
    assert (kind, call_id, frames.read_credit(memoryview(body))) == (frames.CREDIT, 9, 2**32 - 1)


def test_empty_chunks_cost_something():
    assert frames.chunk_cost(0) > 0
