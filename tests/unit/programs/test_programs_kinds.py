"""Programs built from stored definitions: every kind, with the test model, through the handler that serves them."""

import json

import dspy
import jsonschema
import numpy as np
import pytest

from handlers.errors import BadInput, HandlerError
from handlers.programs.definitions import Options, ProgramDefinition, fingerprint, from_json, problems, to_json
from handlers.programs.kinds import build, signature_of
from handlers.signatures import json_schema, named_types
from handlers.signatures.field_list import of_fields
from handlers.signatures.parser import parse

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
}


class Surroundings:
    """Tools, rewards and vectors without a server."""

    def __init__(self):
        self.rated = []
        self.embedded = []
        self.called = []

    def tool(self, name):
        def lookup(key: str) -> str:
            self.called.append(key)
            return f"{name} of {key}"

        return dspy.Tool(func=lookup, name=name, desc="Looks a key up.", args={"key": {"type": "string"}})

    def rate(self, name, inputs, outputs):
        self.rated.append((name, inputs, outputs))
        return 0.1 * len(self.rated)

    async def embed(self, model, texts):
        self.embedded.append((model, texts))
        return np.array([[text.count("cat"), text.count("dog"), 1e-6] for text in texts], dtype=np.float32)

    def interpreter(self):
        raise HandlerError("No sandbox here.", code="FAILED_PRECONDITION", reason="SANDBOX_UNAVAILABLE")


@pytest.fixture
def surroundings():
    return Surroundings()


def define(signature="question -> answer", types=None, **rest) -> ProgramDefinition:
    definition = ProgramDefinition(
        name=rest.pop("name", "made"),
        version=1,
        signature=parse(signature, named_types.read(types or {}), rest.pop("instructions", "")),
        **rest,
    )
    assert problems(definition) == []
    assert from_json(to_json(definition)) == definition
    return definition


@pytest.mark.parametrize("kind", ["predict", "chain_of_thought", "multi_chain_comparison"])
async def test_simple_kinds_answer_with_typed_outputs(app, surroundings, kind):
    definition = define("question: str, n: int | None -> answer: str, score: float, tags: list[str]", kind=kind)
    reply = await app(made=build(definition, surroundings)).run("made", question="why?")
    assert isinstance(reply.outputs["answer"], str)
    assert isinstance(reply.outputs["score"], float)
    assert all(isinstance(tag, str) for tag in reply.outputs["tags"])
    assert sum(use.calls for use in reply.context.usage) == (4 if kind == "multi_chain_comparison" else 1)


async def test_a_type_by_json_schema_is_checked_both_ways(app, surroundings):
    definition = define("who: Person -> others: list[Person]", {"Person": PERSON})
    served = app(made=build(definition, surroundings))
    reply = await served.run("made", who={"name": "A", "age": 3})
    schema = json_schema.of_type(definition.signature.outputs[0].type)
    jsonschema.validate(reply.outputs["others"], schema)
    with pytest.raises(BadInput) as caught:
        await served.run("made", who={"name": "A", "age": "three"})
    assert "age: 'three' is not of type 'integer'" in str(caught.value)


async def test_the_front_and_the_worker_agree_on_the_inputs(app, surroundings):
    """The schema that the engine writes and what the worker accepts are one and the same."""
    signature = (
        "a: int, b: list[float], c: Literal['x', 1] | None, d: dict[str, bool], e: tuple[int, str], p: Person -> z"
    )
    definition = define(signature, {"Person": PERSON})
    served = app(made=build(definition, surroundings))
    schema = json_schema.of_fields(definition.signature.inputs)
    good = {"a": 1, "b": [1.5], "c": "x", "d": {"k": True}, "e": [1, "s"], "p": {"name": "N"}}
    others = {
        "a": ["1", 1.5, True, None],
        "b": [[None], "x", ["1"]],
        "c": ["y", 2],
        "d": [{"k": 1}, []],
        "e": [[1], ["s", 1], [1, "s", 2]],
        "p": [{}, {"name": 1}, None],
    }
    assert jsonschema.Draft202012Validator(schema).is_valid(good)
    await served.run("made", **good)
    for name, values in others.items():
        for value in values:
            bad = {**good, name: value}
            assert not jsonschema.Draft202012Validator(schema).is_valid(bad), bad
            with pytest.raises(BadInput):
                await served.run("made", **bad)
    without = {name: value for name, value in good.items() if name != "c"}
    assert jsonschema.Draft202012Validator(schema).is_valid(without)
    await served.run("made", **without)


async def test_react_calls_its_tools(app, surroundings):
    definition = define("question -> answer", kind="react", tools=("price",), options=Options(max_iters=3))
    reply = await app(made=build(definition, surroundings)).run("made", question="What does tea cost?")
    assert isinstance(reply.outputs["answer"], str)
    assert surroundings.called


