"""Receipts add up to the metrics, whatever the calls are: a random mix of all kinds of calls and of ends.

Every call of a mix gives a receipt, cancelled ones too: by an operator, or as members of a multiplexed stream. What
they tell, nested calls included, is compared with what the server exports.
"""

import random
import threading
import urllib.request
from collections import Counter
from pathlib import Path

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.v1 import invoke_pb2, model_pb2, pool_pb2
from bridge.v1.common_pb2 import Payload, Receipt

APP = Path(__file__).with_name("adding_app.py")
CONFIG = f"""
[metrics]
address = "127.0.0.1:0"

[models.default]
model = "bridge/test"
input_price = 3.0
output_price = 15.0

[pools.general]
size = 3
queue_limit = 2000
restart_budget = 1000
quarantine_after = 0

[pools.llm]
size = 1
concurrency = 16
queue_limit = 2000

[pools.embeddings]
size = 0

[pools.other]
size = 1
concurrency = 8
queue_limit = 2000
restart_budget = 1000
modules = ["{APP}"]
"""
MICROSECONDS = {
    "total_us": "bridge_call_seconds_total",
    "queue_us": "bridge_call_queue_seconds_total",
    "worker_us": "bridge_call_worker_seconds_total",
    "model_us": "bridge_call_model_seconds_total",
}
COUNTS = {
    "calls": "bridge_calls_total",
    "nested": "bridge_nested_calls_total",
    "bytes_in": "bridge_request_bytes_total",
    "bytes_out": "bridge_response_bytes_total",
}
OF_MODELS = {
    "tokens": "bridge_model_tokens_total",
    "requests": "bridge_model_calls_total",
    "unpriced": "bridge_model_unpriced_calls_total",
    "usd": "bridge_model_cost_usd_total",
}


@pytest.fixture(scope="module")
def shared(start_shared_server, tmp_path_factory):
    return start_shared_server(APP, CONFIG, {"ADDING_MARKS": str(tmp_path_factory.mktemp("marks"))})


@pytest.fixture
def rpc(shared, connect):
    return connect(shared.address)


CALLERS = 4
MANY = [
    *[("good", '{"size": 9}')] * 6,
    ("bad", "{}"),
    ("nests", '{"depth": 1, "times": 1}'),
    ("together", '{"size": 1}'),
]


class Mix:
    """Makes calls and keeps the receipt of each."""

    def __init__(self, rpc, seed):
        self.rpc = rpc
        self.random = random.Random(seed)
        self.receipts = []
        self.codes = Counter()
        self.lock = threading.Lock()

    def keep(self, outcome):
        assert "bridge-receipt-bin" in outcome.trailers, f"no receipt: {outcome}"
        with self.lock:
            self.receipts.append(outcome.receipt)
            self.codes[outcome.code.name] += 1

    def metadata(self):
        pick, found = self.random.random(), []
        if pick < 0.2:
            found.append(("x-session-id", f"s{self.random.randrange(5)}"))
        elif pick < 0.3:
            found.append(("x-tenant", "acme"))
        elif pick < 0.5:
            limit = self.random.choice([("calls", "3"), ("tokens", "100"), ("usd", "0.01"), ("tokens", "100000")])
            found.append((f"x-budget-{limit[0]}", limit[1]))
        return found

    def unary(self):
        name, arguments = self.random.choice(
            [
                ("good", {"size": self.random.randrange(3000)}),
                ("bad", {}),
                ("good", {"size": "x"}),
                ("nothing", {}),
                ("native", {"size": 5}),
                ("nests", {"depth": self.random.randrange(4), "times": self.random.randrange(3)}),
                ("anests", {"what": self.random.choice(["good", "bad", "abad", "dies"]), "times": 5}),
                ("anests", {"what": "together", "times": 6}),
                ("leaves", {}),
                ("asks", {"times": self.random.randrange(4)}),
                ("uses", {"tokens": 7, "cost": self.random.choice([0.25, None])}),
                ("dies", {}),
                ("lives_again", {"key": f"{self.random.random()}"}),
                ("items", {"count": 3}),
            ]
        )
        self.keep(self.rpc.call(name, metadata=self.metadata(), **arguments))

    def stream(self):
        name = self.random.choice(["items", "breaks", "good"])
        arguments = {"size": 4} if name == "good" else {"count": self.random.randrange(20)}
        self.keep(self.rpc.stream(name, metadata=self.metadata(), **arguments))

    def model(self):
        request = model_pb2.GenerateRequest(messages=[model_pb2.Message(role="ROLE_USER", content="Hello")])
        outcome = self.rpc.unary("ModelService/Generate", request, model_pb2.GenerateResponse, self.metadata())
        self.keep(outcome)

    def batched(self):
        started = [self.rpc.start("together", size=number) for number in range(self.random.randrange(2, 9))]
        for one in started:
            self.keep(one.outcome())

    def late(self):
        self.keep(
            self.rpc.call("sleeps", metadata=[("x-timeout-ms", "150")], seconds=5.0, nests=self.random.random() < 0.5)
        )

    def cancelled(self):
        """An operator cancels it, in the middle."""
        name = f"c-{self.random.random()}"
        started = self.rpc.start("sleeps", metadata=[("x-request-id", name)], seconds=20.0, nests=True)
        request = pool_pb2.CancelRequest(request_id=name)
        while self.rpc.unary("PoolService/Cancel", request, pool_pb2.CancelResponse).code is not grpc.StatusCode.OK:
            pass
        self.keep(started.outcome())

    def multiplexed(self):
        """Many at once, some of which are cancelled."""
        calls, cancelled = [], []
        for number in range(1, 60):
            function, arguments = self.random.choice(MANY)
            if number % 9 == 0:
                function, arguments = "sleeps", '{"seconds": 20.0, "nests": true}'
                cancelled.append(number)
            request = invoke_pb2.CallRequest(function=function, arguments=Payload(json=arguments))
            calls.append(invoke_pb2.MultiplexCall(id=number, request=request))
        answered = threading.Semaphore(0)

        def requests():
            yield invoke_pb2.MultiplexRequest(calls=calls)
            for _ in range(len(calls) - len(cancelled)):
                answered.acquire()
            yield invoke_pb2.MultiplexRequest(cancelled_ids=cancelled)

        multicallable = self.rpc.channel.stream_stream(
            "/bridge.v1.InvokeService/Multiplex",
            request_serializer=invoke_pb2.MultiplexRequest.SerializeToString,
            response_deserializer=invoke_pb2.MultiplexResponse.FromString,
        )
        left = len(calls)
        for response in multicallable(requests(), timeout=60):
            for result in response.results:
                receipt = Receipt()
                if result.shared_receipt:
                    receipt.MergeFrom(response.shared_receipts[result.shared_receipt - 1])
                receipt.MergeFrom(result.receipt)
                with self.lock:
                    self.receipts.append(receipt)
                left -= 1
                answered.release()
        assert left == 0

    def run(self, count):
        kinds = [self.unary] * 8 + [self.stream, self.model, self.batched, self.late, self.cancelled, self.multiplexed]
        chosen = [self.random.choice(kinds) for _ in range(count)]
        parts = [chosen[start::CALLERS] for start in range(CALLERS)]
        workers = [threading.Thread(target=lambda part=part: [one() for one in part]) for part in parts]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(120)
            assert not worker.is_alive()


