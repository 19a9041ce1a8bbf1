"""What one call changes of a program reaches the model of that call and of no other, however many run at once."""

import asyncio
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import dspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.v1 import program_pb2 as pb
from handlers.errors import BadInput, HandlerError
from handlers.programs.handler import ProgramHandler

CHAT, JSON, XML, TWO_STEP = (
    pb.PROMPT_ADAPTER_CHAT,
    pb.PROMPT_ADAPTER_JSON,
    pb.PROMPT_ADAPTER_XML,
    pb.PROMPT_ADAPTER_TWO_STEP,
)


class Sync(dspy.Module):
    """Asks twice, without a word of async; the second predictor has a mind of its own."""

    def __init__(self):
        super().__init__()
        self.first = dspy.Predict("question -> thought")
        self.second = dspy.Predict("question, thought -> answer", temperature=0.9, max_tokens=800)

    def forward(self, question: str):
        return self.second(question=question, thought=self.first(question=question).thought)


class Spread(dspy.Module):
    """Asks in threads of its own."""

    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("question -> answer")

    def forward(self, question: str):
        with ThreadPoolExecutor(2) as threads:
            found = [threads.submit(copy_context().run, self.ask, question=question) for _ in range(2)]
            return dspy.Prediction(answer=next(one.result().answer for one in found))


PROGRAMS = {"cot": lambda: dspy.ChainOfThought("question -> answer"), "sync": Sync, "spread": Spread}


def adapter_of(body):
    """Tells by its prompt which adapter has written a request."""
    system = body["messages"][0]["content"]
    if "Specific instructions" in system or "You are a helpful assistant that can solve tasks" in system:
        return TWO_STEP
    if "[[ ## completed ## ]]" in system:
        return CHAT
    return XML if "<answer>" in system or "<thought>" in system else JSON


def question_of(body):
    found = [word for message in body["messages"] for word in str(message["content"]).split() if word.startswith("q#")]
    return found[-1].strip("\"',}]<>/").split("<")[0]


wishes = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["", "one", "two"]),
        "adapter": st.sampled_from([0, CHAT, JSON, XML]),
        "temperature": st.sampled_from([None, 0.0, 0.25, 1.5]),
        "max_tokens": st.sampled_from([None, 300, 700]),
    }
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(sorted(PROGRAMS)), wishes), min_size=2, max_size=12))
def test_calls_with_different_wishes_never_mix(app, at_provider, provider, calls):
    models = {name: at_provider(name, api_key=f"key-{name}", temperature=0.6) for name in ("default", "one", "two")}
    served = app(models=models, **{name: make() for name, make in PROGRAMS.items()})
    before = len(provider.requests)

    async def run_all():
        runs = []
        for number, (program, wish) in enumerate(calls):
            given_wishes = {key: value for key, value in wish.items() if key != "model" and value not in (None, 0)}
            if wish["temperature"] is not None:
                given_wishes["temperature"] = wish["temperature"]
            runs.append(served.run(program, model=wish["model"], wishes=given_wishes, question=f"q#{number}"))
        return await asyncio.gather(*runs)

    asyncio.run(run_all())
    asked = Counter()
    for request in provider.requests[before:]:
        program, wish = calls[int(question_of(request.body)[2:])]
        asked[question_of(request.body)] += 1
        assert request.model == (wish["model"] or "default")
        assert request.headers["authorization"] == f"Bearer key-{request.model}"
        assert adapter_of(request.body) == (wish["adapter"] or CHAT)
        usual = {0.6, 0.9} if program == "sync" else {0.6}
        expected = usual if wish["temperature"] is None else {wish["temperature"]}
        assert request.body["temperature"] in expected
        if wish["max_tokens"] is not None:
            assert request.body["max_completion_tokens"] == wish["max_tokens"]
    assert all(asked[f"q#{number}"] == (1 if program == "cot" else 2) for number, (program, _) in enumerate(calls))


