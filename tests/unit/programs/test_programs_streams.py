"""Streams of programs on the test model: deltas that join to the outputs, and what is not streamed."""

import asyncio
import json

import dspy
import pytest

from bridge.v1 import common_pb2, invoke_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta
from handlers.models import test_model
from handlers.programs.test_engine import AsyncTestEngine, TestEngine

ADAPTERS = [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter]


class Draft(dspy.Module):
    """Two steps, synchronous, as most people write them."""

    def __init__(self):
        super().__init__()
        self.sort = dspy.ChainOfThought("ticket -> queue: Literal['billing','sales']")
        self.reply = dspy.Predict("ticket, queue -> reply")

    def forward(self, ticket: str):
        queue = self.sort(ticket=ticket).queue
        return dspy.Prediction(queue=queue, reply=self.reply(ticket=ticket, queue=queue).reply)


class AsyncDraft(Draft):
    async def aforward(self, ticket: str):
        queue = (await self.sort.acall(ticket=ticket)).queue
        return dspy.Prediction(queue=queue, reply=(await self.reply.acall(ticket=ticket, queue=queue)).reply)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("cls", [Draft, AsyncDraft])
async def test_deltas_join_to_the_outputs(app, adapter, cls):
    served = app(draft=cls())
    with dspy.context(adapter=adapter()):
        reply = await served.stream("draft", ticket="I paid twice")
        assert reply.outputs == (await served.run("draft", ticket="I paid twice")).outputs
    if adapter is dspy.JSONAdapter:
        assert reply.deltas == [], "JSON's text is not the value: better no delta than a wrong one"
        return
    assert reply.text("reply", "reply") == reply.outputs["reply"]
    assert reply.text("sort.predict", "reasoning")
    assert len([one for one in reply.deltas if one.field == "reply"]) > 3
    last = [(one.predictor, one.field) for one in reply.deltas if one.last]
    assert last == [("sort.predict", "reasoning"), ("reply", "reply")]
    assert reply.context.usage[0].calls == 2


async def test_a_program_without_a_text_field_streams_its_end_only(app):
    reply = await app(count=dspy.Predict("text -> number: int")).stream("count", text="x")
    assert reply.deltas == []
    assert isinstance(reply.outputs["number"], int)


async def test_a_program_with_several_answers_per_call_streams_its_end_only(app):
    reply = await app(many=dspy.Predict("text -> answer", n=2)).stream("many", text="x")
    assert reply.deltas == []
    assert "bridge/test" in reply.outputs["answer"]


async def test_stream_call_sends_the_outputs_as_its_only_item(app):
    served = app(triage=dspy.Predict("a -> b"))
    request = invoke_pb2.StreamCallRequest(function="triage", arguments=common_pb2.Payload(json='{"a": "x"}'))
    stream = served.handlers["triage"].stream("InvokeService/StreamCall", request.SerializeToString(), context())
    items = [invoke_pb2.StreamCallResponse.FromString(item) async for item in stream]
    assert [json.loads(item.item.json).keys() for item in items] == [{"b"}]


async def test_a_failing_stream_raises_the_failure(app):
    class Broken(dspy.Module):
        def forward(self, question: str):
            raise KeyError(question)

    with pytest.raises(KeyError):
        await app(broken=Broken()).stream("broken", question="where")


@pytest.mark.parametrize("cls", [Draft, AsyncDraft])
async def test_a_stream_of_a_model_that_the_app_made(app, cls):
    """Its synchronous engine runs in the program's thread and sends from there."""
    own = cls()
    own.set_lm(dspy.LM("bridge/test", engine=TestEngine(), async_engine=AsyncTestEngine()))
    reply = await app(models={}, draft=own).stream("draft", ticket="I paid twice")
    assert reply.text("reply", "reply") == reply.outputs["reply"]
    assert reply.context.usage[0].calls == 2


async def test_best_of_n_counts_every_try_and_streams_its_end_only(app):
    best = dspy.BestOfN(dspy.ChainOfThought("q -> a: int"), N=3, reward_fn=lambda args, pred: 0.1, threshold=0.5)
    reply = await app(best=best).stream("best", q="x")
    assert reply.context.usage[0].calls == 3
    assert reply.deltas == [], "its tries are copies: which one will win is not known while they run"
    assert isinstance(reply.outputs["a"], int)


async def test_an_unread_stream_stops_reading_its_model(app):
    """A client that does not read holds the program up, it does not fill the memory."""
    sent = []

    class Endless(AsyncTestEngine):
        async def stream(self, request):
            yield dspy.lm15.StreamStartEvent(id="1", model=test_model.NAME)
            yield dspy.lm15.StreamDeltaEvent(delta=dspy.lm15.TextDelta(text="[[ ## b ## ]]\n"))
            while True:
                sent.append(1)
                yield dspy.lm15.StreamDeltaEvent(delta=dspy.lm15.TextDelta(text="word "))
                await asyncio.sleep(0)

    own = dspy.Predict("a -> b")
    own.set_lm(dspy.LM("endless", engine=TestEngine(), async_engine=Endless()))
    stream = app(own=own).open_stream("own", context(), a="x")
    await anext(stream)
    for _ in range(500):
        await asyncio.sleep(0)
    assert 0 < len(sent) < 100
    await stream.aclose()


def context() -> CallContext:
    return CallContext(CallMeta(method="x"))
