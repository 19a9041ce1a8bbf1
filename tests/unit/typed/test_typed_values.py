"""Values go through a typed method and come back as they were."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import BaseModel

from handlers.errors import BadInput, HandlerError, ResultInvalid
from handlers.typed.lock import Lock, numbered
from handlers.typed.reader import Function, read
from handlers.typed.values import Values

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=5)


class Leaf(BaseModel):
    leaf: int
    names: list[str] = []


class Tree(BaseModel):
    tree: "list[Tree | Leaf]"
    by_name: dict[str, Leaf | None] = {}


def schemas(depth=2):
    """A schema beside a strategy for its values. The values stay away from nothing that the schema allows."""
    plain = [
        ({"type": "integer"}, INT64),
        ({"type": "number"}, st.floats(allow_nan=False)),
        ({"type": "boolean"}, st.booleans()),
        ({"type": "string"}, TEXT),
        ({"type": "string", "contentEncoding": "base64"}, st.binary(max_size=5)),
        ({"enum": ["a", "b"], "type": "string"}, st.sampled_from(["a", "b"])),
        ({}, st.none() | st.booleans() | TEXT | st.integers(-(2**53), 2**53) | st.just([1, {"a": None}])),
    ]
    if depth == 0:
        return st.sampled_from(plain)
    inner = schemas(depth - 1)
    return st.one_of(
        st.sampled_from(plain),
        inner.map(lambda one: ({"type": "array", "items": one[0]}, st.lists(one[1], max_size=3))),
        inner.map(
            lambda one: (
                {"type": "object", "additionalProperties": one[0]} if one[0] else {"type": "object"},
                st.dictionaries(TEXT, one[1], max_size=3),
            )
        ),
        inner.map(lambda one: ({"anyOf": [one[0], {"type": "null"}]} if one[0] else {}, st.none() | one[1])),
        st.tuples(inner, inner).map(
            lambda two: (
                {"type": "array", "prefixItems": [two[0][0], two[1][0]], "minItems": 2, "maxItems": 2},
                st.tuples(two[0][1], two[1][1]).map(list),
            )
        ),
        st.tuples(inner, inner).map(
            lambda two: (
                {
                    "type": "object",
                    "properties": {"x": two[0][0], "y": two[1][0]},
                    "required": ["x", "y"],
                    "additionalProperties": False,
                },
                st.fixed_dictionaries({"x": two[0][1], "y": two[1][1]}),
            )
        ),
    )


@settings(max_examples=300, deadline=None)
@given(schemas(), st.data())
def test_every_value_of_every_schema_comes_back(schema, data):
    """Written into a message, read out of its bytes: the same value, whatever is nested in what."""
    text = json.dumps(
        {"type": "object", "properties": {"v": schema[0]}, "required": ["v"], "additionalProperties": False}
    )
    api, problems = read("shop.v1", [Function(name="f", module="shop", arguments_schema=text)])
    assert not problems
    values = Values(numbered(api, Lock("shop.v1"))[0])
    given_value = {"v": data.draw(schema[1])}
    message = values.message_class("FRequest")()
    values.writer("FRequest")(message, given_value, "")
    parsed = values.message_class("FRequest").FromString(message.SerializeToString())
    assert values.reader("FRequest")(parsed, []) == given_value


def test_classes_inside_of_classes(typed):
    def grow(tree: Tree) -> Tree:
        return tree

    made = typed(grow)
    message = made.values.message_class("GrowRequest")()
    value = {"tree": {"tree": [{"leaf": 1, "names": ["a"]}, {"tree": []}], "by_name": {"x": None, "y": {"leaf": 2}}}}
    made.values.writer("GrowRequest")(message, value, "")
    answer = made.call("grow", tree=message.tree)
    read_back = made.values.reader("GrowResponse")(answer, [])["result"]
    assert read_back["tree"][0] == {"leaf": 1, "names": ["a"]}
    assert read_back["by_name"]["x"] is None
    assert read_back["by_name"]["y"]["leaf"] == 2


def test_defaults_are_left_to_the_function(typed):
    seen = []

    def f(a: int = 3, b: list[str] = ["x"], c: int | None = 4) -> None:  # noqa: B006
        seen.append((a, b, c))

    made = typed(f)
    made.call("f")
    made.call("f", a=0, b={"values": []}, c={})
    assert seen == [(3, ["x"], 4), (0, [], None)]


def test_arrays(typed):
    def twice(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return 2 * x

    data = np.arange(4, dtype=np.float32)
    result = typed(twice).call("twice", x={"dtype": "FP32", "shape": [4], "data": data.tobytes()}).result
    assert (np.frombuffer(result.data, np.float32) == 2 * data).all()


def test_numbers_that_no_field_can_have(typed):
    def big() -> int:
        return 2**64

    with pytest.raises(HandlerError, match=r"64 bits|int64"):
        typed(big).call("big")


def test_integers_that_a_value_would_change(typed):
    from typing import Any

    def vague() -> Any:
        return 2**53 + 1

    with pytest.raises(ResultInvalid, match=r"too large for a google\.protobuf\.Value"):
        typed(vague).call("vague")


def test_a_required_enum_that_is_not_set_is_missing(typed):
    from typing import Literal

    def f(queue: Literal["a"]) -> None: ...

    with pytest.raises(BadInput) as caught:
        typed(f).call("f")
    assert caught.value.violations[0][0] == "queue"


def test_the_method_of_another_function_is_not_answered(typed):
    def f() -> None: ...

    with pytest.raises(HandlerError) as caught:
        typed(f).handlers["f"].call("Other/Call", b"", None)
    assert caught.value.reason == "UNKNOWN_METHOD"
