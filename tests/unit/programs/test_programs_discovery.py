"""What an app's programs look like in the catalogue."""

import json
from typing import Annotated, Any, Literal

import dspy
import pydantic
import pytest

from handlers.loading import LoadFailed


class Person(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0, description="in years")


class Typed(dspy.Module):
    """Says its types itself."""

    def __init__(self):
        super().__init__()
        self.find = dspy.Predict("text, limit: int -> names: list[str]")
        self.rank = dspy.Predict("names: list[str] -> best")

    def forward(self, text: str, limit: int = 3, hint: str | None = None) -> Person:
        return Person(name=self.rank(names=self.find(text=text, limit=limit).names).best, age=3)


class Untyped(dspy.Module):
    def __init__(self):
        super().__init__()
        self.find = dspy.Predict(dspy.Signature("text, limit: int -> names: list[str]", "Find the names."))

    def forward(self, text, limit):
        return dspy.Prediction(names=self.find(text=text, limit=limit).names, extra=1)


class Anything(dspy.Module):
    def __init__(self):
        super().__init__()
        self.a = dspy.Predict("x -> y")
        self.b = dspy.Predict("y -> z")

    def forward(self, **kwargs):
        return self.b(y=self.a(**kwargs).y)


class NeedsSomething(dspy.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def forward(self, x):
        return dspy.Prediction(y=self.what)


class _Private(Anything):
    pass


def schema(app, name, side="arguments"):
    return json.loads(getattr(app.handlers[name].spec, f"{side}_schema"))


def test_objects_and_classes_are_found_and_private_or_imported_classes_are_not(app):
    for cls in (Typed, Anything, NeedsSomething, _Private):
        cls.__module__ = "an_app"
    try:
        found = app(
            triage=dspy.Predict("a -> b"),
            _hidden=dspy.Predict("a -> b"),
            typed=Typed(),
            Typed=Typed,
            Anything=Anything,
            Untyped=Untyped,
            NeedsSomething=NeedsSomething,
            _Private=_Private,
            Predict=dspy.Predict,
            number=3,
        )
    finally:
        for cls in (Typed, Anything, NeedsSomething, _Private):
            cls.__module__ = __name__
    assert list(found.handlers) == ["triage", "typed", "Anything"]


def test_a_chain_of_thought(app):
    spec = (
        app(triage=dspy.ChainOfThought("ticket -> queue: Literal['billing','sales'], urgency: int"))
        .handlers["triage"]
        .spec
    )
    assert (spec.kind, spec.is_async, spec.streaming, spec.pool, spec.module) == (
        "program",
        True,
        False,
        None,
        "an_app.py",
    )
    assert spec.program.module == "ChainOfThought"
    expected = "ticket: str -> reasoning: str, queue: Literal['billing', 'sales'], urgency: int"
    assert spec.program.signature == expected
    assert "`ticket`" in spec.doc
    arguments, result = json.loads(spec.arguments_schema), json.loads(spec.result_schema)
    assert arguments["properties"]["ticket"]["type"] == "string"
    assert arguments["required"] == ["ticket"]
    assert result["properties"]["queue"]["enum"] == ["billing", "sales"]
    assert result["required"] == ["reasoning", "queue", "urgency"]
    assert json.loads(spec.example).keys() == {"ticket"}


def test_descriptions_defaults_constraints_and_models_reach_the_schema(app):
    class Extract(dspy.Signature):
        """Extract the people."""

        text: str = dspy.InputField(desc="what to read", min_length=3)
        limit: int = dspy.InputField(default=5)
        people: list[Person] = dspy.OutputField(desc="everyone in it")
        score: float = dspy.OutputField(ge=0, le=1)

    found = app(extract=dspy.Predict(Extract))
    arguments, result = schema(found, "extract"), schema(found, "extract", "result")
    assert arguments["properties"]["text"]["description"] == "what to read"
    assert arguments["properties"]["text"]["minLength"] == 3
    assert arguments["required"] == ["text"]
    assert result["properties"]["people"]["description"] == "everyone in it"
    assert result["properties"]["score"]["maximum"] == 1
    assert result["$defs"]["Person"]["properties"]["age"]["description"] == "in years"
    spec = found.handlers["extract"].spec
    assert spec.doc == "Extract the people."
    assert spec.program.signature == "text: str, limit: int -> people: list[Person], score: float"


def test_a_react_agent_gives_its_signature_and_not_its_trajectory(app):
    def look_up(city: str) -> str:
        """Look a city up."""
        return city

    spec = app(agent=dspy.ReAct("question -> answer", tools=[look_up])).handlers["agent"].spec
    assert spec.program.signature == "question: str -> answer: str"
    assert json.loads(spec.result_schema)["properties"].keys() == {"answer"}


def test_a_module_with_annotations(app):
    found = app(typed=Typed())
    arguments = schema(found, "typed")
    assert arguments["required"] == ["text"]
    assert arguments["properties"]["limit"]["default"] == 3
    assert schema(found, "typed", "result")["properties"].keys() == {"name", "age"}
    spec = found.handlers["typed"].spec
    assert spec.doc == "Says its types itself."
    assert spec.program.signature == "text: str, limit: int, hint: str | None -> name: str, age: int"


def test_a_module_that_returns_a_dict(app):
    class Counts(dspy.Module):
        def forward(self, text: str) -> dict[str, int]:
            return {text: 1}

    found = app(counts=Counts())
    assert found.handlers["counts"].spec.program.signature == "text: str -> ..."
    assert schema(found, "counts", "result")["additionalProperties"] == {"type": "integer"}


def test_a_module_without_annotations_takes_its_only_predictors_types(app):
    found = app(untyped=Untyped())
    assert schema(found, "untyped")["properties"]["limit"]["type"] == "integer"
    result = schema(found, "untyped", "result")
    assert result["properties"]["names"]["type"] == "array"
    assert "required" not in result
    assert found.handlers["untyped"].spec.doc == "Find the names."


def test_a_module_that_says_nothing_is_open(app):
    found = app(anything=Anything())
    assert schema(found, "anything")["type"] == "object"
    assert schema(found, "anything", "result")["type"] == "object"
    assert found.handlers["anything"].spec.program.signature == "... -> ..."


def test_a_wrapper_takes_the_interface_of_what_it_wraps(app):
    best = dspy.BestOfN(dspy.ChainOfThought("q -> a: int"), N=2, reward_fn=lambda args, pred: 1.0, threshold=0.5)
    assert app(best=best).handlers["best"].spec.program.signature == "q: str -> reasoning: str, a: int"


def test_a_subclass_of_a_built_in_module_with_its_own_forward_has_the_say(app):
    class Shout(dspy.ChainOfThought):
        def __init__(self):
            super().__init__("question -> answer")

        def forward(self, question: str) -> str:
            return super().forward(question=question).answer.upper()

    assert app(shout=Shout()).handlers["shout"].spec.program.signature == "question: str -> result: str"


@pytest.mark.parametrize("name", ["config", "lm", "demos"])
def test_an_input_that_would_be_an_order_to_dspy_is_refused(app, name):
    with pytest.raises(LoadFailed, match=f"'bad' of an_app.py .*'{name}'"):
        app(bad=dspy.Predict(dspy.Signature({name: (str, dspy.InputField()), "b": (str, dspy.OutputField())})))


def test_annotated_parameters_keep_their_metadata(app):
    class Careful(dspy.Module):
        def forward(self, age: Annotated[int, pydantic.Field(ge=0)], kind: Literal["a", "b"], rest: Any = None):
            return dspy.Prediction(x=1)

    arguments = schema(app(careful=Careful()), "careful")
    assert arguments["properties"]["age"]["minimum"] == 0
    assert arguments["properties"]["kind"]["enum"] == ["a", "b"]


def test_only_what_all_lists_is_public(app):
    found = app(__all__=["one"], one=dspy.Predict("a -> b"), two=dspy.Predict("a -> b"))
    assert list(found.handlers) == ["one"]


def test_a_type_that_can_not_travel_is_a_load_failure_that_names_the_program(app):
    with pytest.raises(LoadFailed, match=r"'tooled' of an_app\.py .*tools"):
        app(
            tooled=dspy.Predict(
                dspy.Signature({"tools": (list[dspy.Tool], dspy.InputField()), "a": (str, dspy.OutputField())})
            )
        )
