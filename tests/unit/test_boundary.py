"""The boundary around every RPC: whatever happens inside becomes an answer, with a receipt; cancels pass through."""

import asyncio
import logging

import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RequestInfo
from google.rpc.status_pb2 import Status

from bridge.call import Identity, new_call
from bridge.errors import BridgeError, Code, bad_metadata
from bridge.interceptors.errors import guard_local, guard_streaming, guard_unary
from bridge.telemetry import Telemetry
from bridge.v1.common_pb2 import Receipt
from handlers.contract import FunctionSpec
from pool.errors import WorkerLost

METHOD = "InvokeService/Call"
METADATA = (("x-request-id", "r-1"),)


@pytest.fixture
def telemetry():
    return Telemetry()


def begin(method, request, metadata, remaining_s):
    return new_call(method, Identity("r-1"), request, 0.0)


def details(answer):
    trailers = dict(answer.trailers)
    status = Status.FromString(trailers["grpc-status-details-bin"])
    found = {}
    for packed in status.details:
        for kind in (ErrorInfo, RequestInfo):
            if packed.Is(kind.DESCRIPTOR):
                found[kind] = kind.FromString(packed.value)
    return found, Receipt.FromString(trailers["bridge-receipt-bin"])


def raising(error):
    async def run(*_):
        raise error

    return run


async def unary(run, telemetry, begin=begin):
    return await guard_unary(METHOD, begin, run, telemetry)(b"request", METADATA, None)


async def streaming(run, telemetry, begin=begin):
    return await guard_streaming(METHOD, begin, run, telemetry)(b"request", METADATA, None, None)


async def local(run, telemetry, begin=None):
    return await guard_local(METHOD, run, telemetry)(b"request", METADATA, None)


@pytest.mark.parametrize("kind", [unary, streaming, local])
@pytest.mark.parametrize("error", [ValueError("inside"), KeyError("inside"), asyncio.CancelledError()])
async def test_what_nobody_expected_is_logged_in_full_and_told_in_fixed_text(kind, error, telemetry, caplog):
    with caplog.at_level(logging.ERROR, logger="bridge"):
        answer = await kind(raising(error), telemetry)
    assert (answer.code, answer.body) == (Code.INTERNAL, None)
    assert "inside" not in answer.message
    found, receipt = details(answer)
    assert found[ErrorInfo].reason == "INTERNAL"
    assert found[RequestInfo].request_id == receipt.request_id == "r-1"
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "r-1" in record.getMessage()
    assert record.exc_info[1] is error
    assert telemetry.tallies.calls == {(METHOD, Code.INTERNAL): 1}


@pytest.mark.parametrize("kind", [unary, streaming, local])
async def test_known_failures_are_not_logged_as_faults_of_the_bridge(kind, telemetry, caplog):
    failure = BridgeError(Code.NOT_FOUND, "UNKNOWN_FUNCTION", "there is none")
    with caplog.at_level(logging.ERROR, logger="bridge"):
        answer = await kind(raising(failure), telemetry)
    assert (answer.code, answer.message) == (Code.NOT_FOUND, "there is none")
    assert not [one for one in caplog.records if one.levelno == logging.ERROR]


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_crash_is_judged_by_the_function(idempotent, telemetry):
    async def run(call):
        call.spec = FunctionSpec(name="f", idempotent=idempotent)
        raise WorkerLost("p", "p-1", "f", "gone", signal="SIGKILL", exit_code=None, stderr="")

    answer = await unary(run, telemetry)
    assert answer.code == (Code.UNAVAILABLE if idempotent else Code.ABORTED)
    assert telemetry.tallies.calls == {("f", answer.code): 1}


@pytest.mark.parametrize("kind", [unary, streaming])
async def test_metadata_that_can_not_be_used_has_a_receipt_too(kind, telemetry):
    def refuse(method, request, metadata, remaining_s):
        raise bad_metadata("x-timeout-ms", "no")

    answer = await kind(raising(AssertionError("not reached")), telemetry, refuse)
    found, receipt = details(answer)
    assert found[ErrorInfo].reason == "BAD_METADATA"
    assert (receipt.request_id, receipt.bytes_in) == ("r-1", len(b"request"))


@pytest.mark.parametrize("kind", [unary, streaming])
async def test_a_cancel_of_the_request_passes_and_is_counted(kind, telemetry):
    entered = asyncio.Event()

    async def run(*_):
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(kind(run, telemetry))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert telemetry.tallies.calls == {(METHOD, Code.CANCELLED): 1}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
async def test_what_ends_the_process_is_no_answer(error, telemetry):
    coroutine = unary(raising(error), telemetry)
    with pytest.raises(type(error)):
        coroutine.send(None)


async def test_an_answer(telemetry):
    async def run(call):
        call.bytes_out = 4
        return b"body"

    answer = await unary(run, telemetry)
    assert (answer.body, answer.code) == (b"body", 0)
    assert Receipt.FromString(dict(answer.trailers)["bridge-receipt-bin"]).bytes_out == 4
    assert telemetry.tallies.calls == {(METHOD, 0): 1}
