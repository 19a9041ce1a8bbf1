"""Recording and giving back what a call asks, without a server: replies, failures, streams, random numbers, values."""

import asyncio
import base64
import json
import os
import random
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from handlers.boundary import BOUNDARY, PLAIN
from handlers.context import CallContext
from handlers.contract import BatchRule, CallMeta, EntryOptions, FunctionSpec, ReplayOptions
from handlers.errors import BadInput, HandlerError, ProviderError
from handlers.nested import CallFailed
from handlers.replay import failures, record, seeds
from handlers.replay.comparing import differences, outcome_differences
from handlers.replay.handler import recorded
from handlers.replay.playing import NotRecorded, Playing
from handlers.replay.record import Exchange, Outcome, Program, ReplayError, SavedCall
from handlers.replay.recording import Recording, digest
from handlers.replay.values import from_json, packed, to_json
from handlers.secret_scan import Scanner


def saved(exchanges: list[Exchange], **changes: object) -> SavedCall:
    call = SavedCall(
        format=record.FORMAT,
        format_version=record.VERSION,
        saved_at="2026-01-01T00:00:00+00:00",
        why="failed",
        request_id="r-1",
        method="InvokeService/Call",
        program=Program(name="f", kind="function"),
        request={},
        exchanges=exchanges,
        outcome=Outcome(value=1),
        seeds={},
        environment={},
        models={},
        seconds=0.1,
    )
    return msgspec.structs.replace(call, **changes)


def played(recording: Recording) -> Playing:
    """What gives back what was recorded, after a way through a file."""
    exchanges = [
        Exchange(
            kind=one.kind,
            request=one.request,
            digest=digest(one.kind, one.request),
            reply=one.reply,
            items=one.items,
            error=one.error,
        )
        for one in recording.noted
    ]
    return Playing(record.decode(record.encode(saved(exchanges)), "it"), Scanner())


def never():
    raise AssertionError("the world outside was asked")


def test_replies_come_back_by_their_requests_whatever_the_order() -> None:
    recording = Recording(10_000)
    for number in (1, 2, 3):
        recording.through("call", ["square", {"x": number}], lambda number=number: number * number, PLAIN)
    playing = played(recording)
    again = [playing.through("call", ["square", {"x": number}], never, PLAIN) for number in (3, 1, 2)]
    assert again == [9, 1, 4]
    assert playing.remarks == []
    with pytest.raises(NotRecorded, match="call square"):
        playing.through("call", ["square", {"x": 1}], never, PLAIN)


