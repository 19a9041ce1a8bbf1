"""Programs, models, embeddings and metrics: what is sent, byte for byte, and what comes back."""

import copy
import dataclasses
import json
import pickle
from typing import TypedDict

import bridge_client
import msgspec
import pydantic
import pytest
from bridge_client import Message, Tool, ToolCall
from bridge_client.v1 import common_pb2, embedding_pb2, metric_pb2, model_pb2, program_pb2

USAGE = common_pb2.ModelUsage(model="bridge/test", calls=1, input_tokens=2, output_tokens=3, cost_usd=0.5)


def outputs(**fields):
    return common_pb2.Payload(msgpack=msgspec.msgpack.encode(fields))


class TestPrograms:
    def test_run(self, runner, stub):
        stub.answer("ProgramService/Run", program_pb2.RunResponse(outputs=outputs(queue="billing", urgency=3)))
        found = runner.run(lambda client: client.programs.run("triage", ticket="help", model="an input"))
        assert found.queue == found["queue"] == "billing"
        assert dict(found) == {"queue": "billing", "urgency": 3}
        request = program_pb2.RunRequest.FromString(stub.last.request)
        assert (request.program, request.model) == ("triage", "")
        assert msgspec.msgpack.decode(request.inputs.msgpack) == {"ticket": "help", "model": "an input"}

    def test_another_model(self, runner, stub):
        stub.answer("ProgramService/Run", program_pb2.RunResponse(outputs=outputs()))
        runner.run(lambda client: client.programs.using("fast").run("triage"))
        assert program_pb2.RunRequest.FromString(stub.last.request).model == "fast"

    def test_otherwise_asked(self, runner, stub):
        stub.answer("ProgramService/Run", program_pb2.RunResponse(outputs=outputs()))
        runner.run(
            lambda client: client.programs.using(adapter="two_step", temperature=0.0, max_tokens=9, cache=False).run(
                "triage"
            )
        )
        request = program_pb2.RunRequest.FromString(stub.last.request)
        assert (request.model, request.adapter) == ("", program_pb2.PROMPT_ADAPTER_TWO_STEP)
        assert (request.temperature, request.HasField("temperature"), request.max_tokens) == (0.0, True, 9)
        assert (request.HasField("cache"), request.cache) == (True, False)
        with pytest.raises(ValueError, match="expected an adapter of chat, json, xml, two_step, got 'yaml'"):
            runner.run(lambda client: client.programs.using(adapter="yaml").run("triage"))

    def test_created_programs(self, runner, stub):
        info = program_pb2.ProgramInfo(name="faq", version=2)
        source = bridge_client.ProgramSource(
            signature="q: Text -> a",
            module="best_of_n",
            demos=[{"q": "1+1?", "a": "2"}],
            adapter="json",
            temperature=0.0,
            types={"Text": {"type": "string"}},
            options={"n": 2, "reward": "rate", "inner": "react"},
        )
        stub.answer("ProgramService/CreateProgram", program_pb2.CreateProgramResponse(program=info))
        assert runner.run(lambda client: client.programs.create("faq", source)).version == 2
        sent = program_pb2.CreateProgramRequest.FromString(stub.last.request)
        assert (sent.program, sent.source) == ("faq", source.message())
        assert (sent.source.module, sent.source.options.inner) == (6, program_pb2.MODULE_KIND_REACT)
        assert (sent.source.HasField("temperature"), sent.source.HasField("max_tokens")) == (True, False)
        assert json.loads(sent.source.demos[0]) == {"q": "1+1?", "a": "2"}
        stub.answer("ProgramService/UpdateProgram", program_pb2.UpdateProgramResponse(program=info))
        runner.run(lambda client: client.programs.update("faq", source, expected_version=1))
        assert program_pb2.UpdateProgramRequest.FromString(stub.last.request).expected_version == 1
        stub.answer("ProgramService/ServeProgramVersion", program_pb2.ServeProgramVersionResponse(program=info))
        assert runner.run(lambda client: client.programs.serve_version("faq", 2)).name == "faq"
        listed = program_pb2.ListProgramVersionsResponse(
            versions=[program_pb2.ProgramVersion(version=number) for number in (1, 2)], serving=2
        )
        stub.answer("ProgramService/ListProgramVersions", listed)
        found = runner.run(lambda client: client.programs.versions("faq"))
        assert (found.versions, found.serving) == ((1, 2), 2)
        stub.answer("ProgramService/DeleteProgram", program_pb2.DeleteProgramResponse())
        assert runner.run(lambda client: client.programs.delete("faq")) is None
        stub.answer("ProgramService/CheckSignature", program_pb2.CheckSignatureResponse(error="no", column=3, length=1))
        checked = runner.run(lambda client: client.programs.check_signature("q->"))
        assert (checked.error, checked.column, checked.inputs_schema) == ("no", 3, {})
        with pytest.raises(ValueError, match="expected a kind of module"):
            bridge_client.ProgramSource(signature="q -> a", module="guess").message()

    def test_a_version_is_asked_for(self, runner, stub):
        stub.answer("ProgramService/Run", program_pb2.RunResponse(outputs=outputs()))
        runner.run(lambda client: client.programs.using(version=3).run("faq"))
        assert program_pb2.RunRequest.FromString(stub.last.request).version == 3

    def test_outputs_that_are_no_object(self, runner, stub):
        stub.answer("ProgramService/Run", program_pb2.RunResponse(outputs=common_pb2.Payload(json="1")))
        with pytest.raises(bridge_client.UnexpectedReply, match="an object with the program's outputs, got int"):
            runner.run(lambda client: client.programs.run("triage"))

    def test_stream(self, runner, stub):
        delta = program_pb2.FieldDelta(predictor="self", field="queue", text="bill", last=True)
        final = program_pb2.FinalOutputs(outputs=outputs(queue="bill"))
        events = [
            program_pb2.StreamRunResponse(sequence=1, field_delta=delta),
            program_pb2.StreamRunResponse(sequence=2, final=final),
        ]
        stub.answer("ProgramService/StreamRun", events)
        found = runner.collect(lambda client: client.programs.using("fast").stream("triage", ticket="t"))
        assert found == [
            bridge_client.FieldDelta(sequence=1, predictor="self", field="queue", text="bill", last=True),
            bridge_client.Final(sequence=2, outputs=bridge_client.Outputs({"queue": "bill"})),
        ]
        request = program_pb2.StreamRunRequest.FromString(stub.last.request)
        assert (request.program, request.model) == ("triage", "fast")

    def test_stream_with_every_event(self, runner, stub):
        step = program_pb2.RunStatus(
            step=program_pb2.RUN_STEP_MODEL_ENDED, model="m", seconds=0.5, error="e", omitted=2
        )
        used = program_pb2.RunUsage(usage=[common_pb2.ModelUsage(model="m", calls=1)])
        call = program_pb2.RunToolCall(id="1", tool="add", arguments="{}", truncated=True)
        result = program_pb2.RunToolResult(id="1", tool="add", result="3", seconds=0.25)
        thought = program_pb2.ReasoningDelta(predictor="self", text="hm")
        events = [{"status": step}, {"reasoning_delta": thought}, {"tool_call": call}, {"tool_result": result}]
        events += [{"usage": used}, {"final": program_pb2.FinalOutputs(outputs=outputs())}]
        replies = [program_pb2.StreamRunResponse(sequence=n, **event) for n, event in enumerate(events, 1)]
        stub.answer("ProgramService/StreamRun", replies)
        found = runner.collect(lambda client: client.programs.using(all_events=True).stream("triage"))
        assert program_pb2.StreamRunRequest.FromString(stub.last.request).all_events
        assert [event.sequence for event in found] == [1, 2, 3, 4, 5, 6]
        status, reasoning, tool_call, tool_result, usage, _ = found
        assert (status.step, status.model, status.seconds, status.error, status.omitted) == (
            "model_ended",
            "m",
            0.5,
            "e",
            2,
        )
        assert (reasoning.predictor, reasoning.text) == ("self", "hm")
        assert (tool_call.id, tool_call.tool, tool_call.arguments, tool_call.truncated) == ("1", "add", "{}", True)
        assert (tool_result.id, tool_result.result, tool_result.error, tool_result.seconds) == ("1", "3", "", 0.25)
        assert [(one.model, one.calls) for one in usage.usage] == [("m", 1)]

    def test_a_resumable_stream(self, runner, stub):
        started = program_pb2.RunStatus(step=program_pb2.RUN_STEP_STARTED)
        first = program_pb2.StreamRunResponse(sequence=1, status=started, resume_token="t")
        final = program_pb2.StreamRunResponse(sequence=2, final=program_pb2.FinalOutputs(outputs=outputs(a=1)))
        stub.answer("ProgramService/StreamRun", [first])
        (event,) = runner.collect(lambda client: client.programs.using(resumable=True).stream("triage"))
        assert program_pb2.StreamRunRequest.FromString(stub.last.request).resumable
        assert (event.step, event.resume_token) == ("started", "t")
        stub.answer("ProgramService/ResumeRun", [program_pb2.ResumeRunResponse(event=final)])
        (event,) = runner.collect(lambda client: client.programs.resume("t", after=1))
        assert event == bridge_client.Final(sequence=2, outputs=bridge_client.Outputs({"a": 1}))
        assert program_pb2.ResumeRunRequest.FromString(stub.last.request) == program_pb2.ResumeRunRequest(
            token="t", after_sequence=1
        )
        stub.answer("ProgramService/CancelRun", program_pb2.CancelRunResponse(cancelled=True))
        assert runner.run(lambda client: client.programs.cancel_run("t")) is True

    def test_list_over_pages_and_describe(self, runner, stub):
        def answer(request, context):
            token = program_pb2.ProgramServiceListRequest.FromString(request).page_token
            reply = program_pb2.ProgramServiceListResponse(
                programs=[program_pb2.ProgramInfo(name=f"p{token}")], next_page_token="" if token else "1"
            )
            return reply.SerializeToString()

        stub.answer("ProgramService/List", answer)
        assert [found.name for found in runner.run(lambda client: client.programs.list())] == ["p", "p1"]
        info = program_pb2.ProgramInfo(name="p", signature="q -> a", module="Predict", inputs_schema='{"x": 1}')
        stub.answer("ProgramService/Describe", program_pb2.ProgramServiceDescribeResponse(program=info))
        found = runner.run(lambda client: client.programs.describe("p"))
        assert (found.signature, found.module, found.inputs_schema) == ("q -> a", "Predict", {"x": 1})


