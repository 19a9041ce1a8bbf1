"""Functions over protobuf messages, by their own RPC and by name."""

import json

import pytest

from bridge.v1 import common_pb2, embedding_pb2, invoke_pb2, metric_pb2, model_pb2
from handlers import proto_json
from handlers.context import CallContext
from handlers.contract import CallMeta
from handlers.errors import BadInput, HandlerError
from handlers.proto_handler import ProtoHandler, Rpc


def score(request, context):
    return metric_pb2.ScoreResponse(score={"value": float(len(request.example.prediction)), "details": {"n": 1.0}})


async def score_async(request, context):
    return score(request, context)


def items(request, context):
    for text in request.texts:
        yield embedding_pb2.EmbedResponse(model=text, dimensions=7)


async def items_async(request, context):
    for item in items(request, context):
        yield item


def handler_of(run, *, streaming=False, is_async=False):
    kinds = (
        (embedding_pb2.EmbedRequest, embedding_pb2.EmbedResponse)
        if streaming
        else (metric_pb2.ScoreRequest, metric_pb2.ScoreResponse)
    )
    return ProtoHandler(
        Rpc(method="My/Own", request=kinds[0], response=kinds[1], run=run, omit=() if streaming else ("metric",)),
        Rpc(method="My/Other", request=kinds[0], response=kinds[1], run=run),
        name="my.own",
        doc="Mine.",
        streaming=streaming,
        is_async=is_async,
        example={"a": 1},
    )


def context():
    return CallContext(CallMeta("My/Own"))


def by_name(kind=invoke_pb2.CallRequest, **payload):
    return kind(function="my.own", arguments=common_pb2.Payload(**payload)).SerializeToString()


OWN = metric_pb2.ScoreRequest(example={"prediction": "four"}).SerializeToString()


@pytest.mark.parametrize("method", ["My/Own", "My/Other"])
def test_own_rpc(method):
    reply = handler_of(score).call(method, OWN, context())
    assert metric_pb2.ScoreResponse.FromString(reply).score.value == 4.0


async def test_own_rpc_async():
    reply = await handler_of(score_async, is_async=True).call("My/Own", OWN, context())
    assert metric_pb2.ScoreResponse.FromString(reply).score.value == 4.0


def test_by_name_answers_in_the_form_of_the_arguments():
    handler = handler_of(score)
    reply = handler.call("InvokeService/Call", by_name(json='{"example": {"prediction": "four"}}'), context())
    result = json.loads(invoke_pb2.CallResponse.FromString(reply).result.json)
    assert result == {"score": {"value": 4.0, "details": {"n": 1.0}}, "parameters": "", "signature": ""}
    packed = by_name(msgpack=b"\x81\xa7example\x81\xaaprediction\xa3two")
    reply = handler.call("InvokeService/Call", packed, context())
    assert invoke_pb2.CallResponse.FromString(reply).result.WhichOneof("body") == "msgpack"


def test_streams_by_rpc_and_by_name():
    handler = handler_of(items, streaming=True)
    own = embedding_pb2.EmbedRequest(texts=["a", "b"]).SerializeToString()
    replies = [embedding_pb2.EmbedResponse.FromString(item) for item in handler.stream("My/Own", own, context())]
    assert [reply.model for reply in replies] == ["a", "b"]
    asked = by_name(invoke_pb2.StreamCallRequest, json='{"texts": ["a"]}')
    (reply,) = handler.stream("InvokeService/StreamCall", asked, context())
    assert json.loads(invoke_pb2.StreamCallResponse.FromString(reply).item.json)["dimensions"] == 7


async def test_closing_an_async_stream_closes_the_function():
    closed = []

    async def endless(request, context):
        try:
            while True:
                yield embedding_pb2.EmbedResponse()
        finally:
            closed.append(True)

    stream = handler_of(endless, streaming=True, is_async=True).stream("My/Own", b"", context())
    assert await anext(stream) == b""
    await stream.aclose()
    assert closed == [True]


async def test_stream_call_of_a_function_that_does_not_stream_sends_one():
    asked = by_name(invoke_pb2.StreamCallRequest, json="{}")
    assert len(list(handler_of(score).stream("InvokeService/StreamCall", asked, context()))) == 1
    stream = handler_of(score_async, is_async=True).stream("InvokeService/StreamCall", asked, context())
    assert len([item async for item in stream]) == 1


def test_call_of_a_function_that_streams_is_refused():
    with pytest.raises(BadInput, match="StreamCall"):
        handler_of(items, streaming=True).call("InvokeService/Call", by_name(json="{}"), context())


def test_requests_that_are_no_messages():
    handler = handler_of(score)
    with pytest.raises(BadInput, match=r"bridge\.v1\.ScoreRequest"):
        handler.call("My/Own", b"\xff\xff", context())
    with pytest.raises(BadInput, match="object"):
        handler.call("InvokeService/Call", by_name(raw=b"x"), context())
    with pytest.raises(HandlerError, match="My/Own, My/Other"):
        handler.call("My/Unknown", b"", context())


@pytest.mark.parametrize(
    ("plain", "path", "says"),
    [
        ({"nope": 1}, "nope", "no such field"),
        ({"messages": [{"nope": 1}]}, "messages[0].nope", "no such field"),
        ({"messages": [{"role": "user"}]}, "messages[0].role", "Invalid enum value user"),
        ({"messages": 3}, "messages", "must be in"),
        ({"model": 5}, "model", "string"),
        ({"options": {"temperature": "warm"}}, "options.temperature", "float"),
        ({"options": {"max_tokens": 2**40}}, "options", "out of range"),
        ({"messages": [{"content": "\ud800"}]}, "messages[0].content", "surrogate"),
        ({"options": [1]}, "options", ""),
    ],
)
def test_arguments_that_do_not_fit_say_where(plain, path, says):
    with pytest.raises(BadInput) as caught:
        proto_json.fill(model_pb2.GenerateRequest(), plain)
    ((found, text),) = caught.value.violations
    assert found == path
    assert says in text


def test_plain_objects_keep_integers_enums_and_presence():
    response = model_pb2.GenerateResponse(finish_reason=1, usage={"input_tokens": 2**60})
    plain = proto_json.to_plain(response)
    assert plain["finish_reason"] == "FINISH_REASON_STOP"
    assert plain["usage"]["input_tokens"] == 2**60
    assert "cost_usd" not in plain["usage"]
    again = model_pb2.GenerateResponse()
    proto_json.fill(again, plain)
    assert again == response


def test_schemas():
    handler = handler_of(score)
    arguments, result = json.loads(handler.spec.arguments_schema), json.loads(handler.spec.result_schema)
    assert set(arguments["properties"]) == {"example", "parameters"}
    assert arguments["additionalProperties"] is False
    assert result["required"] == ["parameters", "signature"]
    assert result["$defs"]["MetricScore"]["properties"]["details"]["additionalProperties"] == {"type": "number"}
    assert handler.spec.example == '{"a": 1}'