async def test_two_steps_ask_twice_on_the_model_of_the_call(app, at_provider, provider):
    served = app(models={"default": at_provider("default"), "other": at_provider("other")}, ask=PROGRAMS["cot"]())
    reply = await served.run("ask", model="other", wishes={"adapter": TWO_STEP, "temperature": 0.3}, question="Why?")
    assert reply.outputs.keys() == {"reasoning", "answer"}
    assert [(one.model, one.body["temperature"]) for one in provider.requests] == [("other", 0.3)] * 2
    assert adapter_of(provider.requests[0].body) == TWO_STEP


async def test_models_that_the_app_made_follow_the_call_too(app, provider):
    own = Sync()
    own.first.lm = dspy.LM("openai/mine", api_base=provider.base_url, api_key="k", temperature=0.1, num_retries=0)
    own.second.lm = dspy.LM("openai/mine", api_base=provider.base_url, api_key="k", temperature=0.1, num_retries=0)
    served = app(models={}, ask=own)
    await served.run("ask", wishes={"temperature": 1.25, "max_tokens": 77}, question="q")
    await served.run("ask", question="q")
    sent = [(one.body["temperature"], one.body.get("max_completion_tokens")) for one in provider.requests]
    assert sent == [(1.25, 77), (1.25, 77), (0.1, None), (0.9, 800)], "the second call has what the program says"


async def test_a_program_that_can_not_be_copied_says_so(app, provider):
    class Held(Sync):
        def __init__(self):
            super().__init__()
            self.all = [self.first, threading.Lock()]
            del self.first

        def named_parameters(self):
            return [("first", self.all[0]), ("second", self.second)]

        def forward(self, question: str):
            return self.second(question=question, thought=self.all[0](question=question).thought)

    held = Held()
    held.all[0].lm = dspy.LM("openai/mine", api_base=provider.base_url, api_key="k", num_retries=0)
    with pytest.raises(HandlerError, match="can not be copied") as failure:
        await app(ask=held).run("ask", wishes={"temperature": 1.25}, question="q")
    assert (failure.value.code, failure.value.reason) == ("FAILED_PRECONDITION", "OVERRIDE_UNSUPPORTED")
    assert held.all[0].lm.kwargs.get("temperature") is None


async def test_a_wish_wins_over_the_programs_own_settings(app, at_provider, provider):
    served = app(models={"default": at_provider()}, ask=dspy.Predict("question -> answer"))
    handler = served.handlers["ask"]
    created = ProgramHandler(
        handler.spec, handler._program, handler._interface, handler._models, {"adapter": dspy.XMLAdapter()}
    )
    served.handlers["ask"] = created
    await served.run("ask", question="q")
    await served.run("ask", wishes={"adapter": JSON}, question="q")
    assert [adapter_of(one.body) for one in provider.requests] == [XML, JSON]


@pytest.mark.parametrize(
    ("wishes", "path"),
    [
        ({"adapter": 77}, "adapter"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -5}, "max_tokens"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused_before_anything_is_asked(app, at_provider, provider, wishes, path):
    with pytest.raises(BadInput) as failure:
        await app(models={"default": at_provider()}, ask=Sync()).run("ask", wishes=wishes, question="q")
    assert [one for one, _ in failure.value.violations] == [path]
    assert provider.requests == ()


async def test_several_mistakes_are_told_together(app):
    with pytest.raises(BadInput) as failure:
        await app(ask=Sync()).run("ask", wishes={"temperature": 9, "max_tokens": 0}, question="q")
    assert json.dumps([one for one, _ in failure.value.violations]) == '["temperature", "max_tokens"]'


async def test_an_unknown_model_names_those_that_exist(app):
    with pytest.raises(HandlerError, match="Did you mean 'default'") as failure:
        await app(ask=Sync()).run("ask", model="defualt", wishes={"temperature": 0.5}, question="q")
    assert (failure.value.code, failure.value.reason) == ("NOT_FOUND", "UNKNOWN_MODEL")