def test_a_question_put_otherwise_gets_the_next_reply_and_a_remark() -> None:
    recording = Recording(10_000)
    recording.through("lm", {"model": "m", "messages": ["old"]}, lambda: ["answer"], PLAIN)
    playing = played(recording)
    assert playing.through("lm", {"model": "m", "messages": ["new"]}, never, PLAIN) == ["answer"]
    assert playing.remarks == ['lm m was asked otherwise: messages[0]: "old" -> "new"']
    assert playing.left() == []


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("down", code="UNAVAILABLE", metadata={"status": "500"}, retry_after_s=2.0),
        BadInput("bad", violations=(("a", "b"),)),
        CallFailed.of(HandlerError("no", code="NOT_FOUND", reason="UNKNOWN_FUNCTION"), "other"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_failures_come_back_as_they_were(error: HandlerError) -> None:
    recording = Recording(10_000)

    async def fail() -> None:
        raise error

    with pytest.raises(HandlerError):
        await recording.athrough("call", ["f", {}], fail, PLAIN)
    with pytest.raises(HandlerError) as caught:
        await played(recording).athrough("call", ["f", {}], never, PLAIN)
    assert caught.value.to_record() == error.to_record()
    if not isinstance(error, BadInput):
        assert type(caught.value) is type(error)


def test_failures_of_dspy_and_of_classes_that_are_not_known() -> None:
    import dspy

    error = dspy.LMRateLimitError("busy", model="m", status=429, retry_after=3.0)
    again = failures.restored(json.loads(json.dumps(failures.to_plain(error))))
    assert type(again) is dspy.LMRateLimitError
    assert (str(again), again.status, again.retry_after) == (str(error), 429, 3.0)
    other = failures.restored(failures.to_plain(ZeroDivisionError("by zero")))
    assert str(other) == "builtins.ZeroDivisionError: by zero"


async def test_streams_come_back_to_the_item_where_they_failed() -> None:
    recording = Recording(10_000)

    async def items():
        yield "a"
        yield "b"
        raise ProviderError("cut")

    async def read(boundary, send):
        items = boundary.aitems("stream", ["f", {}], send, PLAIN)
        found = [await anext(items), await anext(items)]
        with pytest.raises(ProviderError, match="cut"):
            await anext(items)
        return found

    assert await read(recording, items) == ["a", "b"]
    assert await read(played(recording), never) == ["a", "b"]
    again = Recording(10_000)
    assert list(again.items("stream", [1], lambda: (n for n in (1, 2)), PLAIN)) == [1, 2]
    assert list(played(again).items("stream", [1], never, PLAIN)) == [1, 2]


async def test_what_a_reply_takes_to_come_is_no_exchange_of_its_own_and_a_cancelled_one_is_none() -> None:
    recording = Recording(10_000)
    token = BOUNDARY.set(recording)
    try:

        async def outer():
            assert BOUNDARY.get() is None
            return 1

        await recording.athrough("call", ["f", {}], outer, PLAIN)
        assert BOUNDARY.get() is recording
        task = asyncio.create_task(recording.athrough("call", ["g", {}], asyncio.Event().wait, PLAIN))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    finally:
        BOUNDARY.reset(token)
    assert [one.request[0] for one in recording.noted] == ["f"]


def test_more_than_has_room_makes_the_call_one_that_is_not_saved() -> None:
    recording = Recording(100)
    recording.through("call", ["f"], lambda: "x" * 50, PLAIN)
    assert recording.complete
    recording.through("call", ["f"], lambda: "x" * 50, PLAIN)
    assert not recording.complete
    assert recording.noted == []


def test_random_numbers_go_on_from_where_they_were() -> None:
    random.gauss(0, 1)
    np.random.normal()  # the state that users' code shares
    state = json.loads(json.dumps(seeds.in_words(seeds.take())))
    before = [random.random(), random.gauss(0, 1), np.random.normal(), np.random.rand()]
    seeds.give(state)
    assert [random.random(), random.gauss(0, 1), np.random.normal(), np.random.rand()] == before


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 2**70, 1.5, "text", b"\x00\xff", [1, [b"x"]], {"a": {"b": b"x"}}, float("inf")],
    ids=repr,
)
def test_values_go_through_json_and_back(value: object) -> None:
    again = from_json(json.loads(json.dumps(to_json(value))))
    assert again == value
    assert type(again) is type(value)


def test_arrays_and_packed_bytes_go_through_json_and_back() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    again = from_json(json.loads(json.dumps(to_json({"x": array}))))["x"]
    assert again.dtype == array.dtype
    assert np.array_equal(again, array)
    inner = msgspec.json.encode({"inner": "seen"})
    for body in (msgspec.msgpack.encode(["a", inner]), b'{"a":[1,2.5]}', b'{ "odd":  "seen" }', b"\xc1\xff\xfe"):
        plain = json.loads(json.dumps(packed(body)))
        assert from_json(plain) == body
        assert ("seen" in json.dumps(plain)) is (b"seen" in body)
    with pytest.raises(ValueError, match="not kept whole: type"):
        from_json(json.loads(json.dumps(to_json([type("type", (), {})()]))))


def test_differences_of_ends_are_shown_where_they_are() -> None:
    assert differences({"a": [1, 2], "b": "x"}, {"a": [1, 3], "c": "y"}) == ["a[1]: 2 -> 3", 'b: - "x"', 'c: + "y"']
    long = "x" * 500
    (line,) = differences({"t": f"{long}old"}, {"t": f"{long}new"})
    assert line.startswith('t: at character 500: "')
    failed = Outcome(error=HandlerError("m", code="NOT_FOUND", reason="R").to_record())
    assert outcome_differences(Outcome(value=1), failed) == ["then: 1", "now:  NOT_FOUND R: m"]
    assert outcome_differences(failed, failed) == []


