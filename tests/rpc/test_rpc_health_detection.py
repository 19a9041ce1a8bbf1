"""Health says what is true of the workers, soon: of killed, stopped and hung ones, over the wire."""

import signal
import time

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

Status = health_pb2.HealthCheckResponse
APP = '''
import ctypes
import os
import threading
import time


def pid() -> int:
    return os.getpid()


def hang_soon() -> bool:
    """Let a thread hold the interpreter for good once this has been answered."""
    def hold_everything():
        time.sleep(0.1)
        ctypes.PyDLL(None).sleep(600)

    threading.Thread(target=hold_everything, daemon=True).start()
    return True
'''
CONFIG = """
[pools.general]
size = {size}

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


class Watch:
    """A client that watches a pool's health; how long each verdict took to come."""

    def __init__(self, client, name="pool/general"):
        stub = health_pb2_grpc.HealthStub(client.channel)
        self._stream = stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=60)
        assert next(self._stream).status == Status.SERVING
        self.since = time.monotonic()

    def next(self):
        status = next(self._stream).status
        return status, time.monotonic() - self.since


@pytest.fixture
def served(start_server, connect):
    def start(size=1):
        client = connect(start_server(APP, CONFIG.format(size=size)).address)
        return client, Watch(client)

    return start


class TestDetection:
    def test_a_killed_worker(self, served, process):
        client, watch = served()
        process(client.call("pid").value).send_signal(signal.SIGKILL)
        watch.since = time.monotonic()
        status, seconds = watch.next()
        assert status == Status.NOT_SERVING
        assert seconds < 1.0
        assert watch.next()[0] == Status.SERVING

    def test_a_stopped_worker_and_the_same_going_on(self, served, process):
        client, watch = served()
        pid = client.call("pid").value
        process(pid).send_signal(signal.SIGSTOP)
        watch.since = time.monotonic()
        status, seconds = watch.next()
        assert status == Status.NOT_SERVING
        assert seconds < 2.0
        process(pid).send_signal(signal.SIGCONT)
        assert watch.next()[0] == Status.SERVING
        assert client.call("pid").value == pid, "nobody was killed"

    def test_a_stopped_worker_is_replaced(self, served, process):
        client, watch = served()
        pid = client.call("pid").value
        process(pid).send_signal(signal.SIGSTOP)
        watch.since = time.monotonic()
        assert watch.next()[0] == Status.NOT_SERVING
        status, seconds = watch.next()
        assert status == Status.SERVING
        assert 2.0 <= seconds < 6.0
        assert "its process was stopped" in client.pool("general").exits[0].cause
        assert client.call("pid").value != pid

    def test_a_hung_worker(self, served):
        """Two seconds of silence, two for the canary, and what a busy machine takes on top."""
        client, watch = served()
        client.call("hang_soon")
        watch.since = time.monotonic()
        status, seconds = watch.next()
        assert status == Status.NOT_SERVING
        assert seconds < 7.0
        assert watch.next()[0] == Status.SERVING
        report = client.pool("general").exits[0]
        assert "hung: idle" in report.cause
        assert "in hold_everything" in report.stderr_tail