class TestOutputs:
    fields = bridge_client.Outputs({"queue": "billing", "items": [1], "n": 3})

    def test_is_a_mapping(self):
        assert self.fields["items"] == [1]
        assert list(self.fields.items()) == [("queue", "billing"), ("items", [1]), ("n", 3)]
        assert (len(self.fields), "n" in self.fields, "x" in self.fields) == (3, True, False)
        assert repr(self.fields) == "Outputs(queue='billing', items=[1], n=3)"

    def test_an_unknown_name_names_the_known_ones(self):
        with pytest.raises(AttributeError, match=r"one of the outputs \['items', 'n', 'queue'\], got 'quene'"):
            _ = self.fields.quene

    def test_can_be_copied_and_pickled(self):
        assert copy.deepcopy(self.fields) == self.fields
        assert pickle.loads(pickle.dumps(self.fields)) == self.fields


GENERATED = model_pb2.GenerateResponse(
    text="hello",
    finish_reason=model_pb2.FINISH_REASON_TOOL_CALLS,
    model="m",
    usage=USAGE,
    tool_calls=[model_pb2.ToolCall(id="1", name="look", arguments='{"a": 1}')],
)


class TestModels:
    def test_a_prompt_and_all_options(self, runner, stub):
        stub.answer("ModelService/Generate", GENERATED)
        found = runner.run(
            lambda client: client.models.generate(
                "hi", model="fast", temperature=0.0, top_p=0.5, max_tokens=10, stop="END", seed=-1
            )
        )
        assert (found.text, found.finish_reason, found.model) == ("hello", "tool_calls", "m")
        assert (found.usage.input_tokens, found.usage.cost_usd) == (2, 0.5)
        assert found.tool_calls[0].parsed() == {"a": 1}
        assert found.message() == Message(role="assistant", content="hello", tool_calls=found.tool_calls)
        request = model_pb2.GenerateRequest.FromString(stub.last.request)
        assert request.model == "fast"
        assert [(turn.role, turn.content) for turn in request.messages] == [(model_pb2.ROLE_USER, "hi")]
        options = request.options
        assert (options.temperature, options.top_p, options.max_tokens, options.seed) == (0.0, 0.5, 10, -1)
        assert list(options.stop) == ["END"]
        assert options.HasField("temperature")

    def test_what_is_not_given_stays_unset(self, runner, stub):
        stub.answer("ModelService/Generate", GENERATED)
        runner.run(lambda client: client.models.generate("hi"))
        options = model_pb2.GenerateRequest.FromString(stub.last.request).options
        assert options.ListFields() == []

    def test_a_conversation_with_tools(self, runner, stub):
        stub.answer("ModelService/Generate", GENERATED)
        turns = [
            {"role": "system", "content": "be brief"},
            Message(role="user", content="hi"),
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
            {"role": "tool", "content": "42", "tool_call_id": "1"},
            Message(role="assistant", tool_calls=(ToolCall(id="2", name="g", arguments="{}"),)),
        ]
        schema = {"type": "object"}
        tools = [
            Tool(name="f", description="does", parameters=schema),
            {"type": "function", "function": {"name": "g", "parameters": schema}},
            {"name": "h"},
        ]
        runner.run(lambda client: client.models.generate(turns, tools=tools))
        request = model_pb2.GenerateRequest.FromString(stub.last.request)
        roles = [model_pb2.Role.Name(turn.role).removeprefix("ROLE_") for turn in request.messages]
        assert roles == ["SYSTEM", "USER", "ASSISTANT", "TOOL", "ASSISTANT"]
        assert (request.messages[2].tool_calls[0].id, request.messages[2].tool_calls[0].name) == ("1", "f")
        assert (request.messages[3].content, request.messages[3].tool_call_id) == ("42", "1")
        assert request.messages[4].tool_calls[0].arguments == "{}"
        assert [tool.name for tool in request.tools] == ["f", "g", "h"]
        assert json.loads(request.tools[1].parameters_schema) == schema

    @pytest.mark.parametrize(
        ("turns", "kind", "message"),
        [
            ([{"role": "robot"}], ValueError, r"expected a role of system, .* at messages\[0\], got 'robot'"),
            ([{"role": "user", "content": [1]}], TypeError, r"Image .* at messages\[0\].content\[0\], got int"),
            (["hi"], TypeError, r"expected a Message or a dictionary at messages\[0\], got str"),
        ],
    )
    def test_a_wrong_turn_is_named(self, runner, stub, turns, kind, message):
        with pytest.raises(kind, match=message):
            runner.run(lambda client: client.models.generate(turns))
        assert stub.calls == []

    def test_a_wrong_tool_is_named(self, runner, stub):
        with pytest.raises(TypeError, match=r"with a name at tools\[0\]"):
            runner.run(lambda client: client.models.generate("hi", tools=[{"description": "x"}]))

    def test_stream(self, runner, stub):
        events = [
            model_pb2.StreamGenerateResponse(text_delta="hel"),
            model_pb2.StreamGenerateResponse(text_delta="lo"),
            model_pb2.StreamGenerateResponse(final=GENERATED),
        ]
        stub.answer("ModelService/StreamGenerate", events)
        *deltas, last = runner.collect(lambda client: client.models.stream("hi", temperature=1.0))
        assert [delta.text for delta in deltas] == ["hel", "lo"]
        assert last.text == "hello"
        assert model_pb2.StreamGenerateRequest.FromString(stub.last.request).options.temperature == 1.0


