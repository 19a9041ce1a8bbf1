"""Functions of lists: what callers see of them, one call, several calls in one, and what fails only one of them."""

import asyncio
import json

import msgspec
import numpy as np
import pytest

from bridge import Batch, function
from bridge.v1 import common_pb2, invoke_pb2
from handlers import batches
from handlers.context import CallContext
from handlers.contract import CallMeta, ReplyMeta
from handlers.errors import BadInput, ResultInvalid
from handlers.functions.discovery import handler_of
from handlers.loading import LoadFailed
from handlers.testing import acall, call, stream

CALL = "InvokeService/Call"
seen = []


@function(batch=Batch(max_items=4, max_bytes=1000, max_wait_ms=2))
def double(x: list[int], note: list[str | None]) -> list[int | ValueError]:
    seen.append(list(x))
    if 13 in x:
        raise RuntimeError("thirteen")
    return [ValueError("negative") if one < 0 else 2 * one for one in x]


@function(batch=Batch(), idempotent=True)
def strict(x: list[int]) -> list[int]:
    seen.append(list(x))
    if 13 in x:
        raise RuntimeError("thirteen")
    return ["no number" if one == 7 else one for one in x]  # type: ignore[misc]


@function(batch=Batch(), idempotent=True)
async def later(x: list[int]) -> list[int]:
    seen.append(list(x))
    await asyncio.sleep(0)
    if 13 in x:
        raise RuntimeError("thirteen")
    return [2 * one for one in x]


@function(batch=Batch())
def norms(rows: list[np.ndarray]) -> list[float]:
    return [float(np.linalg.norm(row)) for row in rows]


@function(batch=Batch())
def sizes(data: list[bytes]) -> list[int]:
    return [len(one) for one in data]


@pytest.fixture(autouse=True)
def _forget():
    seen.clear()


def request(handler, form="json", **arguments):
    if form == "raw":
        payload = common_pb2.Payload(raw=arguments["raw"])
    else:
        payload = common_pb2.Payload(json=json.dumps(arguments))
    return invoke_pb2.CallRequest(function=handler.spec.name, arguments=payload).SerializeToString()


def together(target, *members, limit=1 << 20):
    """The results of a batch: values, or the error's (reason, message)."""
    handler = handler_of(target)
    requests = [one if isinstance(one, bytes) else request(handler, **one) for one in members]
    metas = [msgspec.msgpack.encode(CallMeta(CALL, f"r{index}")) for index in range(len(members))]
    context = CallContext(CallMeta(batches.METHOD))
    reply = handler.call(batches.METHOD, batches.pack(list(zip(metas, requests, strict=True)), limit), context)
    answers = batches.unpack_answers(asyncio.run(awaited(reply)) if handler.spec.is_async else reply)
    return [outcome(answer) for answer in answers]


async def awaited(reply):
    return await reply


def outcome(answer):
    if answer.ok:
        return json.loads(invoke_pb2.CallResponse.FromString(answer.body).result.json)
    error = msgspec.msgpack.decode(answer.meta, type=ReplyMeta).error
    return error.reason, error.message


def test_callers_see_the_types_of_the_entries():
    spec = handler_of(double).spec
    assert (spec.batch.max_items, spec.batch.max_bytes, spec.batch.max_wait_s) == (4, 1000, 0.002)
    arguments = json.loads(spec.arguments_schema)
    assert arguments["properties"]["x"]["type"] == "integer"
    assert arguments["required"] == ["x"], "what may be None may be left out"
    assert json.loads(spec.result_schema)["type"] == "integer", "errors are no results"


def test_one_call_is_a_list_of_one():
    assert call(double, x=3) == 6
    assert stream(double, x=4, note="n") == [8]
    assert asyncio.run(acall(later, x=5)) == 10
    assert seen == [[3], [4], [5]]


@pytest.mark.parametrize("target", [double, later])
def test_several_calls_run_once(target):
    assert together(target, {"x": 1}, {"x": 2}, {"x": 3}) == [2, 4, 6]
    assert seen == [[1, 2, 3]]


def test_an_exception_in_place_of_a_result_fails_that_call():
    assert together(double, {"x": 1}, {"x": -1}, {"x": 3}) == [2, ("USER_EXCEPTION", "ValueError: negative"), 6]
    with pytest.raises(ValueError, match="negative"):
        call(double, x=-1)


