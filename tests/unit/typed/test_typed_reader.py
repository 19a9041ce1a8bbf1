"""From Python's annotations to messages: which type becomes what, and what can not be named."""

import dataclasses
import enum
from typing import Any, Generic, Literal, NotRequired, TypeVar

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from handlers.typed.names import NameProblem, check_package, pascal
from handlers.typed.reader import Function


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


class Node(BaseModel):
    """A node."""

    name: str
    children: "list[Node]" = []


class Row(TypedDict):
    a: int
    b: NotRequired[str]


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


Content = TypeVar("Content")


class Page(BaseModel, Generic[Content]):
    items: list[Content]


def test_what_each_type_becomes(typed):
    def types(
        number: int,
        share: float,
        yes: bool,
        text: str,
        data: bytes,
        free: Any,
        names: list[str],
        table: dict[str, float],
        color: Color,
        level: Level,
        node: Node,
        point: Point,
        queue: Literal["a", "b"],
        plain: dict[str, Any],
        odd: Literal["+", "-"] = "+",
    ) -> None: ...

    assert typed(types).fields("TypesRequest") == {
        "number": "int64",
        "share": "double",
        "yes": "bool",
        "text": "string",
        "data": "bytes",
        "free": "google.protobuf.Value",
        "names": "repeated string",
        "table": "map<string, double>",
        "color": "Color",
        "level": "int64",
        "node": "Node",
        "point": "Point",
        "queue": "TypesRequestQueue",
        "plain": "google.protobuf.Struct",
        "odd": "optional string",
    }


def test_absent_and_empty_stay_apart(typed):
    def maybe(
        left_out: int = 3,
        none: int | None = None,
        both: int | None = 3,
        names: list[str] | None = None,
        filled: list[str] = ["x"],  # noqa: B006
        empty: list[str] = [],  # noqa: B006
    ) -> None: ...

    made = typed(maybe)
    assert made.fields("MaybeRequest") == {
        "left_out": "optional int64",
        "none": "optional int64",
        "both": "optional MaybeRequestBothOrNull",
        "names": "optional MaybeRequestNamesList",
        "filled": "optional MaybeRequestFilledList",
        "empty": "repeated string",
    }
    assert made.fields("MaybeRequestNamesList") == {"values": "repeated string"}


def test_lists_of_lists_tuples_and_unions_get_messages(typed):
    def nested(rows: list[list[int]], pair: tuple[int, str], either: int | str, gaps: list[int | None]) -> Row: ...

    made = typed(nested)
    assert made.fields("NestedRequest") == {
        "rows": "repeated NestedRequestRowsItemList",
        "pair": "NestedRequestPair",
        "either": "NestedRequestEither",
        "gaps": "repeated NestedRequestGapsItem",
    }
    assert made.fields("NestedRequestPair") == {"item_1": "int64", "item_2": "string"}
    assert made.api.message("NestedRequestEither").role == "union"
    assert made.fields("Row") == {"a": "int64", "b": "optional string"}


def test_what_can_not_be_told_apart_is_a_value(typed):
    def vague(one: list[int] | list[str], two: Any = None) -> dict[str, Any] | list[Any]: ...

    made = typed(vague)
    assert made.fields("VagueRequest")["one"] == "google.protobuf.Value"
    assert made.problems == []


def test_a_class_is_one_message_for_arguments_and_results(typed):
    def give(node: Node) -> Node: ...
    def take(pages: Page[Node]) -> Page[int]: ...

    made = typed(give, take)
    assert made.fields("GiveRequest") == {"node": "Node"}
    assert made.fields("GiveResponse") == {"result": "Node"}
    assert made.fields("PageNode") == {"items": "repeated Node"}
    assert made.fields("PageInt") == {"items": "repeated int64"}


def test_two_classes_of_one_name_are_refused_with_both_functions(problems_of):
    def schema(kind):
        definition = {"type": "object", "title": "Item", "properties": {"x": {"type": kind}}, "required": ["x"]}
        return {"$defs": {"Item": definition}, "type": "object", "properties": {"i": {"$ref": "#/$defs/Item"}}}

    import json

    first = Function(name="buy", module="shop", arguments_schema=json.dumps(schema("string")))
    second = Function(name="sell", module="shop", arguments_schema=json.dumps(schema("integer")))
    (problem,) = problems_of(first, second)
    assert problem.function == "sell"
    assert "buy and sell use two classes of this name" in problem.message


def test_two_functions_of_one_name_are_refused(problems_of):
    (problem,) = problems_of(Function(name="get_all", module="shop"), Function(name="getAll", module="shop"))
    assert "its method would be called GetAll, as that of 'getAll'" in problem.message


@pytest.mark.parametrize("keys", [("a-b", "a_b"), ("fooBar", "foo_bar"), ("x", "X")])
def test_two_keys_that_are_one_field_are_refused(problems_of, keys):
    properties = ",".join(f'"{key}": {{"type": "integer"}}' for key in keys)
    schema = f'{{"type": "object", "properties": {{{properties}}}, "additionalProperties": false}}'
    (problem,) = problems_of(Function(name="f", module="shop", arguments_schema=schema))
    assert "are the same name in a .proto file" in problem.message


def test_names_that_are_none_in_a_proto_file(typed):
    schema = '{"type": "object", "properties": {"1st": {"type": "integer"}, "größe": {"type": "string"}}}'
    from handlers.typed.reader import read

    api, problems = read("shop.v1", [Function(name="a.b-c", module="shop", arguments_schema=schema)])
    assert not problems
    assert [field.name for field in api.message("ABCRequest").fields] == ["f_1st", "gr_e"]


def test_an_object_that_anything_may_stand_in(typed):
    from handlers.typed.reader import read

    function = Function(
        name="free", program=True, arguments_schema='{"type":"object"}', result_schema='{"type":"object"}'
    )
    api, _ = read("shop.v1", [function])
    assert api.message("FreeRequest").extra
    assert [field.told for field in api.message("FreeRequest").fields] == ["map<string, google.protobuf.Value>"]
    assert api.methods[0].service == "ProgramsService"


@pytest.mark.parametrize("name", ["", "Shop", "shop..v1", "1shop", "shop-v1", "bridge.v1", "google.x"])
def test_packages_that_can_not_be(name):
    with pytest.raises(NameProblem):
        check_package(name)


def test_names_of_methods():
    assert [pascal(name) for name in ("score", "team.score_all", "2fast", "a-b")] == [
        "Score",
        "TeamScoreAll",
        "N2fast",
        "AB",
    ]
    with pytest.raises(NameProblem):
        pascal("___")