@pytest.mark.parametrize("kind", ["best_of_n", "refine"])
async def test_attempts_are_rated_and_each_call_starts_afresh(app, surroundings, kind):
    definition = define(kind=kind, options=Options(n=3, reward="rate", threshold=1.0))
    served = app(made=build(definition, surroundings))
    for _ in range(2):
        surroundings.rated.clear()
        reply = await served.run("made", question="why?")
        assert isinstance(reply.outputs["answer"], str)
        assert [(name, inputs) for name, inputs, _ in surroundings.rated] == [("rate", {"question": "why?"})] * 3
        assert all(outputs["answer"] for _, _, outputs in surroundings.rated)


async def test_attempts_end_where_one_is_good_enough(app, surroundings):
    definition = define(kind="best_of_n", options=Options(n=5, reward="rate", threshold=0.2))
    await app(made=build(definition, surroundings)).run("made", question="why?")
    assert len(surroundings.rated) == 2


async def test_parallel_runs_every_item_and_keeps_the_order(app, surroundings):
    definition = define("n: int -> answer", kind="parallel", options=Options(num_threads=2))
    items = [{"n": index} for index in range(5)]
    reply = await app(made=build(definition, surroundings)).run("made", items=items)
    assert len(reply.outputs["results"]) == 5
    assert all(isinstance(result["answer"], str) for result in reply.outputs["results"])
    assert reply.outputs["errors"] == []


async def test_few_shot_takes_the_nearest_demonstrations(app, surroundings, monkeypatch):
    demos = ({"q": "cat cat", "a": "miaow"}, {"q": "dog", "a": "wuff"}, {"q": "cat dog", "a": "both"})
    program = build(define("q -> a", kind="knn_few_shot", demos=demos, options=Options(k=2)), surroundings)
    taken = []
    original = program.predict.acall

    async def acall(**given):
        taken.append([demo["a"] for demo in given["demos"]])
        return await original(**given)

    monkeypatch.setattr(program.predict, "acall", acall)
    served = app(made=program)
    await served.run("made", q="the dog")
    await served.run("made", q="a cat")
    assert taken == [["both", "wuff"], ["both", "miaow"]]
    assert [len(texts) for _, texts in surroundings.embedded] == [3, 1, 1]


@pytest.mark.parametrize("kind", ["program_of_thought", "code_act", "rlm"])
def test_code_of_a_model_runs_only_in_a_sandbox(surroundings, kind):
    with pytest.raises(HandlerError, match="No sandbox"):
        build(define(kind=kind), surroundings)


def test_demonstrations_and_settings_reach_the_predictors(surroundings):
    demos = ({"question": "1+1?", "answer": "2"},)
    program = build(define(kind="chain_of_thought", demos=demos, temperature=0.3, max_tokens=50), surroundings)
    (predictor,) = program.predictors()
    assert [dict(demo.items()) for demo in predictor.demos] == list(demos)
    assert predictor.config == {"temperature": 0.3, "max_tokens": 50}


def test_the_signature_carries_words_limits_and_defaults():
    spec = of_fields(
        [{"name": "n", "type": "int", "ge": 1, "default": 3, "description": "How many."}],
        [{"name": "text", "max_length": 10}],
        instructions="Write.",
    )
    made = signature_of(spec, "my program/v2")
    assert made.__name__ == "MyProgramV2"
    assert made.instructions == "Write."
    assert made.input_fields["n"].default == 3
    assert "How many." in str(made.input_fields["n"].json_schema_extra)
    assert [type(one).__name__ for one in made.input_fields["n"].metadata] == ["Ge"]


@pytest.mark.parametrize(
    ("rest", "path", "words"),
    [
        ({"kind": "best_of_n"}, "options.reward", "function that rates"),
        ({"options": Options(k=3)}, "options.k", "does not apply to predict"),
        ({"kind": "react", "options": Options(max_iters=0)}, "options.max_iters", "from 1 to 100"),
        ({"tools": ("price",)}, "tools", "predict calls no tools"),
        ({"kind": "react", "tools": ("price", "price")}, "tools", "each once"),
        ({"kind": "knn_few_shot"}, "demos", "there are none"),
        ({"demos": ({"question": "x", "reply": "y"},)}, "demos[0].reply", "is no field"),
        ({"demos": ({"question": "x"},)}, "demos[0]", "shows no output"),
        ({"temperature": 3.0}, "temperature", "from 0 to 2"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ],
)
def test_a_definition_that_can_not_work_is_refused(rest, path, words):
    definition = ProgramDefinition(name="made", version=1, signature=parse("question -> answer"), **rest)
    assert [(place, words in what) for place, what in problems(definition)] == [(path, True)]


def test_unknown_options_are_refused_and_the_fingerprint_ignores_the_version():
    definition = define(kind="react", tools=("price",), options=Options(max_iters=3))
    data = json.loads(to_json(definition))
    data["options"]["max_itres"] = 4
    with pytest.raises(ValueError, match="max_itres"):
        from_json(json.dumps(data))
    later = ProgramDefinition(
        **{**{key: getattr(definition, key) for key in definition.__struct_fields__}, "version": 2}
    )
    assert fingerprint(later) == fingerprint(definition)
    assert fingerprint(define()) != fingerprint(definition)
