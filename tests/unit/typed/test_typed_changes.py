"""What breaks callers and what does not: by schemas, by numbers and types on the wire, by descriptors."""

import json
from enum import Enum
from typing import Any, Literal

import jsonschema
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic import Field as Limited

from handlers.functions.discovery import handler_of
from handlers.typed.changes import changes, lock_changes
from handlers.typed.compatible import Sides
from handlers.typed.described_changes import descriptor_changes
from handlers.typed.descriptors import file_of
from handlers.typed.reader import Function


def described(function, name="f", module="shop"):
    spec = handler_of(function).spec
    return Function(
        name=name,
        module=module,
        streaming=spec.streaming,
        arguments_schema=spec.arguments_schema,
        result_schema=spec.result_schema,
    )


def breaks(old, new):
    """Whom the change from one function to another breaks, and what is said of it."""
    found = changes([described(old)], [described(new)])
    return {(one.breaks, one.what) for one in found if one.breaks != "nobody"}


class Old(BaseModel):
    name: str
    size: int = 1


class Color(Enum):
    RED = "red"


class TestArguments:
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (lambda: None, "a: int = 1"),
            ("a: int", "a: int = 5"),
            ("a: int", "a: int | None"),
            ("a: Literal['x']", "a: Literal['x', 'y']"),
        ],
    )
    def test_what_breaks_nobody(self, old, new):
        def make(parameters):
            scope = {"Literal": Literal}
            exec(f"def f({'' if callable(parameters) else parameters}) -> None: ...", scope)
            return scope["f"]

        assert breaks(make(old), make(new)) == set()

    def test_a_new_required_argument(self):
        def old(a: int) -> None: ...
        def new(a: int, b: str) -> None: ...

        assert breaks(old, new) == {("everyone", "argument b: it is missing, and must be there")}

    def test_an_argument_that_is_gone(self):
        def old(a: int, b: int = 1) -> None: ...
        def new(a: int) -> None: ...

        assert breaks(old, new) == {("everyone", "argument b: it is not known any more")}

    def test_an_argument_that_must_be_there_now(self):
        def old(a: int = 1) -> None: ...
        def new(a: int) -> None: ...

        assert breaks(old, new) == {("everyone", "argument a: it may be missing, and must be there")}

    def test_another_type_breaks_both_kinds_of_callers(self):
        def old(a: int) -> None: ...
        def new(a: str) -> None: ...

        assert breaks(old, new) == {
            ("everyone", "argument a: integer is not string"),
            ("typed callers", "its type was int64, is string: the field gets another number"),
        }

    def test_a_wider_type_breaks_those_whose_fields_have_numbers(self):
        def old(a: int) -> None: ...
        def new(a: float) -> None: ...

        assert breaks(old, new) == {("typed callers", "its type was int64, is double: the field gets another number")}

    def test_a_choice_that_is_gone(self):
        def old(a: Literal["x", "y"]) -> None: ...
        def new(a: Literal["x"]) -> None: ...

        assert breaks(old, new) == {
            ("everyone", "argument a: 'y' is not one of ['x']"),
            ("typed callers", "the value is gone"),
        }

    def test_tighter_limits(self):
        def old(a: int) -> None: ...
        def new(a: int = Limited(ge=1)) -> None: ...

        from typing import Annotated

        def tight(a: Annotated[int, Limited(ge=1)]) -> None: ...

        assert breaks(old, tight) == {("everyone", "argument a: minimum is 1, was not limited")}
        assert breaks(tight, old) == set()

    def test_inside_of_classes_and_lists(self):
        def old(items: list[Old]) -> None: ...

        class Old2(BaseModel):
            name: str
            size: int

        Old2.__name__ = "Old"

        def new(items: list[Old2]) -> None: ...

        assert ("everyone", "argument items[].size: it may be missing, and must be there") in breaks(old, new)


class TestResults:
    def test_more_than_before_is_fine_and_less_is_not(self):
        class Less(BaseModel):
            name: str

        class More(Less):
            extra: int

        def less() -> Less: ...
        def more() -> More: ...

        assert {one for one in breaks(less, more) if one[0] == "everyone"} == set()
        assert ("everyone", "result.extra: it is missing, and must be there") in breaks(more, less)

    def test_null_and_new_choices_are_news_to_callers(self):
        def old() -> str: ...
        def new() -> str | None: ...

        assert breaks(old, new) == {("everyone", "result: null is not possible any more")}
        assert breaks(new, old) == set()

        def one() -> Literal["a"]: ...
        def two() -> Literal["a", "b"]: ...

        assert ("everyone", "result: 'b' is not one of ['a']") in breaks(one, two)

    def test_anything_takes_all(self):
        def old() -> Any: ...
        def new() -> int: ...

        assert {one[0] for one in breaks(old, new)} == {"typed callers"}
        assert ("everyone", "result: it was anything, is integer") in breaks(new, old)