class Invoice(pydantic.BaseModel):
    number: str
    total: float


@dataclasses.dataclass
class Line:
    text: str


@dataclasses.dataclass
class Order:
    lines: list[Line]
    note: str = ""


class Address(TypedDict):
    city: str


class TestExtract:
    def extract(self, runner, stub, schema, answer, **options):
        reply = model_pb2.ExtractResponse(json=answer, model="m", usage=USAGE, attempts=2)
        stub.answer("ModelService/Extract", reply)
        found = runner.run(lambda client: client.models.extract(schema, "text", **options))
        request = model_pb2.ExtractRequest.FromString(stub.last.request)
        return found, json.loads(request.schema), request

    def test_a_json_schema(self, runner, stub):
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        found, sent, request = self.extract(runner, stub, schema, '{"a": 1}', model="fast", max_retries=0, seed=4)
        assert (found.value, found.model, found.attempts, found.usage.calls) == ({"a": 1}, "m", 2, 1)
        assert sent == schema
        assert (request.model, request.max_retries, request.options.seed) == ("fast", 0, 4)
        assert request.HasField("max_retries")

    def test_a_pydantic_model(self, runner, stub):
        found, sent, request = self.extract(runner, stub, Invoice, '{"number": "7", "total": 1.5}')
        assert found.value == Invoice(number="7", total=1.5)
        assert sent == Invoice.model_json_schema()
        assert not request.HasField("max_retries")

    def test_a_dataclass(self, runner, stub):
        found, sent, _ = self.extract(runner, stub, Order, '{"lines": [{"text": "x"}]}')
        assert found.value == Order(lines=[Line("x")])
        assert sent["type"] == "object"
        assert sent["properties"]["lines"]["items"] == {"$ref": "#/$defs/Line"}
        assert sent["$defs"]["Line"]["required"] == ["text"]
        assert "$ref" not in sent

    def test_a_typed_dict(self, runner, stub):
        found, sent, _ = self.extract(runner, stub, Address, '{"city": "Bern"}')
        assert found.value == {"city": "Bern"}
        assert sent["required"] == ["city"]

    @pytest.mark.parametrize("schema", [Invoice, Order])
    def test_an_answer_that_does_not_fit_the_type(self, runner, stub, schema):
        with pytest.raises(bridge_client.UnexpectedReply, match="fits the schema but not its Python type"):
            self.extract(runner, stub, schema, '{"total": "x"}')

    def test_what_is_no_schema(self, runner, stub):
        with pytest.raises(TypeError, match="expected a JSON Schema, a pydantic model, a dataclass or a TypedDict"):
            runner.run(lambda client: client.models.extract(object, "text"))


