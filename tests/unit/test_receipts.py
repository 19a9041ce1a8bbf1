"""What a receipt says about a call in each way that it can end, and the trailers beside it."""

import time

import pytest

from bridge.call import Identity, new_call
from bridge.receipts import receipts
from bridge.sessions.record import Session
from bridge.v1.common_pb2 import Receipt, Route
from handlers.contract import ReplyMeta, UsageRecord


@pytest.fixture
def call():
    made = new_call("InvokeService/Call", Identity("r-1"), b"x" * 30, 0.0)
    made.function = "add"
    return made


def as_pooled(call, *, waited_s, ran_s=None):
    """The call as it stands after it has waited, and where it got a worker, run."""
    call.route, call.reason, call.pool = receipts.POOLED, "declared pooled", "general"
    call.started_at = time.perf_counter() - waited_s - (ran_s or 0.0)
    if ran_s is not None:
        call.worker, call.leased_at = "general-1", call.started_at + waited_s
    return call


def test_an_answered_pooled_call(call):
    as_pooled(call, waited_s=0.2, ran_s=0.5)
    call.worker_ns, call.memory_change, call.bytes_out = 400_000_000, -4096, 7
    receipt = receipts.receipt(call)
    assert (receipt.request_id, receipt.function, receipt.reason) == ("r-1", "add", "declared pooled")
    assert (receipt.route, receipt.pool, receipt.worker) == (Route.ROUTE_POOLED, "general", "general-1")
    assert receipt.queue_us == pytest.approx(200_000, abs=2)
    assert receipt.worker_us == 400_000
    assert 700_000 <= receipt.total_us < 5_000_000
    assert (receipt.bytes_in, receipt.bytes_out, receipt.memory_change_bytes) == (30, 7, -4096)
    assert not receipt.usage
    assert receipt.session_epoch == 0


def test_a_call_that_never_got_a_worker_has_waited_all_its_time(call):
    receipt = receipts.receipt(as_pooled(call, waited_s=0.3))
    assert receipt.queue_us == receipt.total_us >= 300_000
    assert receipt.worker_us == 0
    assert receipt.worker == ""
    assert not receipt.HasField("memory_change_bytes")


def test_a_call_whose_worker_was_lost_tells_how_long_it_had_it(call):
    receipt = receipts.receipt(as_pooled(call, waited_s=0.1, ran_s=0.4))
    assert receipt.worker_us >= 400_000
    assert receipt.queue_us + receipt.worker_us <= receipt.total_us + 2


def test_a_native_call(call):
    call.route, call.reason, call.worker_ns = receipts.NATIVE, "declared native", 5000
    receipt = receipts.receipt(call)
    assert (receipt.route, receipt.queue_us, receipt.worker_us) == (Route.ROUTE_NATIVE, 0, 5)
    assert not receipt.HasField("memory_change_bytes")


def test_a_call_that_was_refused_before_it_was_routed(call):
    call.function = ""
    trailers = dict(receipts.trailers(call))
    assert set(trailers) == {"bridge-receipt-bin", "bridge-route"}
    assert trailers["bridge-route"] == "none"
    receipt = Receipt.FromString(trailers["bridge-receipt-bin"])
    assert (receipt.route, receipt.request_id, receipt.bytes_in) == (Route.ROUTE_UNSPECIFIED, "r-1", 30)


def test_trailers_name_the_worker_and_the_epoch(call):
    as_pooled(call, waited_s=0.0, ran_s=0.0)
    call.session = Session("s", 60.0, 0.0)
    call.session.epoch = 3
    trailers = dict(receipts.trailers(call))
    assert (trailers["bridge-route"], trailers["bridge-worker"]) == ("pooled", "general-1")
    assert trailers["bridge-session-epoch"] == "3"
    assert Receipt.FromString(trailers["bridge-receipt-bin"]).session_epoch == 3


def test_usage_of_models(call):
    usage = (UsageRecord("a", 2, 10, 5, 3, 0.25), UsageRecord("b", 1, 1, 1))
    call.meta = ReplyMeta(usage=usage, model_s=0.75)
    receipt = receipts.receipt(call)
    assert receipt.model_us == 750_000
    first, second = receipt.usage
    assert (first.model, first.calls, first.input_tokens, first.output_tokens) == ("a", 2, 10, 5)
    assert (first.cached_tokens, first.cost_usd) == (3, 0.25)
    assert second.model == "b"
    assert not second.HasField("cost_usd"), "an unknown price is absent, not zero"


def test_usage_of_many_models_fits_and_adds_up(call):
    usage = tuple(UsageRecord(f"provider/model-{n}" + "x" * 200, 1, 100, 10, 1, 0.5) for n in range(100))
    call.meta = ReplyMeta(usage=usage, model_s=1.0)
    receipt = receipts.receipt(call)
    assert receipt.ByteSize() <= receipts.RECEIPT_BYTES
    assert receipt.usage[-1].model == receipts.OTHER_MODELS
    assert sum(entry.calls for entry in receipt.usage) == 100
    assert sum(entry.input_tokens for entry in receipt.usage) == 10_000
    assert sum(entry.cost_usd for entry in receipt.usage) == pytest.approx(50.0)


@pytest.mark.parametrize("route", ["pooled", "native"])
def test_the_receipt_of_an_ordinary_call_is_written_another_way_and_says_the_same(call, route):
    if route == "pooled":
        as_pooled(call, waited_s=0.2, ran_s=0.5)
        call.memory_change = 0
    else:
        call.route, call.reason = receipts.NATIVE, "declared native"
    call.worker_ns, call.bytes_out = 400_000_000, 7
    trailers = dict(receipts.trailers(call))
    written, built = Receipt.FromString(trailers["bridge-receipt-bin"]), receipts.receipt(call)
    assert 0 <= built.total_us - written.total_us < 1_000_000
    written.total_us = built.total_us
    assert written == built
    assert trailers["bridge-route"] == route
    assert trailers.get("bridge-worker", "") == built.worker
