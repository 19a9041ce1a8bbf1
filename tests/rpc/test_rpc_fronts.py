"""Several fronts on one port: whatever holds with one front holds whichever of them a client has been connected to."""

import json
import os
import signal
import socket
import urllib.request

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from bridge.v1 import invoke_pb2, pool_pb2, session_pb2
from bridge.v1.common_pb2 import Payload

Code = grpc.StatusCode
FRONTS = 3
CONFIG = """
[server]
fronts = {fronts}
max_message_bytes = "32MiB"
drain_timeout_s = 20.0

[pools.general]
size = 3
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[metrics]
address = "127.0.0.1:0"
"""


@pytest.fixture(scope="module")
def shared(start_shared_server, served_app_of_module):
    return start_shared_server(served_app_of_module, CONFIG.format(fronts=FRONTS))


@pytest.fixture(scope="module")
def served_app_of_module(pytestconfig):
    return pytestconfig.rootpath / "tests/rpc/served_app.py"


@pytest.fixture
def clients(shared, connect_to_each):
    """One client of each front."""
    each = connect_to_each(shared.address)
    assert len(each) == FRONTS
    return list(each.values())


def test_all_fronts_share_the_workers(shared, clients):
    assert shared.ready["fronts"] == FRONTS
    workers = {client.call("pid").value for _ in range(4) for client in clients}
    assert workers <= set(clients[0].workers("general").values())
    assert {front.id for front in clients[0].fronts()} == {front.id for front in clients[1].fronts()}


@pytest.mark.parametrize("mode", ["hint", "strict"])
def test_a_session_stays_on_its_worker_whichever_front_its_calls_come_through(clients, mode):
    seen = {}
    for number in range(6):
        metadata = (("x-session-id", f"{mode}-{number}"), ("x-session-mode", mode))
        replies = [client.call("pid", metadata=metadata) for client in clients * 2]
        assert {reply.trailers["bridge-session-epoch"] for reply in replies} == {"0"}
        (seen[number],) = {reply.value for reply in replies}
    assert len(set(seen.values())) > 1, "sessions are spread over the workers"


def test_session_variables_are_watched_at_one_front_and_set_at_another(clients):
    metadata = (("x-session-id", "watched"),)
    clients[0].call("pid", metadata=metadata)
    watch = clients[1].channel.unary_stream(
        "/bridge.v1.SessionService/Watch",
        request_serializer=session_pb2.SessionServiceWatchRequest.SerializeToString,
        response_deserializer=session_pb2.SessionServiceWatchResponse.FromString,
    )(session_pb2.SessionServiceWatchRequest(id="watched"), timeout=20)
    first = next(watch)
    request = session_pb2.SetVariableRequest(session_id="watched", name="n", value=Payload(json="41"))
    done = clients[2].unary("SessionService/SetVariable", request, session_pb2.SetVariableResponse)
    assert done.code is Code.OK, done.message
    assert first.WhichOneof("event") == "snapshot"
    assert next(watch).change.variable.value.json == "41"
    watch.cancel()


def test_cancels_and_deadlines_reach_the_running_python_through_every_front(clients, gate):
    for client in clients:
        held = client.start("hold", port=gate.port)
        running = gate.entered()
        held.future.cancel()
        running.wait_until_gone()
        late = client.start("hold", port=gate.port, timeout=1.0)
        running = gate.entered()
        running.wait_until_gone()
        assert late.outcome().code is Code.DEADLINE_EXCEEDED


def test_a_client_that_leaves_takes_its_calls_along(shared, connect, gate):
    client = connect(shared.address, own_connection=True)
    client.start("hold", port=gate.port)
    running = gate.entered()
    client.channel.close()
    running.wait_until_gone()


def test_an_operator_cancels_through_any_front(clients, gate):
    held = clients[0].start("hold", metadata=(("x-request-id", "to-be-cancelled"),), port=gate.port)
    running = gate.entered()
    request = pool_pb2.CancelRequest(request_id="to-be-cancelled")
    assert clients[1].unary("PoolService/Cancel", request, pool_pb2.CancelResponse).value.cancelled == 1
    assert held.outcome().reason == "CANCELLED_BY_OPERATOR"
    running.wait_until_gone()


def test_failures_come_with_all_their_details(clients):
    for client in clients:
        refused = client.call("add", metadata=(("x-request-id", "my-id"),), a="x", b=1)
        assert refused.code is Code.INVALID_ARGUMENT
        assert refused.reason == "SCHEMA_MISMATCH"
        assert "a" in refused.violations
        assert refused.receipt.request_id == "my-id"
        assert client.call("ad", a=1, b=1).metadata["did_you_mean"] == "add"
        failed = client.call("fail", how="plain")
        assert (failed.code, failed.reason) == (Code.UNKNOWN, "USER_EXCEPTION")
        assert "it broke: ä" in failed.message