class TestEmbeddings:
    def test_embed(self, runner, stub):
        reply = embedding_pb2.EmbedResponse(
            embeddings=[embedding_pb2.Embedding(values=[0.5, 1.0])], model="mini", dimensions=2
        )
        stub.answer("EmbeddingService/Embed", reply)
        found = runner.run(lambda client: client.embeddings.embed(["a", "b"], model="small", normalize=False))
        assert (found.vectors, found.model, found.dimensions) == (((0.5, 1.0),), "mini", 2)
        request = embedding_pb2.EmbedRequest.FromString(stub.last.request)
        assert (list(request.texts), request.model, request.normalize) == (["a", "b"], "small", False)
        runner.run(lambda client: client.embeddings.embed("one text"))
        request = embedding_pb2.EmbedRequest.FromString(stub.last.request)
        assert (list(request.texts), request.normalize) == (["one text"], True)

    def test_similarity(self, runner, stub):
        reply = embedding_pb2.SimilarityResponse(rows=[embedding_pb2.SimilarityRow(scores=[0.5, 0.25])], model="mini")
        stub.answer("EmbeddingService/Similarity", reply)
        found = runner.run(lambda client: client.embeddings.similarity(["a"], ["b"], pairwise=True, function="dot"))
        assert (found.rows, found.model) == (((0.5, 0.25),), "mini")
        request = embedding_pb2.SimilarityRequest.FromString(stub.last.request)
        assert (list(request.left), list(request.right), request.pairwise) == (["a"], ["b"], True)
        assert request.function == embedding_pb2.SIMILARITY_FUNCTION_DOT

    def test_an_unknown_function(self, runner, stub):
        with pytest.raises(ValueError, match=r"expected a function of cosine, .*, got 'cosinus'"):
            runner.run(lambda client: client.embeddings.similarity("a", "b", function="cosinus"))


