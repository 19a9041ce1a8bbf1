"""Large frames: the message is read into the very bytes that its reader gets, wherever the reads are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool import frames
from pool.exact import unwritten
from pool.reader import FrameReader

MESSAGE = bytes(range(256)) * 300


def read(data, sizes, buffer_size=1024):
    """Return all frames; views are kept as a worker would keep them."""
    reader, found, at, turn = FrameReader(buffer_size=buffer_size), [], 0, 0
    while at < len(data):
        space = reader.space()
        count = min(sizes[turn % len(sizes)], len(space), len(data) - at)
        assert count > 0
        space[:count] = data[at : at + count]
        del space
        reader.filled(count)
        at, turn = at + count, turn + 1
        while (frame := reader.next()) is not None:
            found.append((*frame[:2], frames.lasting(frame[2])))
    assert not reader.has_some
    return found


@given(
    meta=st.integers(0, 2000).map(lambda size: b"m" * size),
    body=st.integers(0, 5000).map(lambda size: MESSAGE[:size]),
    sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=6),
    buffer_size=st.integers(40, 1024),
)
def test_calls_and_results_of_every_size(meta, body, sizes, buffer_size):
    call = frames.call_head(frames.CALL, 1, -1.0, "f", meta, len(body)) + body
    result = frames.result_head(2, True, meta, len(body), 5, None) + body
    chunk = frames.pack(frames.CHUNK, 3, body)
    (one, two, three, end) = read(call + result + chunk + frames.pack(frames.STOP), sizes, buffer_size)
    request = frames.read_call(*one)
    assert (request.function, request.meta, request.body) == ("f", meta, body)
    reply = frames.read_result(two[2])
    assert (reply.ok, reply.meta, reply.body, reply.worker_ns) == (True, meta, body, 5)
    assert frames.read_chunk(three[2]) == body
    assert end[0] == frames.STOP


def test_a_large_message_is_not_copied():
    ((_, _, body),) = read(frames.result_head(2, True, b"meta", len(MESSAGE), 5, None) + MESSAGE, [4096])
    assert type(body) is frames.Large
    assert frames.read_result(body).body is body.payload == MESSAGE
    ((kind, call_id, body),) = read(frames.call_head(frames.STREAM, 9, -1.0, "f", b"", len(MESSAGE)) + MESSAGE, [7])
    assert frames.read_call(kind, call_id, body).body is body.payload
    ((_, _, body),) = read(frames.pack(frames.CHUNK, 9, MESSAGE), [4096])
    assert frames.read_chunk(body) is body.payload


@pytest.mark.parametrize("stated", [3000, 2**32 - 1])
def test_a_result_that_states_more_meta_than_it_has_is_refused(stated):
    head = bytearray(frames.result_head(2, True, b"", 2000, 5, None))
    head[-4:] = stated.to_bytes(4, "little")
    ((_, _, body),) = read(bytes(head) + bytes(2000), [500])
    with pytest.raises(frames.FrameError):
        frames.read_result(body)


def test_bytes_are_written_before_anybody_has_them():
    made, view = unwritten(5)
    view[:] = b"abcde"
    del view
    assert made == b"abcde"
    assert hash(made) == hash(b"abcde")
    for size in (0, 1):
        with pytest.raises(ValueError, match="2 or more"):
            unwritten(size)
