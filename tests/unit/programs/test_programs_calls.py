"""Calls of programs on the test model: typed values in and out, choice of model, receipts, streams."""

import asyncio
from typing import Literal

import dspy
import pydantic
import pytest

from bridge.v1 import common_pb2, program_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta, ModelOptions
from handlers.errors import BadInput, HandlerError, ResultInvalid, Unknown

ADAPTERS = [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter]


class Person(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)
    tags: list[str] = []


class Everything(dspy.Signature):
    """Answer with one value of each kind."""

    text: str = dspy.InputField()
    kind: Literal["a", "b c"] = dspy.OutputField()
    number: int = dspy.OutputField()
    share: float = dspy.OutputField()
    sure: bool = dspy.OutputField()
    words: list[str] = dspy.OutputField()
    person: Person = dspy.OutputField()
    people: list[Person] = dspy.OutputField()
    counts: dict[str, int] = dspy.OutputField()
    maybe: str | None = dspy.OutputField()


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
async def test_outputs_have_the_types_of_the_signature(app, adapter):
    served = app(everything=dspy.Predict(Everything))
    with dspy.context(adapter=adapter()):
        outputs = (await served.run("everything", text="Ada, 36")).outputs
    assert outputs["kind"] in {"a", "b c"}
    assert isinstance(outputs["number"], int)
    assert isinstance(outputs["share"], float)
    assert isinstance(outputs["sure"], bool)
    assert all(isinstance(word, str) for word in outputs["words"])
    assert Person.model_validate(outputs["person"])
    assert [Person.model_validate(one) for one in outputs["people"]]
    assert all(isinstance(one, int) for one in outputs["counts"].values())


async def test_invoke_and_run_give_the_same(app):
    served = app(triage=dspy.ChainOfThought("ticket -> urgency: int"))
    run, call = await served.run("triage", ticket="x"), await served.call("triage", ticket="x")
    assert run.outputs == call.outputs
    assert run.outputs.keys() == {"reasoning", "urgency"}


async def test_inputs_arrive_as_their_types(app):
    class Look(dspy.Module):
        def forward(self, person: Person, limit: int = 3) -> str:
            assert isinstance(person, Person)
            return f"{person.name} {limit}"

    served = app(look=Look())
    assert (await served.run("look", person={"name": "Ada", "age": 36})).outputs == {"result": "Ada 3"}


async def test_bad_inputs_are_named_one_by_one(app):
    served = app(look=dspy.Predict(dspy.Signature("a: int, b: list[str], c -> d")))
    with pytest.raises(BadInput) as failure:
        await served.run("look", a="many", b=["x", 3], nonsense=1)
    assert {path for path, _ in failure.value.violations} >= {"a", "b[1]", "c"}


async def test_raw_bytes_are_refused(app):
    served = app(triage=dspy.Predict("a -> b"))
    request = program_pb2.RunRequest(program="triage", inputs=common_pb2.Payload(raw=b"x"))
    with pytest.raises(BadInput, match="JSON"):
        await served.handlers["triage"].call("ProgramService/Run", request.SerializeToString(), context())


async def test_bytes_that_are_no_message_are_bad_input(app):
    served = app(triage=dspy.Predict("a -> b"))
    with pytest.raises(BadInput):
        await served.handlers["triage"].call("ProgramService/Run", b"\xff\xff\xff", context())


@pytest.mark.parametrize("cls", [Draft, AsyncDraft])
async def test_a_receipt_sums_nested_predictors(app, cls):
    reply = await app(draft=cls()).run("draft", ticket="I paid twice")
    (usage,) = reply.context.usage
    assert (usage.model, usage.calls) == ("bridge/test", 2)
    assert usage.input_tokens > usage.output_tokens > 0
    assert reply.context.model_s > 0


async def test_a_react_agent_uses_its_tools(app):
    asked = []

    def weather(city: str) -> str:
        """Tell the weather."""
        asked.append(city)
        return "sunny"

    reply = await app(agent=dspy.ReAct("question -> answer, degrees: int", tools=[weather])).run("agent", question="?")
    assert reply.outputs.keys() == {"answer", "degrees"}
    assert len(asked) == 1
    assert reply.context.usage[0].calls == 3


async def test_a_module_may_return_more_than_was_guessed(app):
    class More(dspy.Module):
        def __init__(self):
            super().__init__()
            self.ask = dspy.Predict("question -> answer")

        def forward(self, question):
            return dspy.Prediction(shout=self.ask(question=question).answer.upper())

    assert "shout" in (await app(more=More()).run("more", question="?")).outputs


async def test_a_return_value_that_breaks_its_annotation_is_the_programs_fault(app):
    class Liar(dspy.Module):
        def forward(self, question: str) -> int:
            return "many"

    with pytest.raises(ResultInvalid):
        await app(liar=Liar()).run("liar", question="?")


async def test_a_users_exception_passes(app):
    class Broken(dspy.Module):
        def forward(self, question: str):
            raise KeyError(question)

    with pytest.raises(KeyError, match="where"):
        await app(broken=Broken()).run("broken", question="where")