class Broken:
    """A handler that fails, and asks the front before."""

    spec = FunctionSpec(name="broken")

    def call(self, method, request, context):
        value = msgspec.msgpack.decode(context.ask("session.get", msgspec.msgpack.encode("cart")))
        raise LookupError(f"no {value['item']} in {os.environ['CART_TOKEN']}")

    def stream(self, method, request, context):
        raise NotImplementedError


class Front:
    def ask(self, name, body):
        more = msgspec.json.encode({"card": "4111 1111"})
        picture = b"\xff\xd8 a long enough token \xff"
        return True, msgspec.msgpack.encode({"item": "hat", "more": more, "picture": picture})


def test_a_failed_call_is_saved_with_what_it_asked_the_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CART_TOKEN", "a long enough token")
    options = EntryOptions(pool="general", replay=ReplayOptions(directory=str(tmp_path / "calls"), scrub=("card",)))
    handler = recorded(Broken(), options)
    context = CallContext(CallMeta("InvokeService/Call", request_id="r/../1"), asker=Front())
    with pytest.raises(LookupError):
        handler.call("InvokeService/Call", b"", context)
    (file,) = (tmp_path / "calls").iterdir()
    assert file.name.endswith("-broken-r_.._1.json")
    text = file.read_text()
    for data in (text.encode(), *(base64.b64decode(one) for one in re.findall(r'"\$bytes": "(.*?)"', text))):
        assert b"4111" not in data
        assert b"long enough" not in data
    assert "$bytes" in text
    call = record.decode(file.read_bytes(), "it")
    assert call.outcome.error is not None
    assert call.outcome.error.message == "LookupError: no hat in [redacted]"
    playing = Playing(call, Scanner())
    body = playing.through("ask", ["session.get", packed(msgspec.msgpack.encode("cart"))], never, PLAIN)
    assert msgspec.msgpack.decode(body)["item"] == "hat"
    assert playing.remarks == []


def test_a_file_of_another_kind_is_refused() -> None:
    with pytest.raises(ReplayError, match="format version 2"):
        record.decode(b'{"format": "bridge-replay", "format_version": 2}', "it")
    plain = json.loads(record.encode(saved([])))
    with pytest.raises(ReplayError, match="unknown field `more`"):
        record.decode(json.dumps({**plain, "more": 1}).encode(), "it")


class Failing(Broken):
    def call(self, method, request, context):
        raise LookupError("as ever")


def test_a_storm_of_failures_is_not_saved_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    seconds = iter([7.0] * 1000)
    monkeypatch.setattr("handlers.replay.handler.time.monotonic", lambda: next(seconds))
    options = EntryOptions(pool="general", replay=ReplayOptions(directory=str(tmp_path / "calls"), keep=1000))
    handler = recorded(Failing(), options)
    for _ in range(50):
        with pytest.raises(LookupError):
            handler.call("InvokeService/Call", b"", CallContext(CallMeta("InvokeService/Call")))
    assert len(list((tmp_path / "calls").iterdir())) == 20
    monkeypatch.setattr("handlers.replay.handler.time.monotonic", lambda: 8.0)
    with pytest.raises(LookupError):
        handler.call("InvokeService/Call", b"", CallContext(CallMeta("InvokeService/Call")))
    assert "30 more calls of broken were not saved: at most 20 a second" in capsys.readouterr().err
    assert len(list((tmp_path / "calls").iterdir())) == 21


def test_functions_that_can_not_be_run_again_are_left_as_they_are() -> None:
    class Batched(Broken):
        spec = FunctionSpec(name="batched", batch=BatchRule())

    class Builtin(Broken):
        spec = FunctionSpec(name="bridge.echo", kind="builtin")

    options = EntryOptions(pool="general", replay=ReplayOptions(directory="calls"))
    assert recorded(batched := Batched(), options) is batched
    assert recorded(builtin := Builtin(), options) is builtin
    assert recorded(broken := Broken(), EntryOptions(pool="general")) is broken
