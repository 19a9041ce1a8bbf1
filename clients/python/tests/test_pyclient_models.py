"""Answers that grow and batches: what is sent, byte for byte, and what comes back."""

import dataclasses
import json
from typing import TypedDict

import bridge_client
import pydantic
import pytest
from bridge_client.v1 import common_pb2, model_pb2

USAGE = common_pb2.ModelUsage(model="bridge/test", calls=1, input_tokens=2, output_tokens=3, cost_usd=0.5)


class Invoice(pydantic.BaseModel):
    number: str
    total: float


@dataclasses.dataclass
class Line:
    text: str


class Address(TypedDict):
    city: str


class TestStreamExtract:
    def events(self, *events):
        return [
            model_pb2.StreamExtractResponse(**{kind: {"number": number, "attempt": 1, **fields}})
            for number, (kind, fields) in enumerate(events, 1)
        ]

    def stream(self, runner, stub, schema, events, final):
        reply = model_pb2.ExtractResponse(json=final, model="m", usage=USAGE, attempts=1)
        stub.answer("ModelService/StreamExtract", [*events, model_pb2.StreamExtractResponse(final=reply)])
        found = runner.collect(lambda client: client.models.stream_extract(schema, "text", max_retries=1, top_p=0.5))
        return found, model_pb2.StreamExtractRequest.FromString(stub.last.request)

    def test_objects_grow(self, runner, stub):
        events = self.events(("partial", {"json": '{"number": "7"}'}))
        found, request = self.stream(runner, stub, Invoice, events, '{"number": "77", "total": 1}')
        assert found[0] == bridge_client.PartialAnswer(number=1, attempt=1, value={"number": "7"})
        assert found[1].value == Invoice(number="77", total=1)
        assert (request.max_retries, request.options.top_p, request.options.HasField("seed")) == (1, 0.5, False)

    @pytest.mark.parametrize(("kind", "value"), [(Line, Line("x")), (Address, {"city": "x"})])
    def test_items_have_the_type_of_the_list(self, runner, stub, kind, value):
        text = json.dumps(value if isinstance(value, dict) else dataclasses.asdict(value))
        events = self.events(("item", {"index": 0, "json": text}))
        found, request = self.stream(runner, stub, list[kind], events, f"[{text}]")
        assert found[0] == bridge_client.AnswerItem(number=1, attempt=1, index=0, value=value)
        assert found[1].value == [value]
        assert json.loads(request.schema)["type"] == "array"

    def test_lists_of_pydantic_models(self, runner, stub):
        text = '{"number": "7", "total": 1.5}'
        events = self.events(("item", {"index": 0, "json": text}))
        found, request = self.stream(runner, stub, list[Invoice], events, f"[{text}]")
        assert [found[0].value] == found[1].value == [Invoice(number="7", total=1.5)]
        assert json.loads(request.schema)["items"]["required"] == ["number", "total"]

    def test_what_is_no_json(self, runner, stub):
        with pytest.raises(bridge_client.UnexpectedReply, match="expected JSON"):
            self.stream(runner, stub, Invoice, self.events(("partial", {"json": "{"})), "{}")


FAILURE = model_pb2.Failure(
    code=8,
    reason="PROVIDER_ERROR",
    message="busy",
    metadata={"status": "429"},
    violations=[{"field": "messages", "description": "none"}],
    retry_after_s=7.0,
)


