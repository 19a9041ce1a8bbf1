"""What a call sends and returns: arguments, metadata, deadlines, receipts, pages."""

import threading

import bridge_client
import grpc
import numpy as np
import pytest
from bridge_client import invoke
from bridge_client.multiplexing import Outstanding
from bridge_client.options import CallOptions
from bridge_client.v1 import common_pb2, invoke_pb2, pool_pb2, session_pb2


def echo(request, context):
    """Answers a Call with its own arguments."""
    return invoke_pb2.CallResponse(result=invoke_pb2.CallRequest.FromString(request).arguments).SerializeToString()


def test_arguments_arrive_as_messagepack_and_come_back(runner, stub):
    stub.answer("InvokeService/Call", echo)
    value = runner.run(lambda client: client.call("add", a=1, b="x", timeout=5, function="f", self=None))
    assert value == {"a": 1, "b": "x", "timeout": 5, "function": "f", "self": None}
    request = invoke_pb2.CallRequest.FromString(stub.last.request)
    assert request.function == "add"
    assert request.arguments.WhichOneof("body") == "msgpack"


def test_arrays_there_and_back(runner, stub):
    stub.answer("InvokeService/Call", echo)
    array = np.arange(4, dtype=np.float32).reshape(2, 2)
    back = runner.run(lambda client: client.call("f", x=array))["x"]
    assert (back == array).all()


def test_raw_bytes_there_and_back(runner, stub):
    stub.answer("InvokeService/Call", echo)
    assert runner.run(lambda client: client.call_raw("f", b"\x00raw")) == b"\x00raw"
    request = invoke_pb2.CallRequest.FromString(stub.last.request)
    assert request.arguments.raw == b"\x00raw"


def test_a_raw_call_takes_bytes_in_any_form_and_nothing_else(runner, stub):
    stub.answer("InvokeService/Call", invoke_pb2.CallResponse(result=common_pb2.Payload(msgpack=b"\xc4\x01x")))
    assert runner.run(lambda client: client.call_raw("f", b"")) == b"x"
    stub.answer("InvokeService/Call", invoke_pb2.CallResponse(result=common_pb2.Payload(msgpack=b"\x01")))
    with pytest.raises(bridge_client.UnexpectedReply, match=r"expected bytes from 'f', got int; use call\(\)"):
        runner.run(lambda client: client.call_raw("f", b""))


def test_default_metadata_and_deadline(runner, stub):
    stub.answer("InvokeService/Call", echo)
    runner.run(lambda client: client.call("f"))
    seen = stub.last
    assert seen.metadata["x-timeout-ms"] == "60000"
    assert 55 < seen.time_remaining <= 60.3
    assert len(seen.metadata["x-request-id"]) == 32
    for absent in ("x-session-id", "x-session-mode", "x-idempotency-key", "x-priority", "traceparent", "authorization"):
        assert absent not in seen.metadata


def test_all_options_of_a_call(runner, stub):
    stub.answer("InvokeService/Call", echo)

    def use(client):
        view = client.with_options(
            timeout=1.5,
            request_id="r-1",
            idempotency_key="k-1",
            session_id="s-1",
            session_mode="strict",
            priority="high",
            traceparent="00-1-2-01",
            metadata={"x-tenant": "a"},
        )
        return view.call("f")

    runner.run(use, key="secret", metadata={"x-trace-bin": b"\x00"})
    seen = stub.last.metadata
    wanted = {
        "x-timeout-ms": "1500",
        "x-request-id": "r-1",
        "x-idempotency-key": "k-1",
        "x-session-id": "s-1",
        "authorization": "Bearer secret",
        "x-tenant": "a",
        "x-priority": "high",
        "x-session-mode": "strict",
        "traceparent": "00-1-2-01",
        "x-trace-bin": b"\x00",
    }
    assert {key: seen.get(key) for key in wanted} == wanted
    assert stub.last.time_remaining < 1.8


def test_no_timeout(runner, stub):
    stub.answer("InvokeService/Call", echo)
    runner.run(lambda client: client.call("f"), timeout=None)
    assert "x-timeout-ms" not in stub.last.metadata
    assert stub.last.time_remaining is None or stub.last.time_remaining > 1e6