def told(receipts):
    """The sums of what receipts tell, nested calls included."""
    sums = Counter()
    for receipt in receipts:
        sums["calls"] += 1 + receipt.nested.calls
        sums["nested"] += receipt.nested.calls
        for name in ("bytes_in", "bytes_out", *MICROSECONDS):
            sums[name] += getattr(receipt, name) + getattr(receipt.nested, name)
        for use in (*receipt.usage, *receipt.nested.usage):
            sums["tokens", use.model] += use.input_tokens + use.output_tokens
            sums["requests", use.model] += use.calls
            sums["unpriced", use.model] += use.unpriced_calls
            sums["usd", use.model] += use.cost_usd
    return sums


def exported(server):
    """What the metrics say, of functions and not of the RPCs that the test itself asks with."""
    line = server.wait_for_log("metrics at ")
    address = line.split("metrics at ")[1].split('"')[0].split()[0]
    with urllib.request.urlopen(address) as reply:
        text = reply.read().decode()
    counts = {metric: (name, 1) for name, metric in COUNTS.items()}
    counts |= {metric: (name, 1e6) for name, metric in MICROSECONDS.items()}
    models = {metric: name for name, metric in OF_MODELS.items()}
    sums = Counter()
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        function = sample.labels.get("function", "")
        if sample.name in counts and ("/" not in function or function == "InvokeService/Call"):
            name, unit = counts[sample.name]
            sums[name] += sample.value * unit
        elif sample.name in models and sample.labels.get("kind") != "cached":
            sums[models[sample.name], sample.labels["model"]] += sample.value
    return sums


@pytest.mark.parametrize("seed", range(6))
def test_a_random_mix_of_calls_adds_up(rpc, shared, seed, eventually):
    before = exported(shared)
    mix = Mix(rpc, seed)
    mix.run(60)
    expected = told(mix.receipts)
    assert len(mix.codes) > 4, "a mix of ends"

    def found():
        after = exported(shared)
        return Counter({key: after[key] - before[key] for key in after})

    eventually(lambda: found()["calls"] == expected["calls"], "all calls to be counted")
    sums = found()
    for name in COUNTS:
        assert sums[name] == expected[name], name
    for name in MICROSECONDS:
        assert abs(sums[name] - expected[name]) <= expected["calls"] + 1, f"{name}: each is cut to a whole microsecond"
    for key in {key for key in (*sums, *expected) if isinstance(key, tuple)}:
        assert sums[key] == pytest.approx(expected[key]), key
    assert expected["nested"] > 20
    assert expected["tokens", "bridge/test"] > 0
