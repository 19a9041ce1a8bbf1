"""When one function's schema takes all that another's does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.schema_fit import misfits
from handlers.functions.discovery import discover_functions

INT, TEXT, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}


def arguments(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def check(wide, narrow):
    return misfits(json.dumps(wide), json.dumps(narrow))


FITS = [
    ({}, INT),
    (True, arguments(a=INT)),
    (INT, {**INT, "title": "A", "description": "words", "default": 3}),
    ({"type": "number"}, INT),
    ({"anyOf": [TEXT, NULL]}, TEXT),
    ({"anyOf": [TEXT, NULL]}, {"anyOf": [NULL, TEXT]}),
    ({"type": ["string", "null"]}, NULL),
    (TEXT, {"enum": ["a", "b"], "type": "string"}),
    ({"enum": ["a", "b", "c"]}, {"const": "b"}),
    ({**INT, "minimum": 0, "maximum": 10}, {**INT, "minimum": 1, "maximum": 10}),
    (INT, {**INT, "minimum": 1}),
    ({"type": "array", "items": {"type": "number"}}, {"type": "array", "items": INT}),
    (arguments(a=INT, b=TEXT), arguments(["a"], a=INT)),
    (arguments(["a"], a=INT), arguments(["a"], a=INT)),
    ({"type": "object", "additionalProperties": INT}, {"type": "object", "additionalProperties": INT}),
    ({"type": "object"}, arguments(a=INT)),
]
MISFITS = [
    (INT, {"type": "number"}, "expected integer, got number"),
    (INT, {}, "expected integer, got anything"),
    (TEXT, {"anyOf": [TEXT, NULL]}, "expected string, got null"),
    ({"anyOf": [TEXT, NULL]}, INT, "integer fits none of string | null"),
    ({"enum": ["a"], "type": "string"}, {"enum": ["a", "b"]}, '"b" does not fit'),
    ({"enum": ["a"]}, TEXT, "string is more than"),
    ({**INT, "minimum": 2}, {**INT, "minimum": 1}, "minimum is 2, and 1 in the other"),
    ({**INT, "maximum": 2}, INT, "maximum is 2, and none in the other"),
    ({**TEXT, "pattern": "a+"}, TEXT, "pattern is"),
    (
        {"type": "array", "items": INT},
        {"type": "array", "items": TEXT},
        "[]: expected integer, got string",
    ),
    ({"type": "array", "items": INT}, {"type": "array"}, "[]: expected integer"),
    (arguments(["b"], a=INT, b=INT), arguments(["a"], a=INT), "b: required, and unknown in the other"),
    (arguments(["a"], a=INT), arguments(a=INT), "a: required, and optional in the other"),
    (arguments(a=INT), arguments(a=INT, b=INT), "b: not known"),
    (arguments(a=INT), {"type": "object", "properties": {"a": INT}}, "takes no further names"),
    (arguments(a=arguments(b=INT)), arguments(a=arguments(b=TEXT)), "a.b: expected integer, got string"),
]


@pytest.mark.parametrize(("wide", "narrow"), FITS)
def test_what_fits(wide, narrow):
    assert check(wide, narrow) == []


@pytest.mark.parametrize(("wide", "narrow", "expected"), MISFITS)
def test_what_does_not_and_why(wide, narrow, expected):
    (problem,) = check(wide, narrow)
    assert expected in problem


def test_references_are_followed_also_into_themselves():
    node = {"properties": {"value": INT, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, NULL]}}, "type": "object"}
    tree = {"$defs": {"Node": node}, **arguments(["n"], n={"$ref": "#/$defs/Node"})}
    other = json.loads(json.dumps(tree).replace("Node", "Link"))
    assert check(tree, other) == []
    other["$defs"]["Link"]["properties"]["value"] = TEXT
    assert check(tree, other) != []


def test_a_pair_that_failed_in_one_branch_fails_in_the_next_too():
    def defs(kind):
        return {"$defs": {"A": {"type": "object", "properties": {"x": kind}}}}

    wide = {**defs(INT), "anyOf": [{"$ref": "#/$defs/A"}, {"type": "array", "items": {"$ref": "#/$defs/A"}}]}
    narrow = {**defs(TEXT), "$ref": "#/$defs/A"}
    assert check(wide, narrow) != []


SCALARS = st.sampled_from([INT, TEXT, NULL, {"type": "number"}, {"type": "boolean"}, {"enum": ["a", 1]}, {}])
SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        inner.map(lambda one: {"type": "array", "items": one}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"anyOf": some}),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda some: arguments(list(some)[:1], **some)),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_every_schema_fits_itself_and_anything_takes_it(schema):
    assert check(schema, schema) == []
    assert check({}, schema) == []


@given(SCHEMAS, SCHEMAS)
def test_what_is_said_to_fit_does(wide, narrow):
    """Held to the reference implementation of JSON Schema, where it is there."""
    jsonschema = pytest.importorskip("jsonschema")
    values = [
        None,
        True,
        1,
        1.5,
        "a",
        "b",
        [],
        [1],
        ["a"],
        [None],
        {},
        {"a": 1},
        {"a": "a"},
        {"b": None},
        {"a": 1, "b": 1},
    ]
    if check(wide, narrow) == []:
        for value in values:
            if jsonschema.Draft202012Validator(narrow).is_valid(value):
                assert jsonschema.Draft202012Validator(wide).is_valid(value)


def test_schemas_of_real_functions(tmp_path):
    import types

    module = types.ModuleType("app")
    source = (
        "from typing import Literal\n"
        "def old(text: str, n: int = 5, mode: Literal['a', 'b'] = 'a') -> dict[str, int]: 'doc'\n"
        "def new(text: str, n: float = 5, mode: str = 'a', more: bool = False) -> dict[str, int]: 'doc'\n"
        "def other(text: str, words: list[str]) -> dict[str, int]: 'doc'\n"
    )
    exec(source, module.__dict__)
    for name in ("old", "new", "other"):
        getattr(module, name).__module__ = "app"
    schemas = {one.spec.name: one.spec.arguments_schema for one in discover_functions(module, "app")}
    assert misfits(schemas["new"], schemas["old"]) == []
    assert misfits(schemas["old"], schemas["new"]) == [
        "n: expected integer, got number",
        'mode: string is more than ["a", "b"]',
        "more: not known",
    ]
    assert misfits(schemas["other"], schemas["old"]) == [
        "words: required, and unknown in the other",
        "n: not known",
        "mode: not known",
    ]
