"""Arguments against a tool's schema, and the schema as a model is shown it: quick and harmless, whatever it says."""

import json
import time

import pytest

from handlers.tool_arguments import SHOWN_NODES, problems, shown

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "most": {"type": ["integer", "null"]},
        "kind": {"enum": ["new", "used"]},
        "places": {
            "type": "array",
            "items": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
        },
    },
    "required": ["text"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"text": "a"}, []),
        ({"text": "a", "most": None, "kind": "new", "places": [{"x": 1}, {"x": 1.5, "more": True}]}, []),
        ({}, ["text: is required"]),
        ({"text": 1}, ["text: expected string, got 1"]),
        ({"text": "a", "most": True}, ["most: expected integer or null, got True"]),
        ({"text": "a", "most": 2.0}, []),
        ({"text": "a", "kind": "old"}, ["kind: expected one of ['new', 'used'], got 'old'"]),
        ({"text": "a", "places": [{"x": 1}, {}]}, ["places[1].x: is required"]),
        ({"text": "a", "places": [{"x": "1"}]}, ["places[0].x: expected number, got '1'"]),
        ({"text": "a", "other": 1}, ["other: there is no such argument; there is text, most, kind, places"]),
    ],
)
def test_what_does_not_fit_is_named(arguments, found):
    assert problems(SCHEMA, arguments) == found


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"x": True}},
        {"properties": {"x": {"type": 7}}},
        {"properties": {"x": {"type": ["nonsense"]}}},
        {"required": "x", "properties": []},
        {"properties": {"x": {"enum": "abc", "items": 3, "properties": 4, "required": [[]]}}},
    ],
)
def test_schemas_that_make_no_sense_do_no_harm(schema):
    assert problems(schema, {"x": {"y": [1]}}) == []


def test_patterns_and_references_of_a_stranger_cost_nothing():
    bomb = {"$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}}
    bomb["$defs"]["d40"] = {"type": "string", "pattern": "^(a+)+$"}
    schema = {**bomb, "properties": {"x": {"$ref": "#/$defs/d0"}, "y": {"type": "string", "pattern": "^(a+)+$"}}}
    started = time.process_time()
    assert problems(schema, {"x": "a" * 5000, "y": "a" * 5000 + "!"}) == []
    assert len(json.dumps(shown(schema))) < 100 * SHOWN_NODES
    assert time.process_time() - started < 5


def test_a_model_is_shown_references_written_out_and_what_may_be_missing():
    schema = {
        "properties": {
            "item": {"$ref": "#/$defs/Item", "description": "what"},
            "note": {"type": "string", "description": "a note"},
            "count": {"type": "integer", "default": 1},
        },
        "required": ["item"],
        "$defs": {"Item": {"type": "object", "title": "Item", "properties": {"next": {"$ref": "#/$defs/Item"}}}},
    }
    found = shown(schema)
    assert found["item"]["description"] == "what"
    assert found["item"]["properties"]["next"]["type"] == "object", "it refers to itself, so it is shown to a depth"
    assert found["note"] == {"type": "string", "description": "a note (optional)"}
    assert found["count"] == {"type": "integer", "default": 1}
