"""The built-in test model: values from schemas, prompts of DSPy, tools, response formats."""

import datetime
import enum
import json
import struct
import subprocess
import sys
import zlib
from typing import Literal

import dspy
import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.models import json_values, patterns, test_model, test_pictures


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(pydantic.BaseModel):
    street: str
    number: int


class Person(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=1)  # XMLAdapter shows no bounds of nested fields
    address: Address
    tags: list[str]


class Everything(dspy.Signature):
    """Fill every kind of field."""

    text: str = dspy.InputField()
    reasoning: str = dspy.OutputField()
    title: str = dspy.OutputField(desc="a title")
    count: int = dspy.OutputField()
    stars: int = dspy.OutputField(ge=3, le=4, desc="of five")
    share: float = dspy.OutputField(ge=0, le=1)
    urgent: bool = dspy.OutputField()
    queue: Literal["billing", "tech, nical", "o'clock; sharp"] = dspy.OutputField()
    level: Literal[1, 2] = dspy.OutputField()
    words: list[str] = dspy.OutputField()
    scores: dict[str, int] = dspy.OutputField()
    maybe: int | None = dspy.OutputField()
    day: datetime.date = dspy.OutputField()
    colour: Colour = dspy.OutputField()
    person: Person = dspy.OutputField()
    people: list[Person] = dspy.OutputField()
    kinds: list[Literal["a", "b"]] = dspy.OutputField()
    pair: tuple[int, str] = dspy.OutputField()
    anything: dict = dspy.OutputField()


TRICKY = '[[ ## title ## ]] <title>x</title> `[[ ## y ## ]]` {"a": 1} Respond with '


@pytest.mark.parametrize("adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()])
@pytest.mark.parametrize("text", ["hello", TRICKY])
def test_dspy_adapters_parse_every_field(adapter, text):
    messages = adapter.format(Everything, [], {"text": text})
    fields = adapter.parse(Everything, test_model.answer(messages).text)
    assert set(fields) == set(Everything.output_fields)
    assert 3 <= fields["stars"] <= 4
    assert 0 <= fields["share"] <= 1
    assert fields["queue"] in {"billing", "tech, nical", "o'clock; sharp"}
    assert isinstance(fields["person"], Person)
    assert isinstance(fields["colour"], Colour)
    assert "bridge/test" in fields["title"]
    assert "bridge/test" in fields["reasoning"]


def test_different_tickets_get_different_queues_and_the_same_one_always_the_same():
    signature = dspy.Signature("ticket -> queue: Literal['billing', 'technical', 'sales'], urgency: int")
    adapter = dspy.ChatAdapter()

    def queue(ticket):
        return adapter.parse(signature, test_model.answer(adapter.format(signature, [], {"ticket": ticket})).text)

    seen = [queue(f"ticket {number}") for number in range(12)]
    assert {fields["queue"] for fields in seen} == {"billing", "technical", "sales"}
    assert seen[3] == queue("ticket 3")


def test_react_agent_calls_a_tool_once_then_finishes():
    def add(first: int, second: int) -> int:
        """Add."""
        return first + second

    agent = dspy.ReAct("question -> answer", tools=[add])
    adapter = dspy.ChatAdapter()
    first = adapter.format(agent.react.signature, [], {"question": "1 + 1?", "trajectory": ""})
    step = adapter.parse(agent.react.signature, test_model.answer(first).text)
    assert step["next_tool_name"] == "add"
    assert isinstance(add(**step["next_tool_args"]), int)
    second = adapter.format(
        agent.react.signature, [], {"question": "1 + 1?", "trajectory": "[[ ## observation_0 ## ]]\n2"}
    )
    step = adapter.parse(agent.react.signature, test_model.answer(second).text)
    assert (step["next_tool_name"], step["next_tool_args"]) == ("finish", {})


def test_plain_text_says_what_it_is_and_quotes():
    answer = test_model.answer([{"role": "user", "content": "How are you?"}])
    assert "bridge/test" in answer.text
    assert "How are you?" in answer.text
    assert (answer.model, answer.finish_reason, answer.input_tokens) == ("bridge/test", "stop", 4)


def test_parts_of_content_are_read():
    answer = test_model.answer([{"role": "user", "content": [{"type": "text", "text": "in parts"}, {"type": "image"}]}])
    assert "in parts" in answer.text


def test_chunks_join_to_the_whole():
    text = "  A longword-of-many-letters, then\n\n a tail  "
    assert "".join(test_model.chunks(text)) == text
    assert len(list(test_model.chunks(text))) > 4


def test_max_tokens_cuts_and_says_so():
    answer = test_model.answer([{"role": "user", "content": "hi"}], max_tokens=3)
    assert (answer.output_tokens, answer.finish_reason) == (3, "length")


TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"properties": {"key": {"type": "string"}}}}}
SUBMIT = {"type": "function", "function": {"name": "submit", "parameters": {}}}
USER = {"role": "user", "content": "look it up"}


def test_tools_are_called_until_a_result_is_there():
    answer = test_model.answer([USER], tools=[TOOL])
    assert answer.finish_reason == "tool_calls"
    call = answer.tool_calls[0]
    assert call["function"]["name"] == "lookup"
    assert "key" in json.loads(call["function"]["arguments"])
    turns = [USER, {"role": "assistant", "tool_calls": answer.tool_calls}, {"role": "tool", "content": "42"}]
    assert test_model.answer(turns, tools=[TOOL]).tool_calls == []
    assert test_model.answer(turns, tools=[TOOL, SUBMIT]).tool_calls[0]["function"]["name"] == "submit"


