"""The chunks between a worker and a slow reader: order, credit, ends."""

import asyncio

import pytest

from pool.frames import STREAM_WINDOW, chunk_cost
from pool.streams import StreamBuffer


@pytest.fixture
async def credit():
    return []


@pytest.fixture
async def buffer(credit):
    buffer = StreamBuffer(asyncio.get_running_loop().create_future())
    buffer.credit = credit.append
    return buffer


async def test_chunks_come_in_order_all_that_are_there_at_once(buffer):
    buffer.put(b"a")
    buffer.put(b"b")
    assert await buffer.take() == [b"a", b"b"]
    buffer.put(b"c")
    buffer.end()
    assert await buffer.take() == [b"c"]
    assert await buffer.take() == []
    assert await buffer.take() == [], "the end stays the end"


@pytest.mark.parametrize("then", ["put", "end"])
async def test_a_reader_is_woken(buffer, then):
    reader = asyncio.ensure_future(buffer.take())
    await asyncio.sleep(0)
    assert not reader.done()
    if then == "put":
        buffer.put(b"x")
    else:
        buffer.end()
    assert await asyncio.wait_for(reader, 1) == ([b"x"] if then == "put" else [])


async def test_a_reader_that_was_cancelled_takes_nothing_with_it(buffer):
    reader = asyncio.ensure_future(buffer.take())
    await asyncio.sleep(0)
    reader.cancel()
    buffer.put(b"x")
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await buffer.take() == [b"x"]


async def test_credit_goes_back_for_what_is_taken_and_in_lumps(buffer, credit):
    chunk = bytes(STREAM_WINDOW // 8)
    buffer.put(chunk)
    assert credit == [], "what nobody took is not paid for"
    await buffer.take()
    assert credit == [], "a frame per chunk would cost as much as the chunk"
    buffer.put(chunk)
    await buffer.take()
    assert credit == [2 * chunk_cost(len(chunk))]


async def test_a_worker_that_used_its_window_gets_room_once_all_is_taken(buffer, credit):
    """The window is not lost in what is owed: or a slow stream would stop for ever."""
    room = STREAM_WINDOW
    sent = 0
    while room > 0:
        buffer.put(bytes(1000))
        room -= chunk_cost(1000)
        sent += chunk_cost(1000)
    await buffer.take()
    assert sum(credit) == sent


async def test_a_stream_given_up_pays_for_all_that_still_comes(buffer, credit):
    buffer.put(bytes(STREAM_WINDOW // 4))
    buffer.discard()
    assert credit == [chunk_cost(STREAM_WINDOW // 4)]
    buffer.put(bytes(STREAM_WINDOW // 4))
    assert len(credit) == 2
    buffer.end()
    assert await buffer.take() == []


async def test_nothing_is_paid_after_the_end(buffer, credit):
    buffer.put(bytes(STREAM_WINDOW // 2))
    buffer.end()
    await buffer.take()
    assert credit == []
