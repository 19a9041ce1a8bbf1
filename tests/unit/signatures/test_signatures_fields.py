"""Signatures that come as field lists, types that come as JSON Schema, and the schemas that callers see."""

import json

import jsonschema
import pytest

from handlers.signatures import json_schema, named_types
from handlers.signatures.field_list import of_fields
from handlers.signatures.parser import parse
from handlers.signatures.scanner import SignatureError

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "home": {"$ref": "#/$defs/Home"},
        "friends": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["name"],
    "$defs": {"Home": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def refused(inputs, outputs=({"name": "answer"},), types=None) -> str:
    with pytest.raises(SignatureError) as caught:
        of_fields(inputs, outputs, types=named_types.read(types or {}))
    return caught.value.shown


def check(schema, value) -> bool:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def test_fields_with_all_they_can_say():
    spec = of_fields(
        [
            {"name": "question", "description": "What is asked.", "min_length": 3, "max_length": 20},
            {"name": "count", "type": "int", "default": 3, "ge": 1, "le": 9},
            {"name": "tags", "type": "list[str] | None", "max_length": 2},
        ],
        [{"name": "score", "type": "float", "ge": 0, "le": 1}],
        instructions="Answer it.",
    )
    assert str(spec) == "question: str, count: int, tags: list[str] | None -> score: float"
    assert spec.instructions == "Answer it."
    assert [field.required for field in spec.inputs] == [True, False, False]
    schema = json_schema.of_fields(spec.inputs)
    assert schema["required"] == ["question"]
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    assert schema["properties"]["question"]["description"] == "What is asked."
    assert check(schema, {"question": "why?", "tags": ["a"]})
    assert not check(schema, {"question": "y"})
    assert not check(schema, {"question": "why?", "tags": ["a", "b", "c"]})
    assert not check(schema, {"question": "why?", "count": 10})
    assert not check(schema, {"question": "why?", "more": 1})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([], "at least one input"),
        ([{"type": "int"}], "has a name"),
        ([{"name": "lm"}], "means something else"),
        ([{"name": "a"}, {"name": "a"}], "twice"),
        ([{"name": "a", "typ": "int"}], "'typ', which is not known"),
        ([{"name": "a", "type": "list[inr]"}], "The type of 'a': There is no type 'inr'"),
        ([{"name": "a", "type": 3}], "is a text such as"),
        ([{"name": "a", "type": "int", "schema": {}}], "send one"),
        ([{"name": "a", "ge": 1}], "'ge' does not apply"),
        ([{"name": "a", "type": "int", "pattern": "x"}], "'pattern' does not apply"),
        ([{"name": "a", "pattern": "("}], "no regular expression"),
        ([{"name": "a", "type": "int", "ge": 5, "le": 4}], "can not be met"),
        ([{"name": "a", "min_length": 5, "max_length": 4}], "can not be met"),
        ([{"name": "a", "type": "int", "ge": "many"}], "Expected `float | null`, got `str`"),
        ([{"name": "a", "default": {1, 2}}], "no JSON value"),
        ([{"name": "a", "description": 7}], "is a text"),
    ],
)
def test_a_bad_field_is_named(fields, words):
    assert words in refused(fields)


def test_an_output_has_no_default():
    assert "only an input" in refused([{"name": "a"}], [{"name": "b", "default": 1}])


def test_types_by_json_schema_keep_their_references():
    types = named_types.read({"Person": PERSON})
    schema = json_schema.of_fields(parse("who: Person, others: list[Person] -> x", types).inputs)
    good = {"who": {"name": "A", "home": {"city": "Oslo"}, "friends": [{"name": "B"}]}, "others": []}
    assert check(schema, good)
    assert not check(schema, {**good, "others": [{"name": 3}]})
    bad_home = {"who": {"name": "A", "home": {"city": 7}}, "others": []}
    assert not check(schema, bad_home)
    assert not check(schema, {"who": {"name": "A", "friends": [{}]}, "others": []})


def test_a_field_may_bring_its_schema():
    spec = of_fields([{"name": "who", "schema": json.dumps(PERSON)}], [{"name": "x"}])
    assert check(json_schema.of_fields(spec.inputs), {"who": {"name": "A"}})
    assert not check(json_schema.of_fields(spec.inputs), {"who": {}})


@pytest.mark.parametrize(
    ("name", "schema", "words"),
    [
        ("str", {}, "built in"),
        ("My Type", {}, "no name"),
        ("T", "{", "not JSON"),
        ("T", "[]", "got list"),
        ("T", {"type": "objekt"}, "/type"),
        ("T", {"properties": []}, "/properties"),
        ("T", {"properties": {"a": 3}}, "/properties/a"),
        ("T", {"$ref": "http://127.0.0.1/x"}, "another document"),
        ("T", {"$ref": "#/$defs/Nothing"}, "refers to nothing"),
        ("T", {"items": {"$ref": "#/properties/a"}}, "are followed"),
        ("T", {"description": "x" * 70_000}, "more than 65536 bytes"),
    ],
)
def test_a_bad_type_is_refused_before_it_is_used(name, schema, words):
    assert words in refused([{"name": "a"}], types={name: schema})


def test_a_type_nested_without_end_is_refused():
    schema: dict = {}
    for _ in range(100):
        schema = {"items": schema}
    assert "64 deep" in refused([{"name": "a"}], types={"T": schema})
    assert "not JSON" in refused([{"name": "a"}], types={"T": "[" * 100_000})


@pytest.mark.parametrize(
    ("notation", "good", "bad"),
    [
        ("Literal['a', 1]", ["a", 1], ["b", 2]),
        ("Literal['a']", ["a"], ["b"]),
        ("tuple[int, str]", [[1, "x"]], [[1], ["x", 1], [1, "x", 2]]),
        ("tuple[int, ...]", [[], [1, 2]], [["x"]]),
        ("tuple[()]", [[]], [[1]]),
        ("set[int]", [[1, 2]], [[1, 1]]),
        ("dict[Literal['a', 'b'], int]", [{"a": 1}], [{"c": 1}, {"a": "x"}]),
        ("dspy.Image", [{"url": "data:,"}], ["x", {}]),
        ("dspy.Code", ["x = 1"], [1]),
        ("History", [{"messages": [{"q": 1}]}], [{"messages": [1]}]),
        ("int | None", [1, None], ["x"]),
        ("Any", [1, None, "x"], []),
    ],
)
def test_the_schema_of_a_type(notation, good, bad):
    schema = json_schema.of_fields(parse(f"v: {notation} -> x").inputs)
    assert all(check(schema, {"v": value}) for value in good)
    assert not any(check(schema, {"v": value}) for value in bad)


def test_references_are_written_out_up_to_a_limit():
    home = {"type": "object", "properties": {"city": {"type": "string"}}}
    (person,) = named_types.read({"Person": PERSON}).values()
    shown = json_schema.without_references(person)
    assert shown["properties"]["home"] == home
    assert shown["properties"]["friends"] == {"type": "array", "items": {}}
    doubling = {f"L{depth}": {"prefixItems": [{"$ref": f"#/$defs/L{depth + 1}"}] * 2} for depth in range(40)}
    (wide,) = named_types.read({"Wide": {"$ref": "#/$defs/L0", "$defs": {**doubling, "L40": {}}}}).values()
    assert json.dumps(json_schema.without_references(wide)).count("prefixItems") <= json_schema.MAX_WRITTEN_OUT
