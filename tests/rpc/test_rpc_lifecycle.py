"""A server from its start to its end: health, draining, signals, lost and stopped workers, and nothing left behind."""

import json
import signal
import socket

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bridge.v1 import pool_pb2

Code = grpc.StatusCode
Status = health_pb2.HealthCheckResponse
LEAN = """
[server]
drain_timeout_s = {drain_s}

[pools.general]
size = {size}
start = "{start}"
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[health]
interval_s = 0.2
max_age_s = 2.0
"""


def lean(size=1, drain_s=10.0, start="auto"):
    return LEAN.format(size=size, drain_s=drain_s, start=start)


def health(client):
    return health_pb2_grpc.HealthStub(client.channel)


def serving(client, name=""):
    return health(client).Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status == Status.SERVING


class TestHealth:
    def test_all_names_are_told(self, rpc):
        told = health(rpc).List(health_pb2.HealthListRequest(), timeout=5).statuses
        assert {"", "pool/general", "pool/narrow", "bridge.v1.InvokeService"} <= set(told)
        not_serving = {name for name, one in told.items() if one.status != Status.SERVING}
        assert not_serving == {"bridge.v1.EmbeddingService"}, "its pool is switched off"
        for name, one in told.items():
            assert health(rpc).Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status == one.status

    def test_an_unknown_name(self, rpc):
        with pytest.raises(grpc.RpcError) as caught:
            health(rpc).Check(health_pb2.HealthCheckRequest(service="pool/none"), timeout=5)
        assert caught.value.code() is Code.NOT_FOUND
        assert "pool/general" in caught.value.details()

    def test_watching(self, rpc):
        watch = health(rpc).Watch(health_pb2.HealthCheckRequest(service="pool/general"), timeout=20)
        assert next(watch).status == Status.SERVING
        watch.cancel()
        watch = health(rpc).Watch(health_pb2.HealthCheckRequest(service="nonsense"), timeout=20)
        assert next(watch).status == Status.SERVICE_UNKNOWN
        watch.cancel()

    def test_a_full_pool_is_healthy(self, start_server, connect, served_app, gate):
        client = connect(start_server(served_app, lean(size=1)).address)
        call = client.start("hold", port=gate.port)
        held = gate.entered()
        watch = health(client).Watch(health_pb2.HealthCheckRequest(service="pool/general"), timeout=3.0)
        assert next(watch).status == Status.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            next(watch)
        assert caught.value.code() is Code.DEADLINE_EXCEEDED, "no other verdict within the watch"
        assert serving(client, "pool/general"), "its proof is older than max_age by now, but it is full"
        held.release()
        assert call.outcome().value == "released"


class TestLostWorkers:
    def test_the_only_worker_is_killed(self, start_server, connect, served_app, eventually, process):
        client = connect(start_server(served_app, lean(size=1)).address)
        watch = health(client).Watch(health_pb2.HealthCheckRequest(service="pool/general"), timeout=30)
        assert next(watch).status == Status.SERVING
        lost = client.call("pid").value
        process(lost).send_signal(signal.SIGKILL)
        outcome = eventually(lambda: answered_by_another(client, lost), "another worker to answer")
        assert outcome.value != lost
        eventually(lambda: serving(client), "the server to be healthy again", 5.0)
        assert "SIGKILL" in client.pool("general").exits[0].cause
        assert client.pool("general").restarts == 1
        watch.cancel()

    def test_a_stopped_idle_worker_is_replaced(self, start_server, connect, served_app, eventually, process):
        client = connect(start_server(served_app, lean(size=1)).address)
        stopped = client.call("pid").value
        process(stopped).send_signal(signal.SIGSTOP)
        eventually(lambda: stopped not in client.workers("general").values(), "the stopped worker to go", 8.0)
        eventually(lambda: serving(client, "pool/general"), "the pool to be healthy again", 10.0)
        assert client.call("pid").value != stopped
        assert not psutil.pid_exists(stopped)

    def test_a_pool_whose_workers_do_not_start_any_more(self, start_server, connect, eventually, process, tmp_path):
        flag = tmp_path / "broken"
        app = f"import os\nif os.path.exists({str(flag)!r}): raise RuntimeError('no luck')\ndef f() -> int: return 1\n"
        client = connect(start_server(app, lean(size=10, start="spawn")).address)
        eventually(lambda: len(client.workers("general")) == 10, "all workers", 60.0)
        flag.touch()
        for pid in client.workers("general").values():
            process(pid).send_signal(signal.SIGKILL)
        outcome = eventually(lambda: refused(client, "RuntimeError: no luck"), "the pool to give up and say why", 20.0)
        assert outcome.code is Code.UNAVAILABLE
        assert outcome.metadata["pool"] == "general"
        assert outcome.retry_s > 1
        assert not serving(client)
        assert client.pool("general").cause == outcome.metadata["cause"]
        assert client.pool("general").state == pool_pb2.POOL_STATE_FAILED