def test_a_view_leaves_its_client_as_it_was(stub):
    stub.answer("InvokeService/Call", echo)
    with bridge_client.connect(stub.address) as client:
        with client.with_options(request_id="r-1", metadata={"x-a": "1"}) as view:
            view.call("f")
        client.call("f")  # leaving the view's block has not closed the connection
    assert stub.calls[0].metadata["x-request-id"] == "r-1"
    assert stub.calls[1].metadata["x-request-id"] != "r-1"
    assert "x-a" not in stub.calls[1].metadata


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"timeout": 0}, ValueError, "more than 0 seconds"),
        ({"timeout": float("nan")}, ValueError, "more than 0 seconds"),
        ({"key": "new\nline"}, ValueError, "expected key to be printable ASCII"),
        ({"session_id": ""}, ValueError, "expected session_id to be printable ASCII"),
        ({"metadata": {"X-Upper": "a"}}, ValueError, "lower-case letters"),
        ({"metadata": {"x-bin": "text"}}, TypeError, "to be bytes, because it ends in '-bin'"),
        ({"metadata": {"x-a": b"bytes"}}, TypeError, "to be text, got bytes"),
        ({"metadata": {"x-a": "gr\u00fc\u00dfe"}}, ValueError, "printable ASCII"),
    ],
)
def test_options_are_checked_when_they_are_given(options, kind, message):
    with pytest.raises(kind, match=message):
        bridge_client.connect("127.0.0.1:1", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"priority": "urgent"}, "expected priority to be one of low"),
        ({"session_mode": "loose"}, "one of hint, strict"),
    ],
)
def test_names_of_options_are_checked(stub, options, message):
    with bridge_client.connect(stub.address) as client, pytest.raises(ValueError, match=message):
        client.with_options(**options)


def test_options_of_a_multiplexed_call():
    options = CallOptions(timeout=1.5, session_id="s", session_mode="strict", priority="low", traceparent="00-1-2-01")
    calls = Outstanding("an address")
    calls.add(invoke.call("f", {}), object(), options)
    sent = invoke_pb2.MultiplexRequest.FromString(calls.message()).calls[0].options
    assert (sent.timeout_ms, sent.session_id, sent.traceparent) == (1500, "s", "00-1-2-01")
    assert sent.session_mode == session_pb2.SESSION_MODE_STRICT
    assert sent.priority == invoke_pb2.PRIORITY_LOW


def test_no_secret_in_any_text(stub):
    client = bridge_client.connect(stub.address, key="hunter2", metadata={"x-api-key": "hunter2"})
    assert "hunter2" not in repr(client) + repr(client._wire)
    with pytest.raises(ValueError, match="expected key") as caught:
        bridge_client.connect(stub.address, key="hunter2\n")
    assert "hunter2" not in str(caught.value)
    client.close()


RECEIPT = common_pb2.Receipt(
    request_id="r",
    function="f",
    route=common_pb2.ROUTE_POOLED,
    reason="placement is pooled",
    pool="general",
    worker="general-3",
    session_epoch=1,
    queue_us=2,
    worker_us=3,
    model_us=4,
    total_us=5,
    bytes_in=6,
    bytes_out=7,
    memory_change_bytes=-8,
    usage=[common_pb2.ModelUsage(model="bridge/test", calls=1, input_tokens=9, output_tokens=10, cached_tokens=2)],
)


def test_receipts(runner, stub):
    def answer(request, context):
        context.set_trailing_metadata((("bridge-receipt-bin", RECEIPT.SerializeToString()),))
        return echo(request, context)

    stub.answer("InvokeService/Call", answer)
    receipts = []
    runner.run(lambda client: client.call("f"), on_receipt=receipts.append)
    assert receipts == [
        bridge_client.Receipt(
            request_id="r",
            function="f",
            route="pooled",
            reason="placement is pooled",
            pool="general",
            worker="general-3",
            session_epoch=1,
            queue_us=2,
            worker_us=3,
            model_us=4,
            total_us=5,
            bytes_in=6,
            bytes_out=7,
            memory_change_bytes=-8,
            usage=(
                bridge_client.ModelUsage(
                    model="bridge/test", calls=1, input_tokens=9, output_tokens=10, cached_tokens=2, cost_usd=None
                ),
            ),
        )
    ]