class TestFunctions:
    def test_gone_new_and_moved(self):
        def f() -> None: ...

        found = changes([described(f, "a"), described(f, "b")], [described(f, "a", "other"), described(f, "c")])
        assert [(one.where, one.breaks) for one in found] == [
            ("b", "everyone"),
            ("a", "typed callers"),
            ("c", "nobody"),
        ]
        assert found[1].what == "its method was ShopService/A, is OtherService/A"

    def test_a_function_that_streams_now(self):
        from collections.abc import Iterator

        def old() -> int: ...

        def new() -> Iterator[int]:
            yield 1

        assert ("everyone", "it gave one result, gives a stream") in breaks(old, new)


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "integer"},
            {"type": "integer", "minimum": 1},
            {"type": "number"},
            {"type": "string"},
            {"type": "string", "maxLength": 1},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": ["a", "b"], "type": "string"},
            {"const": "a", "type": "string"},
            {},
        ]
    ),
    lambda inner: st.one_of(
        inner.map(lambda one: {"type": "array", "items": one}),
        inner.map(lambda one: {"type": "object", "additionalProperties": one}),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: {"anyOf": some}),
        st.tuples(inner, inner).map(
            lambda two: {"type": "array", "prefixItems": list(two), "minItems": 2, "maxItems": 2}
        ),
        st.builds(
            lambda properties, required: {
                "type": "object",
                "properties": properties,
                "required": [name for name in properties if name in required],
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=3),
            st.sets(st.sampled_from("xyz")),
        ),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 1, 5, 1.5, "", "a", "b", "ab"]),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)),
    max_leaves=5,
)


def pairs(old):
    """A schema with one that is like it: half of them are fine."""
    wider = SCHEMAS.map(lambda other: {"anyOf": [old, other]})
    changed = SCHEMAS.map(lambda other: {**other, **old, **{key: other[key] for key in list(other)[1:]}})
    return st.tuples(st.just(old), st.one_of(wider, changed, SCHEMAS))


@settings(max_examples=300, deadline=None)
@given(SCHEMAS.flatmap(pairs), st.lists(VALUES, max_size=30))
def test_what_is_said_to_be_fine_refuses_no_value(pair, values):
    """Where nothing is said to be in the way, each value that the old schema takes is taken by the new one."""
    old, new = pair
    assume(not any(Sides(new, old, extra=False).obstacles(new, old, "")))
    before, after = jsonschema.Draft202012Validator(old), jsonschema.Draft202012Validator(new)
    for value in values:
        if before.is_valid(value):
            assert after.is_valid(value), (old, new, value)


@given(SCHEMAS)
def test_a_schema_takes_its_own_values(schema):
    assert list(Sides(schema, json.loads(json.dumps(schema)), extra=False).obstacles(schema, schema, "")) == []


def test_locks(typed):
    def f(a: int, color: Color) -> None: ...
    def g(a: str, color: Color) -> None: ...

    g.__name__ = "f"
    first = typed(f)
    assert lock_changes(first.lock, typed(f, lock=first.lock).lock) == []
    found = lock_changes(first.lock, typed(g).lock)
    assert [(one.where, one.breaks) for one in found] == [("FRequest.a", "typed callers")]


def test_descriptors(typed):
    def f(a: int, b: int = 1) -> None: ...
    def g(b: int, a: int) -> None: ...

    g.__name__ = "f"
    first, second = (FileDescriptorSet(file=[file_of(typed(one).api)]) for one in (f, g))
    assert descriptor_changes(first, first) == []
    found = {one.where: one.what for one in descriptor_changes(first, second)}
    assert found == {
        "shop.v1.FRequest.a": "number 1 was a of int64, is b of int64",
        "shop.v1.FRequest.b": "number 2 was b of int64, is a of int64",
    }
    assert [one.what for one in descriptor_changes(first, FileDescriptorSet())][:1] == ["the method is gone"]