def refused(client, cause):
    """The answer of a pool that has given up for this cause, once it has."""
    outcome = client.call("f", metadata=[("x-timeout-ms", "500")])
    is_refused = outcome.code is Code.UNAVAILABLE and outcome.reason == "POOL_UNAVAILABLE"
    return outcome if is_refused and cause in outcome.metadata["cause"] else None


def answered_by_another(client, lost):
    outcome = client.call("pid")
    return outcome if outcome.code is Code.OK and outcome.value != lost else None


class TestDraining:
    def test_health_says_no_first_and_running_calls_end(self, start_server, connect, served_app, gate):
        server = start_server(served_app, lean(size=2))
        client = connect(server.address)
        watch = health(client).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watch).status == Status.SERVING
        pooled = client.start("hold", port=gate.port)
        first = gate.entered()
        native = client.start("native_hold", port=gate.port)
        second = gate.entered()
        stream = client.open_stream("count_then_hold", to=2, port=gate.port)
        third = gate.entered()
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == Status.NOT_SERVING
        late = [client.call("add", a=1, b=2), client.call("native_add", a=1, b=2), client.stream("count", to=2)]
        for refused in late:
            assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
            assert refused.retry_s > 0
            assert refused.receipt.request_id
        assert not serving(client)
        assert server.process.poll() is None
        for held in (first, second, third):
            held.release()
        assert pooled.outcome().value == "released"
        assert native.outcome().value == "released"
        assert list(stream) == [0, 1, 2]
        assert server.process.wait(10) == 0
        with pytest.raises(grpc.RpcError) as ended:
            next(watch)
        assert ended.value.code() is Code.UNAVAILABLE

    def test_calls_that_wait_are_refused(self, start_server, connect, served_app, gate, eventually):
        server = start_server(served_app, lean(size=1))
        client = connect(server.address)
        running = client.start("hold", port=gate.port)
        held = gate.entered()
        waiting = client.start("add", a=1, b=2)
        eventually(lambda: client.pool("general").queued == 1, "the call to wait")
        server.process.send_signal(signal.SIGTERM)
        refused = waiting.outcome()
        assert (refused.code, refused.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
        held.release()
        assert running.outcome().value == "released"
        assert server.process.wait(10) == 0

    def test_calls_that_go_on_too_long_are_cut_and_hear_why(self, start_server, connect, served_app, gate):
        server = start_server(served_app, lean(size=2, drain_s=0.3))
        client = connect(server.address)
        pooled = client.start("hold", port=gate.port)
        gate.entered()
        stream = client.open_stream("count_then_hold", to=1, port=gate.port)
        gate.entered()
        assert next(stream) == 0
        server.process.send_signal(signal.SIGTERM)
        outcome = pooled.outcome()
        assert (outcome.code, outcome.reason) == (Code.UNAVAILABLE, "SHUTTING_DOWN")
        assert outcome.receipt.worker
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        assert caught.value.code() is Code.UNAVAILABLE
        assert server.process.wait(10) == 1, "the exit code tells that calls were cut"
        server.wait_for_log("calls were still running after 0.3 s")

    def test_a_second_signal_ends_it_now(self, start_server, connect, served_app, gate, process_exit, eventually):
        server = start_server(served_app, lean(size=1))
        client = connect(server.address)
        client.start("hold", port=gate.port)
        held = gate.entered()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("draining")

        def ends():
            server.process.send_signal(signal.SIGTERM)
            return server.process.poll() is not None

        eventually(ends, "the server to end at a second signal", 5.0)
        assert server.process.wait() == 130
        process_exit(held.pid)

    def test_a_signal_that_comes_twice_at_once_is_one(self, start_server, connect, served_app, gate):
        server = start_server(served_app, lean(size=1))
        call = connect(server.address).start("hold", port=gate.port)
        held = gate.entered()
        server.process.send_signal(signal.SIGINT)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("draining")
        held.release()
        assert call.outcome().value == "released"
        assert server.process.wait(10) == 0

    def test_an_interrupt_drains_too(self, start_server, served_app):
        server = start_server(served_app, lean(size=1))
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 0
        server.wait_for_log("stopped")


class TestEnds:
    def test_no_worker_outlives_a_killed_front(self, start_server, connect, served_app, gate, process_exit, eventually):
        server = start_server(served_app, lean(size=2))
        client = connect(server.address)
        client.start("hold", port=gate.port)
        held = gate.entered()
        eventually(lambda: len(client.workers("general")) == 2, "both workers")
        workers = list(client.workers("general").values())
        assert held.pid in workers
        server.kill()
        for worker in workers:
            process_exit(worker, 5.0)

    def test_the_same_port_can_be_used_again_at_once(self, start_server, connect, served_app, tmp_path):
        first = start_server(served_app, lean(size=1))
        assert connect(first.address).call("add", a=1, b=2).value == 3
        first.kill()
        port = int(first.address.rpartition(":")[2])
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))

    def test_a_port_in_use(self, start_server, served_app, launch):
        server = start_server(served_app, lean(size=1))
        second = launch(served_app, lean(size=1), "--address", server.address)
        assert second.wait() == 1
        assert server.address in second.stderr
        assert "Traceback" not in second.stderr
        assert second.leftovers() == []
        assert server.process.poll() is None

    def test_a_port_that_is_taken_between_the_check_and_the_start(self, served_app, launch):
        """The check of the command line is not the only one: the socket is taken while the workers start."""
        with socket.create_server(("127.0.0.1", 0)) as holder:
            address = f"127.0.0.1:{holder.getsockname()[1]}"
            unchecked = "import bridge.cli.serving as serving; serving.check_free = lambda address: None"
            second = launch(served_app, lean(size=1), "--address", address, before=unchecked)
            assert second.wait() == 1
        assert address in second.stderr
        assert "--address" in second.stderr
        assert "Traceback" not in second.stderr
        assert second.leftovers() == []

    @pytest.mark.parametrize(("start", "importing"), [("spawn", 2), ("auto", 1)])
    def test_sigterm_while_it_starts(self, launch, gate, start, importing):
        app = f"""
import socket
with socket.create_connection(("127.0.0.1", {gate.port})) as connection:
    connection.sendall(b"1\\n")
    connection.recv(1)
"""
        starting = launch(app, lean(size=2, start=start))
        held = [gate.entered() for _ in range(importing)]
        starting.process.send_signal(signal.SIGTERM)
        assert starting.wait() == 0
        assert "Traceback" not in starting.stderr
        assert '"ready"' not in starting.stdout
        for one in held:
            one.wait_until_gone()
        assert starting.leftovers() == []