class TestBatches:
    def generation(self, text):
        return model_pb2.GenerateResponse(text=text, model="m", usage=USAGE)

    def test_answers_and_errors_in_order(self, runner, stub):
        answers = [{"index": 0, "answer": self.generation("a")}, {"index": 1, "failure": FAILURE}]
        stub.answer(
            "ModelService/GenerateBatch", model_pb2.GenerateBatchResponse(answers=answers, usage=[USAGE], failed=1)
        )
        tools = [{"name": "t"}]
        found = runner.run(
            lambda client: client.models.generate_batch(
                ["x", [{"role": "system", "content": "y"}]], tools=tools, max_concurrency=3, temperature=0.5, stop="."
            )
        )
        assert (found.failed, found.usage[0].calls, found.answers[0].get().text) == (1, 1, "a")
        error = found.answers[1].error
        assert isinstance(error, bridge_client.ProviderError)
        assert (error.code, error.retry_after_s, error.metadata["status"]) == ("RESOURCE_EXHAUSTED", 7.0, "429")
        assert error.violations[0].field == "messages"
        with pytest.raises(bridge_client.ProviderError, match="busy"):
            found.answers[1].get()
        request = model_pb2.GenerateBatchRequest.FromString(stub.last.request)
        assert [one.messages[0].content for one in request.prompts] == ["x", "y"]
        assert (request.prompts[1].tools[0].name, request.max_concurrency) == ("t", 3)
        assert (request.options.temperature, list(request.options.stop)) == (0.5, ["."])

    def test_a_stream_ends_with_a_summary(self, runner, stub):
        events = [
            model_pb2.StreamGenerateBatchResponse(answer={"index": 1, "answer": self.generation("b")}),
            model_pb2.StreamGenerateBatchResponse(final={"answered": 1, "failed": 0, "usage": [USAGE]}),
        ]
        stub.answer("ModelService/StreamGenerateBatch", events)
        one, end = runner.collect(lambda client: client.models.stream_generate_batch(["x"], model="fast"))
        assert (one.index, one.answer.text, one.error) == (1, "b", None)
        assert (end.answered, end.failed, end.usage[0].output_tokens) == (1, 0, 3)
        assert model_pb2.StreamGenerateBatchRequest.FromString(stub.last.request).model == "fast"

    def test_extractions_have_the_type_of_the_schema(self, runner, stub):
        reply = model_pb2.ExtractResponse(json='{"text": "x"}', model="m", usage=USAGE, attempts=2)
        answers = [{"index": 0, "answer": reply}]
        stub.answer("ModelService/ExtractBatch", model_pb2.ExtractBatchResponse(answers=answers))
        found = runner.run(lambda client: client.models.extract_batch(Line, ["x"], max_retries=0))
        assert found.answers[0].get().value == Line("x")
        request = model_pb2.ExtractBatchRequest.FromString(stub.last.request)
        assert (request.HasField("max_retries"), json.loads(request.schema)["required"]) == (True, ["text"])

    def test_one_text_is_no_list_of_prompts(self, runner):
        with pytest.raises(TypeError, match="one text"):
            runner.run(lambda client: client.models.generate_batch("hello"))

    def test_an_outcome_that_this_client_does_not_know(self):
        with pytest.raises(bridge_client.UnexpectedReply, match="neither"):
            bridge_client.BatchAnswer(index=0, answer=None, error=None).get()


class TestImages:
    def sent(self, runner, stub, *messages):
        stub.answer("ModelService/Generate", model_pb2.GenerateResponse(text="x", usage=USAGE))
        runner.run(lambda client: client.models.generate(list(messages)))
        return model_pb2.GenerateRequest.FromString(stub.last.request).messages

    def test_texts_and_images_in_their_order(self, runner, stub):
        images = [
            bridge_client.Image(url="https://a/b", detail="low"),
            bridge_client.Image(data=b"x", media_type="i/p"),
        ]
        turn = bridge_client.Message(role="user", content=["look", images[0], images[1]])
        (message,) = self.sent(runner, stub, turn)
        assert message.content == ""
        assert list(message.parts) == [
            model_pb2.ContentPart(text="look"),
            model_pb2.ContentPart(image={"url": "https://a/b", "detail": model_pb2.IMAGE_DETAIL_LOW}),
            model_pb2.ContentPart(image={"data": b"x", "media_type": "i/p"}),
        ]

    def test_parts_of_the_openai_api(self, runner, stub):
        parts = [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://a/b"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA==", "detail": "high"}},
        ]
        (message,) = self.sent(runner, stub, {"role": "user", "content": parts})
        assert message.parts[1].image == model_pb2.ImageInput(url="https://a/b")
        high = model_pb2.IMAGE_DETAIL_HIGH
        assert message.parts[2].image == model_pb2.ImageInput(data=b"x", media_type="image/png", detail=high)

    @pytest.mark.parametrize("content", [[{"type": "video"}], [7], 7])
    def test_what_is_neither(self, runner, content):
        with pytest.raises(TypeError, match=r"messages\[0\]"):
            runner.run(lambda client: client.models.generate([{"role": "user", "content": content}]))

    def test_images_that_a_model_makes(self, runner, stub):
        images = [{"data": b"x", "media_type": "image/png", "revised_prompt": "r"}, {"url": "https://a/b"}]
        stub.answer(
            "ModelService/GenerateImages", model_pb2.GenerateImagesResponse(images=images, model="m", usage=USAGE)
        )
        found = runner.run(lambda client: client.models.generate_images("a cat", count=2, size="8x8", delivery="url"))
        assert (found.model, found.usage.calls) == ("m", 1)
        assert [(one.data, one.url, one.media_type) for one in found.images] == [
            (b"x", "", "image/png"),
            (b"", "https://a/b", ""),
        ]
        request = model_pb2.GenerateImagesRequest.FromString(stub.last.request)
        assert (request.prompt, request.count, request.size) == ("a cat", 2, "8x8")
        assert request.delivery == model_pb2.IMAGE_DELIVERY_URL

    def test_a_delivery_that_there_is_not(self, runner):
        with pytest.raises(ValueError, match="any, data, url"):
            runner.run(lambda client: client.models.generate_images("a cat", delivery="post"))


