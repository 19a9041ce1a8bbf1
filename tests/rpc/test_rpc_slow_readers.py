"""Clients that open a stream and do not read it: neither their handler nor a drain waits for them for ever."""

import signal
import time

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

Code = grpc.StatusCode
LEAN = """
[server]
drain_timeout_s = 60.0
slow_reader_timeout_s = {slow_s}

[pools.general]
size = 1
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


def rest(call):
    """Reads all that was sent; the count, and how the stream ended."""
    items = []
    with pytest.raises(grpc.RpcError) as caught:
        items += call
    error = caught.value
    trailers = {one.key: one.value for one in error.trailing_metadata() or ()}
    info = ErrorInfo()
    Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(info)
    return len(items), error.code(), info.reason


def test_a_stream_that_is_not_read_ends_after_its_time_and_frees_the_worker(start_server, connect, served_app, gate):
    client = connect(start_server(served_app, LEAN.format(slow_s=0.5)).address)
    call = client.open_stream("flood", port=gate.port, timeout=60)
    running = gate.entered()
    assert len(next(call)) == 50_000
    running.wait_until_gone(8.0)
    assert client.call("add", a=1, b=2).value == 3
    count, code, reason = rest(call)
    assert count > 10, "what was sent before can be read all the same"
    assert (code, reason) == (Code.DEADLINE_EXCEEDED, "SLOW_READER")


def test_a_reader_that_is_slow_and_reads_on_loses_nothing(start_server, connect, served_app, gate):
    client = connect(start_server(served_app, LEAN.format(slow_s=1.5)).address)
    call = client.open_stream("count_big", to=300, size=100_000, timeout=60)
    assert len(next(call)) == 100_000
    wait = time.monotonic() + 0.7
    held = client.start("hold", port=gate.port)  # stands in line behind the stream
    while time.monotonic() < wait:
        assert not held.future.done()
        client.channel.subscribe(lambda _state: None)
    assert sum(1 for _ in call) == 299
    gate.entered().release()
    assert held.outcome().value == "released"


def test_a_stream_that_is_not_read_ends_soon_after_its_deadline(start_server, connect, served_app, gate):
    server = start_server(served_app, LEAN.format(slow_s=60))
    call = connect(server.address).open_stream("flood", metadata=[("x-timeout-ms", "700")], port=gate.port)
    gate.entered().wait_until_gone(8.0)
    server.wait_for_log("deadline", 8.0)
    _, code, reason = rest(call)
    assert (code, reason) == (Code.DEADLINE_EXCEEDED, "SLOW_READER")


@pytest.mark.parametrize("streams", [1, pytest.param(3, marks=pytest.mark.long)])
def test_a_drain_does_not_wait_for_a_client_that_does_not_read(start_server, connect, served_app, gate, streams):
    server = start_server(served_app, LEAN.format(slow_s=60).replace("size = 1", f"size = {streams}"))
    client = connect(server.address)
    calls = [client.open_stream("flood", port=gate.port, timeout=120) for _ in range(streams)]
    running = [gate.entered() for _ in calls]
    assert [len(next(call)) for call in calls] == [50_000] * streams
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    for one in running:
        one.wait_until_gone(10.0)
    assert server.process.wait(10) == 0
    assert time.monotonic() - started < 8
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() is Code.UNAVAILABLE