def test_a_receipt_that_can_not_be_read_is_no_failure(runner, stub):
    def answer(request, context):
        context.set_trailing_metadata((("bridge-receipt-bin", b"\xff"),))
        return echo(request, context)

    stub.answer("InvokeService/Call", answer)
    receipts = []
    assert runner.run(lambda client: client.call("f", a=1), on_receipt=receipts.append) == {"a": 1}
    assert receipts == []


def test_a_streams_receipt_comes_after_its_last_item(runner, stub):
    def answer(request, context):
        yield invoke_pb2.StreamCallResponse(item=common_pb2.Payload(json="1")).SerializeToString()
        context.set_trailing_metadata((("bridge-receipt-bin", RECEIPT.SerializeToString()),))

    stub.answer("InvokeService/StreamCall", answer, stream=True)
    receipts = []
    assert runner.collect(lambda client: client.stream("f"), on_receipt=receipts.append) == [1]
    assert [receipt.worker for receipt in receipts] == ["general-3"]


def pages(request, context):
    asked = invoke_pb2.ListFunctionsRequest.FromString(request)
    start = int(asked.page_token or 0)
    names = [f"{asked.prefix}{number}" for number in range(5)]
    functions = [common_pb2.FunctionInfo(name=name) for name in names[start : start + 2]]
    token = str(start + 2) if start + 2 < len(names) else ""
    return invoke_pb2.ListFunctionsResponse(functions=functions, next_page_token=token).SerializeToString()


def test_functions_are_listed_over_all_pages(runner, stub):
    stub.answer("InvokeService/ListFunctions", pages)
    found = runner.run(lambda client: client.functions(prefix="f"))
    assert [function.name for function in found] == ["f0", "f1", "f2", "f3", "f4"]
    assert len(stub.calls) == 3


def test_describe(runner, stub):
    info = common_pb2.FunctionInfo(
        name="add",
        kind=common_pb2.FUNCTION_KIND_FUNCTION,
        doc="Adds.",
        pool="general",
        placement=common_pb2.PLACEMENT_POOLED,
        streaming=True,
        idempotent=True,
        arguments_schema='{"type": "object"}',
        result_schema='{"type": "integer"}',
        example='{"a": 1}',
    )
    stub.answer("InvokeService/DescribeFunction", invoke_pb2.DescribeFunctionResponse(function=info))
    assert runner.run(lambda client: client.describe("add")) == bridge_client.FunctionInfo(
        name="add",
        kind="function",
        doc="Adds.",
        pool="general",
        placement="pooled",
        streaming=True,
        idempotent=True,
        arguments_schema={"type": "object"},
        result_schema={"type": "integer"},
        example={"a": 1},
    )
    assert invoke_pb2.DescribeFunctionRequest.FromString(stub.last.request).function == "add"