def test_arguments_that_do_not_fit_fail_their_call_and_do_not_reach_the_function():
    found = together(double, {"x": 1}, {"x": "one"}, b"\xff\xff", {"x": 4})
    assert (found[0], found[3]) == (2, 8)
    assert [one[0] for one in found[1:3]] == ["SCHEMA_MISMATCH", "MALFORMED_REQUEST"]
    assert seen == [[1, 4]]


def test_where_none_fits_the_function_is_not_called():
    assert [one[0] for one in together(double, {"x": "one"}, {})] == ["SCHEMA_MISMATCH"] * 2
    assert seen == []


def test_what_the_function_raises_fails_all_where_it_may_not_run_twice():
    with pytest.raises(RuntimeError, match="thirteen"):
        together(double, {"x": 1}, {"x": 13})
    assert seen == [[1, 13]]


@pytest.mark.parametrize(("target", "good"), [(strict, [1, 2]), (later, [2, 4])])
def test_what_an_idempotent_function_raises_fails_only_the_call_that_is_to_blame(target, good):
    found = together(target, {"x": 1}, {"x": 13}, {"x": 2})
    assert [found[0], found[2]] == good
    assert found[1] == ("USER_EXCEPTION", "RuntimeError: thirteen")
    assert seen == [[1, 13, 2], [1], [13], [2]]


def test_a_result_of_the_wrong_type_fails_its_call():
    found = together(strict, {"x": 1}, {"x": 7}, {"x": 2})
    assert (found[0], found[1][0], found[2]) == (1, "RESULT_INVALID", 2)


@pytest.mark.parametrize(("returned", "told"), [([1], "got 1"), ([1, 2, 3], "got 3"), (5, "int"), (None, "NoneType")])
def test_another_number_of_results_fails_all(returned, told):
    @function(batch=Batch())
    def wrong(x: list[int]) -> list[int]:
        return returned

    with pytest.raises(ResultInvalid, match=told):
        together(wrong, {"x": 1}, {"x": 2})


def test_results_that_do_not_fit_into_one_message_fail_alone():
    @function(batch=Batch())
    def repeat(count: list[int]) -> list[str]:
        return ["x" * one for one in count]

    found = together(repeat, {"count": 10}, {"count": 5000}, {"count": 20}, limit=1000)
    assert (found[0], found[2]) == ("x" * 10, "x" * 20)
    assert found[1][0] == "MESSAGE_TOO_LARGE"


def test_arrays_and_raw_bytes_are_entries_like_others():
    assert call(norms, rows=np.array([3.0, 4.0])) == 5.0
    assert call(sizes, "raw", data=b"12345") == 5


def test_a_batch_of_streamed_calls_is_refused():
    handler = handler_of(double)
    meta = msgspec.msgpack.encode(CallMeta("InvokeService/StreamCall"))
    body = batches.pack([(meta, request(handler, x=1))] * 2, 1000)
    reply = handler.call(batches.METHOD, body, CallContext(CallMeta(batches.METHOD)))
    assert [outcome(answer)[0] for answer in batches.unpack_answers(reply)] == ["UNKNOWN_METHOD"] * 2


def declare(target):
    return handler_of(function(batch=Batch())(target))


def not_a_list(x: int) -> list[int]: ...
def without_annotation(x) -> list[int]: ...
def with_default(x: list[int] = ()) -> list[int]: ...
def no_list_back(x: list[int]) -> int: ...
def nothing() -> list[int]: ...


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (not_a_list, "x must be a list"),
        (without_annotation, "x must be annotated"),
        (with_default, "no default"),
        (no_list_back, "its result must be a list"),
        (nothing, "at least one list"),
    ],
)
def test_a_signature_that_can_not_be_batched_says_why(target, told):
    with pytest.raises(LoadFailed, match=told):
        declare(target)


@pytest.mark.parametrize(
    "wrong", [{"max_items": 1}, {"max_bytes": 0}, {"max_wait_ms": -1}, {"concurrency": 0}, {"max_items": True}]
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Batch(**wrong)


def test_native_functions_and_other_things_are_refused():
    with pytest.raises(ValueError, match="native"):
        function(placement="native", batch=Batch())
    with pytest.raises(TypeError, match="Batch"):
        function(batch=5)


def test_bad_input_of_one_call_is_bad_input():
    with pytest.raises(BadInput):
        call(double, x="one")