class TestToolChoice:
    @pytest.mark.parametrize(
        ("choice", "sent"),
        [
            (None, model_pb2.ToolChoice()),
            ("required", model_pb2.ToolChoice(mode=model_pb2.TOOL_MODE_REQUIRED)),
            ("clock", model_pb2.ToolChoice(name="clock")),
        ],
    )
    def test_what_is_sent(self, runner, stub, choice, sent):
        stub.answer("ModelService/Generate", model_pb2.GenerateResponse(text="x", usage=USAGE))
        runner.run(lambda client: client.models.generate("x", tools=[{"name": "clock"}], tool_choice=choice))
        request = model_pb2.GenerateRequest.FromString(stub.last.request)
        assert request.tool_choice == sent
        assert not request.HasField("parallel_tool_calls")

    def test_parts_of_calls(self, runner, stub):
        parts = [
            {"index": 0, "id": "1", "name": "clock"},
            {"index": 0, "arguments_delta": "{}"},
        ]
        events = [model_pb2.StreamGenerateResponse(tool_call_delta=part) for part in parts]
        final = model_pb2.StreamGenerateResponse(final=model_pb2.GenerateResponse(usage=USAGE))
        stub.answer("ModelService/StreamGenerate", [*events, final])
        found = runner.collect(lambda client: client.models.stream("x", parallel_tool_calls=False))
        assert found[:2] == [
            bridge_client.ToolCallDelta(index=0, id="1", name="clock", arguments=""),
            bridge_client.ToolCallDelta(index=0, id="", name="", arguments="{}"),
        ]
        request = model_pb2.StreamGenerateRequest.FromString(stub.last.request)
        assert (request.HasField("parallel_tool_calls"), request.parallel_tool_calls) == (True, False)


OBJECT = {"type": "object"}
CACHED = {
    "Extract": (
        model_pb2.ExtractRequest,
        model_pb2.ExtractResponse(json="{}"),
        lambda models, **options: models.extract(OBJECT, "text", **options),
    ),
    "GenerateBatch": (
        model_pb2.GenerateBatchRequest,
        model_pb2.GenerateBatchResponse(),
        lambda models, **options: models.generate_batch(["text"], **options),
    ),
    "ExtractBatch": (
        model_pb2.ExtractBatchRequest,
        model_pb2.ExtractBatchResponse(),
        lambda models, **options: models.extract_batch(OBJECT, ["text"], **options),
    ),
}


@pytest.mark.parametrize("method", CACHED)
def test_a_fresh_answer_may_be_asked_for(runner, stub, method):
    request, reply, ask = CACHED[method]
    stub.answer(f"ModelService/{method}", reply)
    sent = []
    for options in ({}, {"cache": True}, {"cache": False, "seed": 7}):
        runner.run(lambda client, options=options: ask(client.models, **options))
        sent.append(request.FromString(stub.last.request))
    assert [one.HasField("cache") for one in sent] == [False, False, True]
    assert (sent[2].cache, sent[2].options.seed) == (False, 7)


@pytest.mark.parametrize("method", ["StreamExtract", "StreamGenerateBatch"])
def test_a_fresh_answer_may_be_asked_for_as_a_stream(runner, stub, method):
    stub.answer(f"ModelService/{method}", [], stream=True)
    if method == "StreamExtract":
        runner.collect(lambda client: client.models.stream_extract(OBJECT, "text", cache=False))
        request = model_pb2.StreamExtractRequest.FromString(stub.last.request)
    else:
        runner.collect(lambda client: client.models.stream_generate_batch(["text"], cache=False))
        request = model_pb2.StreamGenerateBatchRequest.FromString(stub.last.request)
    assert request.HasField("cache")
    assert request.cache is False