async def test_orders_to_dspy_never_reach_an_open_program(app):
    class Open(dspy.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = dspy.Predict("x -> y"), dspy.Predict("y -> z")

        def forward(self, **inputs):
            assert inputs == {"x": "1"}
            return self.two(y=self.one(**inputs).y)

    reply = await app(open=Open()).run("open", x="1", config={"api_base": "http://elsewhere"}, lm="x", _trace=False)
    assert "z" in reply.outputs


async def test_without_a_model_the_error_says_what_to_write(app):
    served = app(models={}, triage=dspy.Predict("a -> b"), draft=Draft())
    for program, inputs in (("triage", {"a": "x"}), ("draft", {"ticket": "x"})):
        with pytest.raises(HandlerError, match=r"\[models.default\]") as failure:
            await served.run(program, **inputs)
        assert (failure.value.code, failure.value.reason) == ("FAILED_PRECONDITION", "MODEL_NOT_CONFIGURED")
        assert 'api_key = "env:OPENAI_API_KEY"' in str(failure.value)


async def test_a_hidden_predictor_without_a_model_gets_the_same_error(app):
    class Hidden(dspy.Module):
        def forward(self, a: str):
            return dspy.Predict("a -> b")(a=a)

    with pytest.raises(HandlerError) as failure:
        await app(models={}, hidden=Hidden()).run("hidden", a="x")
    assert failure.value.reason == "MODEL_NOT_CONFIGURED"


async def test_an_unknown_model_is_named_with_those_that_exist(app):
    served = app(triage=dspy.Predict("a -> b"))
    with pytest.raises(Unknown, match="default") as failure:
        await served.run("triage", model="defualt", a="x")
    assert failure.value.reason == "UNKNOWN_MODEL"
    assert "Did you mean" in str(failure.value)


class Fixed:
    """An engine that answers every field with its own name."""

    def __init__(self, name):
        self.name = name

    def complete(self, request):
        return dspy.lm15.Response(
            id="1",
            model=self.name,
            message=dspy.lm15.Message.assistant(f"[[ ## b ## ]]\n{self.name}\n\n[[ ## completed ## ]]"),
            finish_reason="stop",
            usage=dspy.lm15.Usage(input_tokens=1, output_tokens=1),
        )


class AsyncFixed(Fixed):
    async def complete(self, request):
        return super().complete(request)


def fixed(name):
    return dspy.LM(name, engine=Fixed(name), async_engine=AsyncFixed(name))


async def test_the_order_of_choice_of_models(app):
    own = dspy.Predict("a -> b")
    own.set_lm(fixed("own/model"))
    served = app(own=own, plain=dspy.Predict("a -> b"))
    assert (await served.run("own", a="x")).outputs == {"b": "own/model"}
    assert "bridge/test" in (await served.run("own", model="default", a="x")).outputs["b"]
    assert (await served.run("own", a="x")).outputs == {"b": "own/model"}, "the program itself keeps its model"
    assert "bridge/test" in (await served.run("plain", a="x")).outputs["b"]
    with dspy.context(lm=fixed("apps/model")):
        assert (await served.run("plain", a="x")).outputs == {"b": "apps/model"}
        assert "bridge/test" in (await served.run("plain", model="default", a="x")).outputs["b"]


async def test_a_program_with_its_own_model_needs_no_configuration(app):
    own = dspy.Predict("a -> b")
    own.set_lm(fixed("own/model"))
    reply = await app(models={}, own=own).run("own", a="x")
    assert reply.outputs == {"b": "own/model"}
    assert reply.context.usage[0].model == "own/model"


@pytest.mark.parametrize("own", [None, fixed("own/model")])
async def test_nothing_is_kept_of_a_call(app, own):
    program = dspy.Predict("a -> b")
    program.set_lm(own)
    served = app(program=program)
    before = len(dspy.clients.base_lm.GLOBAL_HISTORY), list(dspy.settings.trace)
    await served.run("program", a="secret")
    assert (len(dspy.clients.base_lm.GLOBAL_HISTORY), dspy.settings.trace) == before
    assert (program.history, getattr(own, "history", [])) == ([], [])


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_test_model_calls_tools_natively(app, streamed):
    def look_up(city: str) -> str:
        """Look a city up."""
        return city

    class Native(dspy.Module):
        def __init__(self):
            super().__init__()
            fields = {
                "question": (str, dspy.InputField()),
                "tools": (list[dspy.Tool], dspy.InputField()),
                "calls": (dspy.ToolCalls, dspy.OutputField()),
            }
            self.ask = dspy.Predict(dspy.Signature(fields))

        def forward(self, question: str) -> dict[str, list[str]]:
            with dspy.context(adapter=dspy.ChatAdapter(use_native_function_calling=True)):
                calls = self.ask(question=question, tools=[dspy.Tool(look_up)]).calls
            return {call.name: list(call.args) for call in calls.tool_calls}

    served = app(native=Native())
    reply = await (served.stream if streamed else served.run)("native", question="x")
    assert reply.outputs == {"look_up": ["city"]}


async def test_calls_do_not_share_a_context(app):
    """Forty at once on two models: each receipt names its own model only."""
    served = app(
        models={"one": ModelOptions(model="bridge/test"), "default": ModelOptions(model="bridge/test", max_tokens=500)},
        draft=Draft(),
    )
    replies = await asyncio.gather(
        *(served.run("draft", model=model, ticket=f"{model} {n}") for model in ("one", "default") for n in range(20))
    )
    for reply in replies:
        assert reply.context.usage[0].calls == 2
    assert len({reply.outputs["reply"] for reply in replies}) > 10


def context() -> CallContext:
    return CallContext(CallMeta(method="x"))