def test_explain(runner, stub):
    answer = invoke_pb2.ExplainResponse(
        function="f",
        placement=common_pb2.PLACEMENT_AUTO,
        request_bytes=40,
        reason="auto: native 0.1 ms against pooled 0.4 ms",
        alternatives=[
            invoke_pb2.Alternative(
                function="f",
                route=common_pb2.ROUTE_NATIVE,
                chosen=True,
                prediction=invoke_pb2.Prediction(total_us=100, service_us=100, burden_us=110),
                service=invoke_pb2.MeasuredTimes(samples=9.5, mean_us=100, p50_us=90, p99_us=300),
            ),
            invoke_pb2.Alternative(
                function="g",
                route=common_pb2.ROUTE_POOLED,
                pool="general",
                excluded="its breaker is open",
                load=invoke_pb2.PoolLoad(workers=2, waiting=3),
                weight=0.1,
                cost_usd=0.0,
                breaker="open",
            ),
        ],
        front=invoke_pb2.FrontLoad(busy=0.25),
    )
    stub.answer("InvokeService/Explain", answer)
    found = runner.run(lambda client: client.explain("f", text="x" * 20))
    request = invoke_pb2.ExplainRequest.FromString(stub.last.request)
    assert (request.function, request.HasField("arguments")) == ("f", False)
    assert 20 < request.request_bytes < 60
    assert (found.placement, found.request_bytes, found.reason) == ("auto", 40, answer.reason)
    assert found.front_busy == 0.25
    native, other = found.alternatives
    assert found.chosen is native
    assert native.prediction == bridge_client.Prediction(
        total_us=100, queue_us=0, transfer_us=0, service_us=100, burden_us=110
    )
    assert (native.service.samples, native.service.p99_us, native.transfer) == (9.5, 300, None)
    assert (native.weight, native.cost_usd, native.breaker) == (None, None, "")
    assert (other.function, other.route, other.pool, other.prediction) == ("g", "pooled", "general", None)
    assert (other.workers, other.waiting, other.weight, other.cost_usd) == (2, 3, 0.1, 0.0)
    assert (other.breaker, other.excluded) == ("open", "its breaker is open")


def test_a_schema_that_is_none_is_unexpected(runner, stub):
    reply = invoke_pb2.DescribeFunctionResponse(function=common_pb2.FunctionInfo(arguments_schema="[]"))
    stub.answer("InvokeService/DescribeFunction", reply)
    with pytest.raises(bridge_client.UnexpectedReply, match="expected a JSON object in the reply, got list"):
        runner.run(lambda client: client.describe("f"))


def test_pools(runner, stub):
    pool = pool_pb2.Pool(
        name="general",
        state=pool_pb2.POOL_STATE_READY,
        size=2,
        workers=[pool_pb2.Worker(id="general-1", pid=7, state=pool_pb2.WORKER_STATE_READY, rss_bytes=9)],
        exits=[pool_pb2.WorkerExit(worker="general-0", cause="killed by SIGKILL")],
        functions=["f"],
    )
    pool.proof_age.FromMilliseconds(1500)
    pool.workers[0].age.FromSeconds(3)
    stub.answer("PoolService/List", pool_pb2.PoolServiceListResponse(pools=[pool]))
    stub.answer("PoolService/Get", pool_pb2.PoolServiceGetResponse(pool=pool))
    (found,) = runner.run(lambda client: client.pools())
    assert (found.name, found.state, found.size, found.proof_age_s) == ("general", "ready", 2, 1.5)
    assert (found.workers[0].id, found.workers[0].state, found.workers[0].age_s) == ("general-1", "ready", 3.0)
    assert found.exits[0].cause == "killed by SIGKILL"
    assert found.functions == ("f",)
    assert runner.run(lambda client: client.pool("general")) == found
    assert pool_pb2.PoolServiceGetRequest.FromString(stub.last.request).name == "general"


def test_a_newer_servers_enum_value_passes(runner, stub):
    stub.answer("PoolService/Get", pool_pb2.PoolServiceGetResponse(pool=pool_pb2.Pool(state=77)))
    found = runner.run(lambda client: client.pool("p"))
    assert (found.state, found.proof_age_s) == ("unknown_77", None)


@pytest.mark.parametrize(("number", "name"), [(0, "UNKNOWN"), (1, "SERVING"), (2, "NOT_SERVING"), (9, "UNKNOWN")])
def test_health(runner, stub, number, name):
    from bridge_client.v1 import health_pb2

    stub.answer("/grpc.health.v1.Health/Check", health_pb2.HealthCheckResponse(status=number))
    assert runner.run(lambda client: client.health("pool/general")) == name
    assert health_pb2.HealthCheckRequest.FromString(stub.last.request).service == "pool/general"