def test_metadata_and_the_deadline_arrive_as_they_were_sent(clients):
    metadata = (("x-request-id", "r1"), ("x-session-id", "s1"), ("x-tenant", "t1"))
    for client in clients:
        assert client.call("who", metadata=metadata).value["request"] == "r1"
        assert 5.0 < client.call("remaining", timeout=8.0).value <= 8.2


def test_receipts_tell_of_the_call(clients):
    for client in clients:
        receipt = client.call("add", a=1, b=2).receipt
        assert (receipt.function, receipt.pool) == ("add", "general")
        assert receipt.bytes_in > 0
        assert receipt.worker_us <= receipt.total_us


def test_a_stream_comes_whole_and_in_order(clients):
    for client in clients:
        assert client.stream("count", to=2000).values == list(range(2000))
        assert [len(one) for one in client.stream("count_big", to=30, size=400_000).values] == [400_000] * 30


def test_a_stream_that_is_cancelled_ends_in_the_worker(clients, gate):
    for client in clients:
        call = client.open_stream("flood", port=gate.port, timeout=60)
        running = gate.entered()
        assert next(call)
        call.cancel()
        running.wait_until_gone()


@pytest.mark.parametrize("size", [100_000, 262_144, 300_000, 12_000_000])
def test_large_messages_go_both_ways_beside_small_ones(clients, size):
    data = os.urandom(1 << 16) * (size >> 16) + b"x" * (size & 0xFFFF)
    request = invoke_pb2.CallRequest(function="bridge.echo", arguments=Payload(raw=data))
    for client in clients:
        send = client.channel.unary_unary("/bridge.v1.InvokeService/Call")
        large = [send.future(request.SerializeToString(), timeout=60) for _ in range(3)]
        assert [client.call("add", a=n, b=1).value for n in range(5)] == [1, 2, 3, 4, 5]
        for each in large:
            assert invoke_pb2.CallResponse.FromString(each.result()).result.raw == data


def test_a_message_that_is_too_large_is_refused_in_our_words(clients):
    request = invoke_pb2.CallRequest(function="bridge.echo", arguments=Payload(raw=bytes(33 << 20)))
    for client in clients:
        outcome = client.unary("InvokeService/Call", request, invoke_pb2.CallResponse)
        assert outcome.reason == "MESSAGE_TOO_LARGE"
        assert client.call("add", a=1, b=1).value == 2


def test_multiplexed_calls_of_every_front(clients):
    def call(number):
        arguments = Payload(json=json.dumps({"a": number, "b": 1}))
        request = invoke_pb2.CallRequest(function="add", arguments=arguments)
        return invoke_pb2.MultiplexCall(id=number, request=request)

    for client in clients:
        starts = range(0, 500, 50)
        requests = [invoke_pb2.MultiplexRequest(calls=map(call, range(start, start + 50))) for start in starts]
        replies = client.channel.stream_stream(
            "/bridge.v1.InvokeService/Multiplex",
            request_serializer=invoke_pb2.MultiplexRequest.SerializeToString,
            response_deserializer=invoke_pb2.MultiplexResponse.FromString,
        )(iter(requests), timeout=30)
        answers = {each.id: each.response.result.json for reply in replies for each in reply.results}
        assert answers == {number: str(number + 1) for number in range(500)}


def health(client):
    return health_pb2_grpc.HealthStub(client.channel)


def test_health_is_one_truth(clients):
    watches = [
        health(client).Watch(health_pb2.HealthCheckRequest(service="pool/general"), timeout=30) for client in clients
    ]
    assert [next(watch).status for watch in watches] == [health_pb2.HealthCheckResponse.SERVING] * FRONTS
    clients[0].unary("PoolService/Drain", pool_pb2.DrainRequest(name="general"), pool_pb2.DrainResponse)
    try:
        assert [next(watch).status for watch in watches] == [health_pb2.HealthCheckResponse.NOT_SERVING] * FRONTS
        lists = [health(client).List(health_pb2.HealthListRequest(), timeout=10) for client in clients]
        assert lists[0] == lists[1] == lists[2]
        assert lists[0].statuses["pool/general"].status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        clients[1].unary("PoolService/Resume", pool_pb2.ResumeRequest(name="general"), pool_pb2.ResumeResponse)
    assert [next(watch).status for watch in watches] == [health_pb2.HealthCheckResponse.SERVING] * FRONTS
    with pytest.raises(grpc.RpcError) as unknown:
        health(clients[2]).Check(health_pb2.HealthCheckRequest(service="no such"), timeout=10)
    assert unknown.value.code() is Code.NOT_FOUND


