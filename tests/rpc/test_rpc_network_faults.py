"""Clients that break off, freeze, flood or speak something else: they are bounded, and the others notice nothing.

The bytes are written by hand, because no client library would send them.
"""

import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import zlib
from contextlib import closing, suppress
from pathlib import Path

import grpc
import psutil
import pytest

from bridge.v1 import invoke_pb2, model_pb2
from bridge.v1.common_pb2 import Payload

Code = grpc.StatusCode
ROOT = Path(__file__).resolve().parents[2]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRONT_SPARE_BYTES = 100 << 20
"""What the front may grow by under abuse: far less than what is sent to it."""


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def header_block(fields):
    """HPACK without compression: every field a literal that is not indexed."""
    block = b""
    for name, value in fields:
        assert max(len(name), len(value)) < 127
        block += b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return block


def request_headers(path="/bridge.v1.InvokeService/Call", **changes):
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    return header_block(fields.items())


def message(body, compressed=0):
    return struct.pack(">BI", compressed, len(body)) + body


class Http2:
    """A connection that does what the test says, right or wrong."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self._read = b""
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def send(self, data):
        self.socket.sendall(data)

    def frames(self):
        """All frames until the server closes the connection, or nothing comes for ten seconds."""
        with suppress(ConnectionResetError):
            while True:
                while len(self._read) >= 9 and len(self._read) >= 9 + (size := int.from_bytes(self._read[:3])):
                    kind, flags, stream = struct.unpack(">BBI", self._read[3:9])
                    body, self._read = self._read[9 : 9 + size], self._read[9 + size :]
                    if kind in (PING, SETTINGS) and not flags & ACK:
                        self.send(frame(kind, ACK, 0, body if kind == PING else b""))
                    yield kind, flags, stream, body
                if not (data := self.socket.recv(65536)):
                    return
                self._read += data

    def until(self, wanted):
        """The body of the first frame of a kind."""
        return next((body for kind, _, _, body in self.frames() if kind == wanted), None)

    def close(self):
        self.socket.close()


def bomb_of(size):
    """So many zeros, as gzip."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def peak_bytes(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


@pytest.fixture
def wire(shared):
    """`wire()` opens a connection to the shared server."""
    opened = []

    def one():
        opened.append(Http2(shared.address))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


@pytest.fixture
def front(shared):
    """The front's process; at the end of the test it holds no more descriptors and hardly more memory than before."""
    process = psutil.Process(shared.pid)
    held, grown = process.num_fds(), process.memory_info().rss
    yield process
    deadline = time.monotonic() + 10
    while process.num_fds() > held + 2 and time.monotonic() < deadline:
        os.sched_yield()
    assert process.num_fds() <= held + 2
    assert process.memory_info().rss < grown + FRONT_SPARE_BYTES


# -- what is no gRPC ------------------------------------------------------------------------------------------------

NOT_GRPC = {
    "http1": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": bytes.fromhex("16030100c8010000c40303") + bytes(range(189)),
    "zeros": bytes(4096),
    "random": random.Random(7).randbytes(65536),
    "preface then garbage": PREFACE + b"\xff" * 4096,
    "an oversize frame": PREFACE + frame(SETTINGS, 0, 0) + b"\xff\xff\xff" + bytes(6) + bytes(70_000),
}


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize("what", NOT_GRPC)
def test_what_is_no_grpc_ends_its_connection_only(rpc, shared, what):
    host, port = shared.address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection, suppress(OSError):
        connection.sendall(NOT_GRPC[what])
        while connection.recv(65536):
            continue
    assert rpc.call("add", a=1, b=2).value == 3


@pytest.mark.usefixtures("front")
def test_a_tls_client_on_the_plain_port_fails_at_once(rpc, shared):
    host, port = shared.address.rsplit(":", 1)
    context = ssl.create_default_context()
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(connection, server_hostname="localhost"),
    ):
        pass
    assert rpc.call("add", a=1, b=2).value == 3


# -- requests that ask for what there is not --------------------------------------------------------------------------


def status_of(connection, block, body):
    connection.send(frame(HEADERS, END_HEADERS, 1, block) + frame(DATA, END_STREAM, 1, body))
    return b"".join(body for kind, _, stream, body in up_to_the_end(connection) if stream == 1 and kind == HEADERS)