def test_ready_line_and_logs_are_json(start_server, served_app):
    server = start_server(served_app, lean(size=1) + '\n[log]\nformat = "json"\n')
    assert server.ready["pools"]["general"] == "1 of 1 ready"
    assert "add" in server.ready["functions"]
    assert server.terminate() == 0
    server.stderr.join(5)
    records = [json.loads(line) for line in server.stderr.text.splitlines()]
    told = [record["message"].partition(" after ")[0].partition(":")[0] for record in records]
    kept = "created programs are kept in memory only; [programs] directory keeps them on disk"
    assert told == [kept, "worker ready", "draining", "stopped"]
    assert all({"time", "level", "message"} <= set(record) for record in records)


def test_a_log_that_nobody_reads_stops_nobody(launch, served_app, connect):
    """Its stderr is a pipe that fills up: it answers all the same, and ends when it is told to."""
    server = launch(served_app, lean(size=1), "--json", "--set", "log.level=debug")
    ready = json.loads(server.process.stdout.readline())
    client = connect(ready["address"])
    for _ in range(60):
        assert client.call("fail", how="lines" if _ % 2 else "huge").reason == "USER_EXCEPTION"
        assert client.call("say", text="y" * 4000).value == 4000
    server.process.send_signal(signal.SIGTERM)
    psutil.wait_procs([psutil.Process(server.process.pid)], timeout=10)
    assert server.process.poll() == 0
