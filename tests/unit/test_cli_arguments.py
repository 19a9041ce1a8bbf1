"""From words on a command line to arguments, by the schema, and back to a command."""

import base64
import json
import shlex

import pytest

from bridge.cli.arguments import accepted_kinds, command, parse
from bridge.cli.failures import ExitCode, Failure

SCHEMA = {
    "type": "object",
    "$defs": {
        "Colour": {"enum": ["red", "green"], "type": "string"},
        "Node": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
        "Item": {"type": "object"},
    },
    "properties": {
        "text": {"type": "string"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "number": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "item": {"$ref": "#/$defs/Item"},
        "colour": {"$ref": "#/$defs/Colour"},
        "level": {"enum": [1, 2]},
        "only": {"const": "x"},
        "data": {"type": "string", "format": "binary"},
        "data64": {"type": "string", "contentEncoding": "base64"},
        "both": {"type": ["integer", "string"]},
        "node": {"$ref": "#/$defs/Node"},
        "lost": {"$ref": "#/$defs/Nowhere"},
        "any": {},
    },
}


def one(pair):
    ((_, value),) = parse([pair], None, SCHEMA).items()
    return value


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("text=hello world", "hello world"),
        ("text=12", "12"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("text=two\nlines", "two\nlines"),
        ("text=null", "null"),
        ("maybe=null", "null"),
        ("maybe:=null", None),
        ("number=9007199254740993", 9007199254740993),
        ("number:=3", 3),
        ("share=NaN", "NaN"),
        ("share=-Infinity", "-Infinity"),
        ("share=0.5", 0.5),
        ("flag=true", True),
        ('tags=["a", "b"]', ["a", "b"]),
        ('item={"a": {"b": [1]}}', {"a": {"b": [1]}}),
        ("colour=red", "red"),
        ("level=2", 2),
        ("only=x", "x"),
        ("data=hi", base64.b64encode(b"hi").decode()),
        ("data64=hé", base64.b64encode("hé".encode()).decode()),
        ("both=12", "12"),
        ("both:=12", 12),
        ("any=12", 12),
        ("any=plain", "plain"),
        ("unknown=[1]", [1]),
        ("unknown=plain", "plain"),
        ("node=null", None),
        ("lost=1", 1),
    ],
)
def test_values_by_schema(pair, value):
    assert one(pair) == value


def test_files(tmp_path):
    (tmp_path / "text").write_text("héllo\n")
    (tmp_path / "list").write_text('["a"]')
    (tmp_path / "raw").write_bytes(b"\xff\x00")
    assert one(f"text=@{tmp_path}/text") == "héllo\n"
    assert one(f"tags=@{tmp_path}/list") == ["a"]
    assert one(f"text:=@{tmp_path}/list") == ["a"]
    assert base64.b64decode(one(f"data=@{tmp_path}/raw")) == b"\xff\x00"
    with pytest.raises(Failure, match="not UTF-8 text, and the function does not take bytes"):
        one(f"text=@{tmp_path}/raw")


@pytest.mark.parametrize(
    ("pairs", "base", "message"),
    [
        (["number"], None, "expected NAME=VALUE, got 'number'"),
        (["1st=2"], None, "expected NAME=VALUE"),
        (["text=a", "text=b"], None, "'text' is given twice"),
        (["number=three"], None, "'number' expects integer, got 'three'"),
        (["tags=a,b"], None, "'tags' expects array, got 'a,b'"),
        (["flag=" + "[" * 100_000], None, "'flag' expects boolean"),
        (["text:=hello"], None, "'text' expects string, got 'hello'"),
        (["text=@/nowhere/at/all"], None, "can not read /nowhere/at/all: No such file"),
        ([], "{", "--json-args is not JSON"),
        ([], "[1]", "--json-args expects an object"),
        ([], "@/nowhere", "can not read /nowhere"),
    ],
)
def test_mistakes_are_usage_failures(pairs, base, message):
    with pytest.raises(Failure) as caught:
        parse(pairs, base, SCHEMA)
    assert message in caught.value.message
    assert caught.value.code == ExitCode.USAGE


def test_the_advice_for_a_wrong_value_works_when_it_is_followed():
    with pytest.raises(Failure) as caught:
        one("tags=a")
    advised = shlex.split(caught.value.lines[0].removeprefix("write it as JSON, such as "))
    assert one(advised[0]) == ["a", "b"]


def test_json_args_with_pairs_over_it(tmp_path):
    path = tmp_path / "arguments.json"
    path.write_text('{"text": "from file", "number": 1}')
    assert parse(["number=2"], f"@{path}", SCHEMA) == {"text": "from file", "number": 2}
    assert parse([], '{"share": NaN}', SCHEMA) == {"share": "NaN"}


def test_json_args_from_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin.read", lambda: '{"number": 4}', raising=False)
    assert parse([], "-", SCHEMA) == {"number": 4}


def test_a_schema_that_refers_to_itself_ends():
    assert accepted_kinds({"$ref": "#/$defs/Node"}, SCHEMA) == {"null"}


EXAMPLES = [
    {"text": "My invoice is wrong"},
    {"text": 'it\'s $HOME `x` "q" \\ !', "number": 3, "flag": False},
    {"text": "", "maybe": None, "tags": ["a b", "c'd"], "share": 0.5},
    {"text": "@not a file", "both": 12, "data": "aGk="},
    {"text": "two\nlines", "item": {"a": 1}, "colour": "red", "level": 1},
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_command_for_an_example_gives_the_example_back(example):
    line = command("f", json.dumps(example), json.dumps(SCHEMA), "a:1", "a:1")
    words = shlex.split(line)
    assert words[:3] == ["bridge", "call", "f"]
    assert parse(words[3:], None, SCHEMA) == example


def test_the_command_is_easy_to_read_and_names_another_address():
    line = command(
        "triage", '{"ticket": "My invoice is wrong"}', '{"properties": {"ticket": {"type": "string"}}}', "h:1", "h:2"
    )
    assert line == 'bridge call triage ticket="My invoice is wrong" --address h:1'


@pytest.mark.parametrize("example", ["", "not json", "[1]", "null"])
def test_a_strange_example_gives_a_command_without_arguments(example):
    assert command("f", example, "", "a:1", "a:1") == "bridge call f"