def up_to_the_end(connection):
    for one in connection.frames():
        yield one
        if one[2] == 1 and (one[1] & END_STREAM or one[0] == RST):
            return


CALL = message(invoke_pb2.CallRequest(function="add", arguments=Payload(json='{"a": 1, "b": 2}')).SerializeToString())


def test_a_request_by_hand_is_answered(wire):
    assert b"grpc-status" in status_of(wire(), request_headers(), CALL)


@pytest.mark.usefixtures("front")
@pytest.mark.parametrize("changes", [{":method": "GET"}, {"grpc_encoding": "br"}, {"path": "/"}, {":scheme": "gopher"}])
def test_a_request_that_is_half_right_is_refused_and_the_server_goes_on(rpc, wire, changes):
    body = message(b"not brotli", compressed=1) if "grpc_encoding" in changes else CALL
    assert b"grpc-status\x010" not in status_of(wire(), request_headers(**changes), body)
    assert rpc.call("add", a=1, b=2).value == 3


@pytest.mark.parametrize(
    "path",
    ["/", "/bridge.v1.InvokeService/Removed", "/bridge.v2.InvokeService/Call", "/bridge.v1.InvokeService/call", "//"],
)
def test_an_rpc_that_is_not_there(rpc, path):
    with pytest.raises(grpc.RpcError) as caught:
        rpc.channel.unary_unary(path)(b"", timeout=10)
    assert caught.value.code() is Code.UNIMPLEMENTED


def test_fields_of_a_newer_client_are_passed_over(rpc):
    newer = invoke_pb2.CallRequest(function="bridge.echo", arguments=Payload(json='{"text": "a"}')).SerializeToString()
    newer += bytes([0xFA, 0x3E, 3]) + b"new" + bytes([0xF0, 0x3E, 1])
    assert rpc.unary("InvokeService/Call", newer, invoke_pb2.CallResponse).value.result.json == '{"text": "a"}'


def test_an_enum_number_of_a_newer_client_is_told(server, connect):
    request = model_pb2.GenerateRequest(messages=[model_pb2.Message(role=model_pb2.ROLE_USER, content="hi")])
    newer = request.SerializeToString().replace(bytes([8, model_pb2.ROLE_USER]), bytes([8, 99]), 1)
    assert model_pb2.GenerateRequest.FromString(newer).messages[0].role == 99
    outcome = connect(server.address).unary("ModelService/Generate", newer, model_pb2.GenerateResponse)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")


def test_a_bomb_is_measured_unpacked(rpc, wire, front):
    """60 MiB of zeros in 60 KiB, against a limit of 1 MiB."""
    most = peak_bytes(front)
    bomb = message(bomb_of(60 << 20), compressed=1)
    connection = wire()
    connection.send(frame(HEADERS, END_HEADERS, 1, request_headers(grpc_encoding="gzip")))
    assert len(bomb) < 65_000, "it fits into the window"
    pieces = [bomb[start : start + 16_000] for start in range(0, len(bomb), 16_000)]
    for piece in pieces:
        connection.send(frame(DATA, END_STREAM if piece is pieces[-1] else 0, 1, piece))
    ended = [body for kind, _, stream, body in up_to_the_end(connection) if stream == 1 and kind in (HEADERS, RST)]
    assert any(b"grpc-status\x018" in body for body in ended), ended
    assert peak_bytes(front) - most < 20 << 20
    assert rpc.call("add", a=1, b=2).value == 3


# -- floods -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("front")
def test_a_flood_of_pings_ends_its_connection(rpc, wire):
    connection = wire()
    with suppress(OSError):
        connection.send(frame(PING, 0, 0, b"12345678") * 100)
    told = connection.until(GOAWAY)
    assert told is None or int.from_bytes(told[4:8]) == 11, "enhance your calm"
    assert rpc.call("add", a=1, b=2).value == 3


@pytest.mark.usefixtures("front")
def test_requests_that_are_taken_back_at_once_run_nothing(rpc, wire):
    before = rpc.pool("general").calls
    connection = wire()
    block = request_headers()
    with suppress(OSError):
        for first in range(1, 4001, 100):
            connection.send(
                b"".join(
                    frame(HEADERS, END_HEADERS, stream, block) + frame(RST, 0, stream, struct.pack(">I", 8))
                    for stream in range(first, first + 100, 2)
                )
            )
    assert rpc.call("add", timeout=5, a=1, b=2).value == 3
    assert rpc.pool("general").calls - before < 20


