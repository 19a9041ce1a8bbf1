"""Fronts that are killed, stopped or starved, and a main process that dies under them: what it costs whom."""

import resource
import signal
import socket
import threading

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

Code = grpc.StatusCode
CONFIG = """
[server]
fronts = 2
drain_timeout_s = 20.0

[pools.general]
size = 2
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


class Load:
    """Calls over one connection, one after the other, until it is told to stop; it keeps what went wrong."""

    def __init__(self, client):
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answered = 0
        self.failures = []
        self._thread.start()

    def _run(self):
        number = 0
        while not self._stop.is_set():
            number += 1
            outcome = self._client.call("add", a=number, b=1)
            if outcome.code is Code.OK:
                assert outcome.value == number + 1
                self.answered += 1
            else:
                self.failures.append((outcome.code, outcome.message))

    def end(self):
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def server(start_server, served_app):
    return start_server(served_app, CONFIG)


@pytest.fixture
def clients(server, connect_to_each):
    """A client of each front, by the front's id."""
    return connect_to_each(server.address)


@pytest.fixture
def pids(clients):
    return {front.id: front.pid for front in next(iter(clients.values())).fronts()}


def replaced(clients, old, eventually):
    """Waits until another front serves in the place of `old`, and returns it."""
    observer = next(client for name, client in clients.items() if name != old)

    def look():
        names = {front.id for front in observer.fronts()}
        return old not in names and len(names) == len(clients) and names

    (new,) = eventually(look, f"a front in the place of {old}", 60.0) - set(clients)
    return new


def test_a_front_that_is_killed_under_load_costs_its_own_calls_only(clients, pids, gate, process, eventually, server):
    (lost, victim), (_, other) = clients.items()
    loads = [Load(victim), Load(other)]
    eventually(lambda: all(load.answered > 20 for load in loads), "both fronts to serve")
    held = victim.start("hold", port=gate.port)
    running = gate.entered()
    process(pids[lost]).kill()
    assert held.outcome().code is Code.UNAVAILABLE
    running.wait_until_gone()
    new = replaced(clients, lost, eventually)
    done = [load.answered for load in loads]
    eventually(lambda: all(load.answered > before + 20 for load, before in zip(loads, done, strict=True)), "the rest")
    for load in loads:
        load.end()
    assert {code for code, _ in loads[0].failures} <= {Code.UNAVAILABLE}
    assert len(loads[0].failures) <= 5, "those that were sent before the client noticed the end of its connection"
    assert loads[1].failures == []
    assert "killed by SIGKILL" in server.wait_for_log("front ended")
    assert {front.id: front.restarts for front in other.fronts()}[new] == 1
    assert len(other.workers("general")) == 2, "no worker was harmed"


def test_a_front_that_is_stopped_is_replaced(clients, pids, process, eventually, server):
    (lost, _), (_, other) = clients.items()
    process(pids[lost]).send_signal(signal.SIGSTOP)
    replaced(clients, lost, eventually)
    assert "stopped, as by SIGSTOP" in server.wait_for_log("front ended")
    assert other.call("add", a=1, b=1).value == 2


def test_a_front_that_is_told_to_end_ends_after_its_calls(clients, pids, gate, process, eventually):
    (leaving, victim), (_, other) = clients.items()
    held = victim.start("hold", port=gate.port)
    running = gate.entered()
    process(pids[leaving]).send_signal(signal.SIGTERM)
    eventually(lambda: leaving not in {front.id for front in other.fronts()}, "the front to leave")
    assert other.call("add", a=1, b=1).value == 2
    running.release()
    assert held.outcome().value == "released"
    replaced(clients, leaving, eventually)


def test_a_sigterm_for_all_processes_is_one_drain(server, clients, pids, gate, process):
    """As a service manager sends it."""
    held = [client.start("hold", port=gate.port) for client in clients.values()]
    running = [gate.entered() for _ in held]
    for pid in (*pids.values(), server.pid):
        process(pid).send_signal(signal.SIGTERM)
    server.wait_for_log("draining")
    for client in clients.values():
        assert client.call("add", a=1, b=1).reason == "SHUTTING_DOWN"
    for each in running:
        each.release()
    assert [each.outcome().value for each in held] == ["released"] * 2
    assert server.terminate() == 0
    assert "front ended" not in server.stderr.text


def test_workers_that_die_fail_their_calls_through_every_front(clients, gate):
    for client in clients.values():
        died = client.call("die")
        assert (died.code, died.reason) == (Code.ABORTED, "WORKER_CRASHED")
        assert died.metadata["signal"] == "SIGKILL"


def test_fronts_do_not_outlive_the_main_process(server, clients, pids, gate):
    watches = [
        health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        for client in clients.values()
    ]
    assert [next(watch).status for watch in watches] == [health_pb2.HealthCheckResponse.SERVING] * 2
    held = [client.start("hold", port=gate.port) for client in clients.values()]
    running = [gate.entered() for _ in held]
    fronts = [psutil.Process(pid) for pid in pids.values()]
    server.kill()
    for watch in watches:
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as ended:
            next(watch)
        assert ended.value.code() is Code.UNAVAILABLE
    for call in held:
        outcome = call.outcome()
        assert (outcome.code, outcome.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
    for each in running:
        each.wait_until_gone()
    _, alive = psutil.wait_procs(fronts, timeout=10)
    assert alive == []
    host, port = server.address.rsplit(":", 1)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((host, int(port)))
        again.listen()


def test_a_front_without_descriptors_serves_the_connections_that_it_has(clients, pids, connect, server):
    (starved, victim), (_, other) = clients.items()
    _, hard = resource.prlimit(pids[starved], resource.RLIMIT_NOFILE)
    resource.prlimit(pids[starved], resource.RLIMIT_NOFILE, (8, hard))
    for number in range(20):
        assert victim.call("add", a=number, b=1).value == number + 1
        assert other.call("add", a=number, b=1).value == number + 1
    resource.prlimit(pids[starved], resource.RLIMIT_NOFILE, (hard, hard))
    for _ in range(8):
        assert connect(server.address, own_connection=True).call("add", a=1, b=1).value == 2


def test_no_descriptor_is_left_of_fronts_that_have_ended(server, clients, process, eventually):
    (own, observer), main = next(iter(clients.items())), process(server.pid)
    counts = []
    for _ in range(3):
        (victim,) = [front for front in observer.fronts() if front.id != own]
        process(victim.pid).kill()
        replaced({own: observer, victim.id: observer}, victim.id, eventually)
        counts.append(main.num_fds())
    eventually(lambda: main.num_fds() <= counts[0], "as many descriptors as after the first")


def test_a_server_whose_fronts_can_not_start_says_why(launch, served_app):
    server = launch(served_app, CONFIG, before="from bridge.fronts import front; front.MODULE = 'no_such_module'")
    assert server.wait() == 1
    assert "ended: exited with code 1" in server.stderr
    assert "No module named no_such_module" in server.stderr
    assert server.leftovers() == []


START_BADLY_AT_FIRST = """
from bridge.fronts import front
good = front._start
def start(descriptor):
    front._start = good
    front.MODULE, module = "no_such_module", front.MODULE
    try:
        return good(descriptor)
    finally:
        front.MODULE = module
front._start = start
"""


def test_a_front_that_ends_before_it_is_needed_is_started_again(launch, served_app):
    """Once: whatever it was may be over."""
    server = launch(served_app, CONFIG, "--json", before=START_BADLY_AT_FIRST)
    assert '"ready"' in server.process.stdout.readline()
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