class Sessions:
    """Opens and closes sessions as the bridge does, in memory."""

    def __init__(self, stub):
        self.open = set()
        self.ttl = None
        stub.answer("SessionService/Open", self.on_open)
        stub.answer("SessionService/Close", self.on_close)
        stub.answer("InvokeService/Call", echo)

    def on_open(self, request, context):
        asked = session_pb2.OpenRequest.FromString(request)
        self.ttl = asked.ttl.ToMilliseconds() if asked.HasField("ttl") else None
        self.open.add(asked.id or "made-1")
        reply = session_pb2.OpenResponse(session=session_pb2.Session(id=asked.id or "made-1", epoch=2))
        reply.session.opened_at.FromSeconds(1_700_000_000)
        reply.session.ttl.FromSeconds(60)
        return reply.SerializeToString()

    def on_close(self, request, context):
        asked = session_pb2.CloseRequest.FromString(request)
        if asked.id not in self.open:
            context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        self.open.discard(asked.id)
        return b""


def within_session(runner, body, **options):
    """Runs `body`, a plain function of the session's client, inside `client.session(...)` of either client."""

    def use(client):
        if runner.kind == "sync":
            with client.session(**options) as session:
                return body(session)

        async def use_async():
            async with client.session(**options) as session:
                result = body(session)
                return await result if hasattr(result, "__await__") else result

        return use_async()

    return runner.run(use)


def test_a_session_is_opened_carried_and_closed(runner, stub):
    sessions = Sessions(stub)

    def body(client):
        assert client.session_id == "chat-7"
        assert sessions.open == {"chat-7"}
        return client.call("f")

    within_session(runner, body, id="chat-7", ttl=1.5)
    assert stub.calls[1].metadata["x-session-id"] == "chat-7"
    assert sessions.ttl == 1500
    assert sessions.open == set()


def test_the_server_makes_the_id(runner, stub):
    sessions = Sessions(stub)
    assert within_session(runner, lambda client: client.session_id) == "made-1"
    assert sessions.ttl is None
    assert sessions.open == set()


def test_a_session_is_closed_after_a_failure_inside(runner, stub):
    sessions = Sessions(stub)

    def body(client):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        within_session(runner, body)
    assert sessions.open == set()


def test_a_session_that_has_ended_by_itself_is_no_failure(runner, stub):
    sessions = Sessions(stub)
    within_session(runner, lambda client: sessions.open.clear())

    def body(client):
        sessions.open.clear()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        within_session(runner, body)


def test_sessions_without_a_block(runner, stub):
    Sessions(stub)
    session = session_pb2.Session(id="s", calls=3, workers={"general": "general-1"})
    stub.answer("SessionService/Get", session_pb2.SessionServiceGetResponse(session=session))
    opened = runner.run(lambda client: client.open_session("s"))
    assert (opened.id, opened.epoch, opened.ttl, opened.opened_at.timestamp()) == ("s", 2, 60.0, 1_700_000_000)
    found = runner.run(lambda client: client.get_session("s"))
    assert (found.calls, found.workers) == (3, {"general": "general-1"})
    runner.run(lambda client: client.close_session("s"))
    assert stub.last.path.endswith("SessionService/Close")


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_a_ttl_must_be_positive(runner, stub, ttl):
    with pytest.raises(ValueError, match="expected a ttl of more than 0 seconds"):
        runner.run(lambda client: client.open_session(ttl=ttl))


def test_a_client_is_shared_between_threads(stub):
    stub.answer("InvokeService/Call", echo)
    results = []
    with bridge_client.connect(stub.address) as client:
        threads = [
            threading.Thread(target=lambda n=n: results.extend(client.call("f", n=n)["n"] for _ in range(20)))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == sorted([0, 1, 2, 3] * 20)


def test_channel_arguments():
    arguments = dict(bridge_client.ChannelOptions(max_message_bytes=5, extra=(("grpc.x", 1),)).arguments())
    assert "grpc.enable_retries" not in arguments  # GRPC repeats what no server has seen, and nothing else
    assert arguments["grpc.max_send_message_length"] == arguments["grpc.max_receive_message_length"] == 5
    assert arguments["grpc.keepalive_time_ms"] >= 10_000  # the bridge breaks connections that ask more often
    assert arguments["grpc.x"] == 1