@pytest.mark.usefixtures("front")
def test_headers_without_an_end_are_bounded(rpc, wire):
    connection = wire()
    connection.send(frame(HEADERS, 0, 1, request_headers()))
    more = header_block([("x-more", "y" * 100)]) * 140
    with suppress(OSError):
        for _ in range(4000):
            connection.send(frame(CONTINUATION, 0, 1, more))
    assert rpc.call("add", timeout=5, a=1, b=2).value == 3


@pytest.mark.usefixtures("front")
def test_a_flood_of_settings_harms_nobody(rpc, wire):
    connection = wire()
    with suppress(OSError):
        for _ in range(20):
            connection.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 500)
    assert rpc.call("add", timeout=5, a=1, b=2).value == 3


@pytest.mark.usefixtures("front")
def test_data_in_single_bytes_is_put_together(wire):
    connection = wire()
    connection.send(frame(HEADERS, END_HEADERS, 1, request_headers()))
    connection.send(b"".join(frame(DATA, 0, 1, bytes([one])) for one in CALL) + frame(DATA, END_STREAM, 1))
    received = b"".join(body for kind, _, _, body in up_to_the_end(connection) if kind == DATA)
    assert invoke_pb2.CallResponse.FromString(received[5:]).result.json == "3"


@pytest.mark.usefixtures("front")
def test_metadata_beyond_its_bound_is_refused(rpc):
    outcome = rpc.call("add", metadata=[(f"x-pad-{number}", "v" * 1000) for number in range(20)], a=1, b=2)
    assert outcome.code is Code.RESOURCE_EXHAUSTED
    assert rpc.call("add", metadata=[("x-pad", "v" * 6000)], a=1, b=2).value == 3


def test_many_idle_connections_keep_nobody_out(rpc, wire, front):
    before = front.num_fds()
    connections = [wire() for _ in range(300)]
    assert all(connection.until(SETTINGS) is not None for connection in connections)
    assert front.num_fds() > before + 250
    with closing(grpc.insecure_channel(rpc.address, options=[("grpc.use_local_subchannel_pool", 1)])) as another:
        reply = another.unary_unary("/bridge.v1.InvokeService/Call")(CALL[5:], timeout=10)
    assert invoke_pb2.CallResponse.FromString(reply).result.json == "3"
    for connection in connections:
        connection.close()


# -- clients that come to an end --------------------------------------------------------------------------------------

CLIENT = """
import grpc, sys
from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import Payload
request = invoke_pb2.CallRequest(function="hold", arguments=Payload(json='{{"port": {port}}}')).SerializeToString()
grpc.insecure_channel("{address}").unary_unary("/bridge.v1.InvokeService/Call")(request, timeout=300)
"""
KEEPALIVE = """
[server]
keepalive_time_s = 1
keepalive_timeout_s = 1

[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture
def client_process(gate):
    """`client_process(address)`: a process that calls `hold`, for the test to end."""
    started = []

    def one(address):
        script = CLIENT.format(address=address, port=gate.port)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait()


def test_a_client_that_is_killed_frees_its_worker_at_once(rpc, shared, gate, client_process):
    process = client_process(shared.address)
    held = gate.entered()
    worker = held.pid
    process.kill()
    killed_at = time.monotonic()
    held.wait_until_gone(5.0)
    assert time.monotonic() - killed_at < 1.0
    assert worker in rpc.workers("general").values()


def test_a_client_that_is_frozen_frees_its_worker_after_the_keepalive(
    start_server, connect, served_app, gate, client_process
):
    server = start_server(served_app, KEEPALIVE)
    process = client_process(server.address)
    held = gate.entered()
    process.send_signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    held.wait_until_gone(8.0)
    assert 0.5 < time.monotonic() - frozen_at < 5.0
    assert connect(server.address).call("add", a=1, b=2).value == 3


def test_requests_whose_body_never_comes_hold_nothing_up(start_server, connect, served_app):
    server = start_server(served_app, KEEPALIVE)
    with closing(Http2(server.address)) as connection:
        connection.send(
            b"".join(frame(HEADERS, END_HEADERS, stream, request_headers()) for stream in range(1, 401, 2))
            + frame(DATA, 0, 1, CALL[:-1])
        )
        client = connect(server.address)
        assert client.call("add", a=1, b=2).value == 3
        assert client.pool("general").running == 0
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
