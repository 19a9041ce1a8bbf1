"""The Python client's multiplexed stream against a real server."""

import asyncio
import time
from concurrent.futures import CancelledError, wait
from contextlib import suppress

import bridge_client
import pytest

APP = """
import os
import signal
import time
from collections.abc import Iterator


def add(a: int, b: int) -> int:
    return a + b


def flip(data: bytes) -> bytes:
    return data[::-1]


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def fail() -> int:
    raise ValueError("as told")


def count(to: int) -> Iterator[int]:
    yield from range(to)
"""


@pytest.fixture(scope="module")
def server(start_shared_server):
    return start_shared_server(APP)


@pytest.fixture
def client(server):
    with bridge_client.connect(server.address) as opened:
        yield opened


def test_many_calls(client):
    with client.multiplex() as many:
        futures = [many.call("add", a=number, b=1) for number in range(5000)]
        flipped = many.call_raw("flip", b"abc")
        assert many.call("add", a=1, b=1).result(10) == 2
    assert [future.result(0) for future in futures] == list(range(1, 5001))
    assert flipped.result(0) == b"cba"


def test_failures_are_the_same_as_of_calls_by_themselves(client):
    with client.multiplex() as many:
        futures = [many.call("fail"), many.call("add", a="x", b=1), many.call("ad", a=1, b=1), many.call("count", to=1)]
        good = many.call("add", a=1, b=2)
        errors = [future.exception(10) for future in futures]
        assert good.result(10) == 3
    assert isinstance(errors[0], bridge_client.UserException)
    assert isinstance(errors[1], bridge_client.SchemaMismatch)
    assert errors[1].violations[0].field == "a"
    assert isinstance(errors[2], bridge_client.NotFound)
    assert "add" in str(errors[2])
    assert "StreamCall" in str(errors[3])


def test_a_slow_call_holds_up_no_other_and_can_be_cancelled(client):
    with client.multiplex() as many:
        slow = many.call("nap", seconds=30.0)
        assert many.call("add", a=1, b=2).result(10) == 3
        assert slow.cancel()
        assert slow.cancel()
        wait([slow], 5)
        with pytest.raises(CancelledError):
            slow.result(0)
    assert client.call("add", a=1, b=2) == 3


def test_each_call_has_the_timeout_and_the_receipt_of_its_client(client):
    receipts = []
    with client.with_options(timeout=0.3, on_receipt=receipts.append).multiplex() as many:
        late, quick = many.call("nap", seconds=30.0), many.call("add", a=1, b=2)
        assert isinstance(late.exception(10), bridge_client.DeadlineExceeded)
        assert quick.result(10) == 3
    assert {(one.function, one.route) for one in receipts} == {("nap", "pooled"), ("add", "pooled")}
    assert all(one.worker and one.total_us for one in receipts)


def test_an_exception_inside_ends_the_stream_at_once(client):
    started = time.monotonic()
    many = client.multiplex()
    slow = many.call("nap", seconds=30.0)
    with suppress(KeyError), many:
        raise KeyError
    assert time.monotonic() - started < 10
    assert isinstance(slow.exception(0), bridge_client.BridgeError)
    with pytest.raises(RuntimeError, match="closed"):
        many.call("add", a=1, b=2)


def test_a_lost_server_fails_what_is_open(start_server):
    server = start_server(APP)
    with bridge_client.connect(server.address) as client:
        many = client.multiplex()
        slow = many.call("nap", seconds=30.0)
        assert many.call("add", a=1, b=2).result(10) == 3
        server.kill()
        assert isinstance(slow.exception(10), bridge_client.Unavailable)


def test_no_server():
    with bridge_client.connect("127.0.0.1:1", timeout=5) as client:
        many = client.multiplex()
        with pytest.raises(bridge_client.CannotConnect):
            many.call("add", a=1, b=2).result(20)


def test_asyncio(server):
    async def main():
        async with bridge_client.connect_async(server.address) as client:
            async with client.multiplex() as many:
                sums = await asyncio.gather(*[many.call("add", a=number, b=1) for number in range(3000)])
                slow = many.call("nap", seconds=30.0)
                with pytest.raises(bridge_client.UserException):
                    await many.call("fail")
                slow.cancel()
                left = many.call("add", a=1, b=2)
            assert left.result() == 3
            assert slow.cancelled()
            with pytest.raises(RuntimeError, match="closed"):
                many.call("add", a=1, b=2)
            return sums

    assert asyncio.run(main()) == list(range(1, 3001))


def test_streams_are_whole(client):
    assert list(client.stream("count", to=3000)) == list(range(3000))