class TestMetrics:
    def test_score(self, runner, stub):
        score = metric_pb2.MetricScore(value=0.5, details={"precision": 0.25})
        stub.answer(
            "MetricService/Score",
            metric_pb2.ScoreResponse(score=score, parameters='{"lowercase": true}', signature="s"),
        )
        found = runner.run(lambda client: client.metrics.score("bleu", "a", "b", lowercase=True))
        assert (found.value, found.details, found.parameters) == (0.5, {"precision": 0.25}, {"lowercase": True})
        assert found.signature == "s"
        request = metric_pb2.ScoreRequest.FromString(stub.last.request)
        assert (request.metric, request.example.prediction, list(request.example.references)) == ("bleu", "a", ["b"])
        assert json.loads(request.parameters) == {"lowercase": True}
        runner.run(lambda client: client.metrics.score("bleu", "a", ["b", "c"]))
        request = metric_pb2.ScoreRequest.FromString(stub.last.request)
        assert (list(request.example.references), request.parameters) == (["b", "c"], "")

    def test_score_batch(self, runner, stub):
        reply = metric_pb2.ScoreBatchResponse(
            scores=[metric_pb2.MetricScore(value=1.0), metric_pb2.MetricScore(value=0.0)],
            aggregate=metric_pb2.MetricScore(value=0.5),
            signature="s",
        )
        stub.answer("MetricService/ScoreBatch", reply)
        found = runner.run(lambda client: client.metrics.score_batch("f1", ["a", "b"], ["c", ["d", "e"]], x=1))
        assert ([one.value for one in found.scores], found.aggregate.value, found.signature) == ([1.0, 0.0], 0.5, "s")
        request = metric_pb2.ScoreBatchRequest.FromString(stub.last.request)
        assert [(one.prediction, list(one.references)) for one in request.examples] == [("a", ["c"]), ("b", ["d", "e"])]
        assert json.loads(request.parameters) == {"x": 1}

    @pytest.mark.parametrize(
        ("predictions", "references", "message"),
        [(["a", "b"], ["c"], "got 2 predictions and 1 references"), ("ab", ["c", "d"], "got text")],
    )
    def test_lists_must_fit(self, runner, stub, predictions, references, message):
        with pytest.raises(ValueError, match=message):
            runner.run(lambda client: client.metrics.score_batch("f1", predictions, references))

    def test_list(self, runner, stub):
        metric = metric_pb2.MetricInfo(
            name="bleu", parameters_schema="{}", placement=common_pb2.PLACEMENT_NATIVE, missing_extra="metrics"
        )
        stub.answer("MetricService/ListMetrics", metric_pb2.ListMetricsResponse(metrics=[metric]))
        (found,) = runner.run(lambda client: client.metrics.list())
        assert (found.name, found.placement, found.available, found.missing_extra) == (
            "bleu",
            "native",
            False,
            "metrics",
        )