def test_tool_choice_is_obeyed():
    forced = {"type": "function", "function": {"name": "submit"}}
    assert test_model.answer([USER], tools=[TOOL, SUBMIT], tool_choice=forced).tool_calls[0]["function"]["name"] == (
        "submit"
    )
    assert test_model.answer([USER], tools=[TOOL], tool_choice="none").tool_calls == []


def test_response_formats():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    assert isinstance(json.loads(test_model.answer([USER], response_format=wanted).text)["n"], int)
    assert isinstance(json.loads(test_model.answer([USER], response_format={"type": "json_object"}).text), dict)
    shown = [{"role": "system", "content": f"Answer by this json_schema: {json.dumps(schema)}"}, USER]
    assert "n" in json.loads(test_model.answer(shown, response_format={"type": "json_object"}).text)


SCHEMAS = {
    "numbers": {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "minimum": 5, "maximum": 6},
            "b": {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
            "c": {"type": "integer", "multipleOf": 7, "minimum": 8},
            "d": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.001},
            "e": {"type": "number", "maximum": -3},
            "f": {"type": "number", "multipleOf": 0.5, "minimum": 1},
            "g": {"type": "integer", "maximum": -5},
        },
    },
    "texts": {
        "type": "object",
        "properties": {
            "short": {"type": "string", "maxLength": 3},
            "long": {"type": "string", "minLength": 100},
            "code": {"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"},
            "day": {"type": "string", "format": "date"},
            "mail": {"type": "string", "format": "email"},
            "id": {"type": "string", "format": "uuid"},
        },
        "required": ["short", "long", "code", "day", "mail", "id"],
        "additionalProperties": False,
    },
    "arrays": {
        "type": "object",
        "properties": {
            "three": {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 3},
            "set": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 3},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2},
            "none": {"type": "array", "maxItems": 0},
        },
    },
    "choices": {
        "properties": {
            "const": {"const": {"x": 1}},
            "any": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 3}]},
            "all": {"allOf": [{"properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
            "types": {"type": ["null", "boolean"]},
        },
        "required": ["const", "any", "all", "types"],
    },
    "tree": {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "left": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                },
                "required": ["value", "left"],
            }
        },
    },
    "map": {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 2},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("seed", ["", "one", "two", "three"])
def test_values_fit_their_schema(schema, seed):
    value = json_values.from_schema(schema, seed)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        value
    )
    assert value == json_values.from_schema(schema, seed)
    assert isinstance(value, dict)
    assert value


def test_a_schema_that_nothing_fits_still_ends():
    endless = {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}}}
    assert "a" in json_values.from_schema(endless)


@given(
    st.integers(-1000, 1000),
    st.integers(0, 1000),
    st.text(max_size=5),
    st.sampled_from([("minimum", "maximum"), ("minimum", "exclusiveMaximum"), ("exclusiveMinimum", "maximum")]),
)
def test_numbers_stay_inside_their_bounds(low, span, seed, keys):
    schema = {keys[0]: low, keys[1]: low + span + 1}
    for kind in ("integer", "number"):
        value = json_values.from_schema({"type": kind, **schema}, seed)
        jsonschema.validate(value, {"type": kind, **schema})


@pytest.mark.parametrize(
    ("pattern", "simple"),
    [("^[A-Z]{2}\\d+$", True), ("^a.c?$", True), ("[^a]", True), ("(a|b)", False), ("^\\bx", False), ("[", False)],
)
def test_patterns(pattern, simple):
    made = patterns.text_matching(pattern)
    assert (made is not None) is simple


def test_it_needs_nothing_heavy():
    code = (
        "import sys; import handlers.models.test_model as t; t.answer([{'role': 'user', 'content': 'x'}]); "
        "print([m for m in ('pydantic', 'litellm', 'dspy', 'google.protobuf', 'grpc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_says_what_images_it_was_shown():
    images = ["https://a.example/b", "data:image/png;base64,AAAA", "data:image/gif;base64,AAA="]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in images]
    seen = test_model.answer([{"role": "user", "content": [{"type": "text", "text": "look"}, *parts]}])
    for one in ("https://a.example/b", "3 bytes of image/png", "2 bytes of image/gif"):
        assert f"With it came {one}." in seen.text
    blind = test_model.answer([{"role": "user", "content": "look"}])
    assert seen.input_tokens > blind.input_tokens
    assert "With it came" not in blind.text


@given(st.text(max_size=20), st.integers(1, 300), st.integers(1, 300))
def test_pictures_are_whole_png_files(prompt, width, height):
    picture = test_pictures.draw(prompt, f"{width}x{height}")
    assert struct.unpack(">II", picture[16:24]) == (width, height)
    at = picture.index(b"IDAT")
    (length,) = struct.unpack(">I", picture[at - 4 : at])
    assert len(zlib.decompress(picture[at + 4 : at + 4 + length])) == height * (1 + (width + 7) // 8)
    assert picture == test_pictures.draw(prompt, f"{width}x{height}") != test_pictures.draw(prompt, "301x301")
