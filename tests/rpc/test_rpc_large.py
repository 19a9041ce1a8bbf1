"""Large messages: arrays as views, results in parts, limits that say what they are, and memory that goes back."""

import time

import numpy as np
import psutil
import pytest
from bridge_client import MessageTooLarge, connect

APP = '''
"""Functions of large values."""
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def describe(x: NDArray[np.float32]) -> list[float]:
    owner = x.base
    while getattr(owner, "base", None) is not None:
        owner = owner.base
    return [float(x.sum()), float(x.flags.writeable), float(isinstance(owner, memoryview) or owner is not None)]


def twice(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x * 2


def make(mebibytes: int) -> bytes:
    return bytes(1 << 20) * mebibytes


def series(mebibytes: int, count: int) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number]) * (mebibytes << 20)
'''
CONFIG = """
[server]
max_message_bytes = "24MiB"

[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def large(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture(scope="module")
def client(large):
    with connect(large.address) as opened:
        yield opened


def resident(pid):
    return psutil.Process(pid).memory_info().rss >> 20


def test_an_array_arrives_as_a_view_of_the_request(client):
    array = np.arange(1 << 20, dtype=np.float32)
    total, writeable, _ = client.call("describe", x=array)
    assert total == pytest.approx(float(array.sum()))
    assert not writeable
    assert np.array_equal(client.call("twice", x=array), array * 2)


def test_a_result_above_the_limit_says_so_and_how_to_get_it(client):
    with pytest.raises(MessageTooLarge, match=r"25165824 .* server.max_message_bytes.* chunk_bytes"):
        client.call("make", mebibytes=25)
    assert len(client.call("make", mebibytes=23)) == 23 << 20


def test_a_request_above_the_limit_says_so(client):
    with pytest.raises(MessageTooLarge, match=r"server\.max_message_bytes"):
        client.call("describe", x=np.zeros(7 << 20, dtype=np.float32))


def test_a_request_that_the_transport_refuses_says_the_same(client):
    """Above twice the limit gRPC refuses a message before the bridge sees it; the client says the same of it."""
    with pytest.raises(MessageTooLarge, match=r"server\.max_message_bytes") as caught:
        client.call("describe", x=np.zeros(13 << 20, dtype=np.float32))
    assert caught.value.reason == "MESSAGE_TOO_LARGE"
    assert caught.value.metadata["limit_bytes"] == str(2 * (24 << 20))


def test_a_hundred_megabytes_in_parts_pass_the_front_in_little_memory(large, client):
    in_parts = client.with_options(chunk_bytes=1 << 20)
    assert in_parts.call("make", mebibytes=1) == bytes(1 << 20)
    before = resident(large.pid)
    found = in_parts.call("make", mebibytes=100)
    assert len(found) == 100 << 20
    assert resident(large.pid) - before < 30


def test_items_of_a_stream_in_parts(client):
    items = client.with_options(chunk_bytes=300_000).stream("series", mebibytes=1, count=3)
    assert [(len(item), item[0], item[-1]) for item in items] == [(1 << 20, n, n) for n in range(3)]


def test_parts_that_are_left_early_leave_the_worker_free(client):
    with client.with_options(chunk_bytes=4096).stream("series", mebibytes=8, count=3) as items:
        next(items)
    assert client.call("make", mebibytes=0) == b""


def test_an_idle_server_gives_back_what_a_burst_has_taken(large, client):
    """Bounded by what the burst held: the front and the worker keep it for about a second."""
    for _ in range(6):
        assert len(client.call_raw("bridge.echo", bytes(20 << 20))) == 20 << 20
    most = resident(large.pid)
    deadline = time.monotonic() + 10
    while resident(large.pid) > most - 30 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert resident(large.pid) <= most - 30
