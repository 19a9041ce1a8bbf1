"""Items of a stream in parts: put together they are the items, and every part is as small as was asked for."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.v1 import common_pb2, invoke_pb2
from handlers.errors import BadInput
from handlers.values.parts import LEAST_BYTES, STREAM_CALL, in_parts, parts

LIMIT = 1 << 20


def response(size: int) -> bytes:
    payload = common_pb2.Payload(raw=bytes(range(256)) * (size // 256) + bytes(size % 256))
    return invoke_pb2.StreamCallResponse(item=payload).SerializeToString()


def request(chunk_bytes: int) -> bytes:
    payload = common_pb2.Payload(json="{}")
    return invoke_pb2.StreamCallRequest(function="f", arguments=payload, chunk_bytes=chunk_bytes).SerializeToString()


@settings(deadline=None)
@given(size=st.integers(0, 70_000), chunk=st.integers(1, 20_000))
def test_the_parts_are_the_item(size: int, chunk: int) -> None:
    whole = response(size)
    found = [invoke_pb2.StreamCallResponse.FromString(part) for part in parts(whole, chunk)]
    if len(whole) <= chunk:
        assert [one.SerializeToString() for one in found] == [whole]
        return
    item = b""
    for one in found:
        assert one.part.offset == len(item)
        assert 0 < len(one.part.data) <= chunk
        item += one.part.data
        assert one.part.total >= len(item)
    assert len(item) == found[-1].part.total
    assert common_pb2.Payload.FromString(item) == invoke_pb2.StreamCallResponse.FromString(whole).item


def test_without_chunk_bytes_nothing_is_touched() -> None:
    items = iter([b"a"])
    assert in_parts(items, STREAM_CALL, request(0), LIMIT) is items
    assert in_parts(items, "ProgramService/StreamRun", request(LEAST_BYTES), LIMIT) is items
    assert in_parts(items, STREAM_CALL, b"\xff\xff", LIMIT) is items


def test_too_small_parts_are_refused() -> None:
    with pytest.raises(BadInput, match="at least 4096"):
        in_parts(iter([]), STREAM_CALL, request(LEAST_BYTES - 1), LIMIT)


@pytest.mark.parametrize("asked", [20_000, 20_480, 1 << 34, (1 << 64) - 1])
def test_parts_fit_into_a_message_whatever_was_asked_for(asked: int) -> None:
    found = list(in_parts(iter([response(100_000)]), STREAM_CALL, request(asked), 20_480))
    assert max(map(len, found)) <= 20_480
    parsed = [invoke_pb2.StreamCallResponse.FromString(one).part for one in found]
    assert b"".join(part.data for part in parsed) == parts_of(response(100_000))
    assert {part.total for part in parsed} == {len(parts_of(response(100_000)))}


def parts_of(whole: bytes) -> bytes:
    return invoke_pb2.StreamCallResponse.FromString(whole).item.SerializeToString()


def test_closing_early_closes_what_makes_the_items() -> None:
    closed = []

    def made():
        try:
            yield response(10_000)
        finally:
            closed.append(True)

    items = in_parts(made(), STREAM_CALL, request(LEAST_BYTES), LIMIT)
    assert next(items)
    items.close()
    assert closed == [True]


def test_asynchronous_items_too() -> None:
    async def made():
        yield response(10_000)
        yield response(3)

    async def collect():
        return [part async for part in in_parts(made(), STREAM_CALL, request(LEAST_BYTES), LIMIT)]

    assert len(asyncio.run(collect())) == 4