def test_reflection_tells_the_same_at_every_front(clients):
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="bridge.v1.InvokeService"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
    ]
    told = []
    for client in clients:
        stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        told.append(list(stub.ServerReflectionInfo(iter(requests), timeout=20)))
    assert told[0] == told[1] == told[2]
    services, invoke, _ = told[0]
    assert "bridge.v1.SessionService" in {each.name for each in services.list_services_response.service}
    files = [FileDescriptorProto.FromString(one) for one in invoke.file_descriptor_response.file_descriptor_proto]
    assert "CallRequest" in {message.name for file in files for message in file.message_type}


def test_metrics_are_one_with_figures_of_each_front(shared, clients, eventually):
    line = shared.wait_for_log("metrics at http://")
    url = "http://" + line.split("http://")[1].split("/metrics")[0] + "/metrics"

    def samples():
        with urllib.request.urlopen(url, timeout=10) as reply:
            families = text_string_to_metric_families(reply.read().decode())
            return {(one.name, one.labels.get("front")): one.value for family in families for one in family.samples}

    names = {front.id for front in clients[0].fronts()}
    found = eventually(lambda: (now := samples()) and ("bridge_front_rss_bytes", min(names)) in now and now, "figures")
    assert {front for name, front in found if name == "bridge_front_calls_total"} == names
    before = {name: found["bridge_front_calls_total", name] for name in names}
    for client in clients:
        client.call("add", a=1, b=1)
    after = samples()
    assert all(after["bridge_front_calls_total", name] > before[name] for name in names)
    assert all(after["bridge_front_serving", name] == 1 for name in names)
    assert after["bridge_front_restarts_total", None] == 0


def test_nothing_is_left_of_many_calls(clients, shared, process, gate, eventually):
    pids = [shared.pid, *(front.pid for front in clients[0].fronts())]

    def held():
        return [process(pid).num_fds() for pid in pids]

    for client in clients:
        client.call("add", a=1, b=1)
    before = held()
    for number in range(100):
        for client in clients:
            assert client.call("add", a=number, b=1).value == number + 1
            client.start("add", a=1, b=1).future.cancel()
        client.call("fail", how="plain")
    eventually(lambda: held() == before, "the descriptors to be as many as before")
    eventually(lambda: sum(front.open_calls for front in clients[0].fronts()) <= 1, "no call but this one to be open")


def test_a_second_server_does_not_share_the_port(shared, launch, served_app):
    for fronts in ("1", "2"):
        second = launch(served_app, CONFIG.format(fronts=1), "--address", shared.address, "--fronts", fronts)
        assert second.wait() != 0
        assert f"process {shared.pid} (" in second.stderr
        assert second.leftovers() == []


def test_a_drain_loses_no_call_of_any_front(start_server, connect_to_each, served_app, gate, eventually):
    server = start_server(served_app, CONFIG.format(fronts=2))
    clients = connect_to_each(server.address)
    held = [client.start("hold", port=gate.port) for client in clients.values()]
    running = [gate.entered() for _ in held]
    server.process.send_signal(signal.SIGTERM)
    server.wait_for_log("draining")
    for client in clients.values():
        assert client.call("add", a=1, b=1).reason == "SHUTTING_DOWN"
        status = health(client).Check(health_pb2.HealthCheckRequest(), timeout=10).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING
    for each in running:
        each.release()
    assert [each.outcome().value for each in held] == ["released"] * 2
    assert server.terminate() == 0


def test_a_reload_reaches_the_calls_of_every_front(start_server, connect_to_each):
    server = start_server("def version() -> int:\n    return 1\n", CONFIG.format(fronts=2))
    clients = connect_to_each(server.address)
    assert [client.call("version").value for client in clients.values()] == [1, 1]
    app = server.config.with_name("app.py")
    app.write_text("def version() -> int:\n    return 2\n\ndef added() -> int:\n    return 3\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for_log("reloaded after", 60.0)
    assert [client.call("version").value for client in clients.values()] == [2, 2]
    assert [client.call("added").value for client in clients.values()] == [3, 3]


@pytest.mark.parametrize("host", ["localhost", "[::1]", "0.0.0.0"])
def test_hosts_that_are_names_or_all_addresses(launch, served_app, host):
    server = launch(served_app, CONFIG.format(fronts=2), "--address", f"{host}:0", "--insecure", "--json")
    ready = json.loads(server.process.stdout.readline())
    port = int(ready["address"].rpartition(":")[2])
    target = "::1" if host == "[::1]" else "127.0.0.1"
    with socket.create_connection((target, port), timeout=10):
        pass
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
