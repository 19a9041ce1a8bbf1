"""Validation of arguments and results: what is taken, what is refused, and how a mistake is told."""

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel
from pydantic import Field as Constraint
from typing_extensions import TypeAliasType, TypedDict

from handlers import codec
from handlers.errors import BadInput, ResultInvalid
from handlers.schema import ArgumentsSchema, Field, ResultSchema
from handlers.schemas.wire_types import UnsupportedType


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    inner: Optional["Point"] = None


@dataclasses.dataclass
class Signal:
    samples: npt.NDArray[np.float32]
    rate: int


class Item(BaseModel):
    name: str
    count: int = 1
    children: list["Item"] = []


class Row(TypedDict):
    name: str
    when: dt.date


def _schema(annotation, **fields):
    return ArgumentsSchema.of_fields("f", {"x": Field(annotation=annotation), **fields})


def _violations(schema, arguments, form="json"):
    with pytest.raises(BadInput) as caught:
        schema.validate(arguments, form)
    return dict(caught.value.violations)


ACCEPTED = [
    (int, 5, 5),
    (int, 2**70, 2**70),
    (float, 5, 5.0),
    (float, 1.5, 1.5),
    (str, "5", "5"),
    (bool, True, True),
    (type(None), None, None),
    (Any, {"a": [1, "b"]}, {"a": [1, "b"]}),
    (int | None, None, None),
    (Optional[int], None, None),  # noqa: UP045
    (int | str, "5", "5"),
    (float | str, "NaN", "NaN"),
    (list[int], [1], [1]),
    (tuple[int, str], [1, "a"], (1, "a")),
    (set[int], [1, 1], {1}),
    (Sequence[float], [1], [1.0]),
    (Iterable[int], [1, 2], [1, 2]),
    (dict[str, list[float]], {"a": [1]}, {"a": [1.0]}),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (Colour, "red", Colour.RED),
    (Level, 2, Level.HIGH),
    (Literal["a", 1], 1, 1),
    (dt.datetime, "2026-01-31T12:00:00Z", dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)),
    (dt.date, "2026-01-31", dt.date(2026, 1, 31)),
    (dt.time, "12:30", dt.time(12, 30)),
    (dt.timedelta, "PT90S", dt.timedelta(seconds=90)),
    (uuid.UUID, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
    (decimal.Decimal, "0.10", decimal.Decimal("0.10")),
    (Path, "a/b", Path("a/b")),
    (Point, {"x": 1, "inner": {"x": 2}}, Point(1, 0.0, Point(2))),
    (Item, {"name": "a", "children": [{"name": "b"}]}, Item(name="a", children=[Item(name="b")])),
    (Row, {"name": "a", "when": "2026-01-31"}, {"name": "a", "when": dt.date(2026, 1, 31)}),
    (Item | Point, {"x": 1}, Point(1)),
    (Annotated[int, Constraint(ge=1)], 1, 1),
    (Annotated[int, Constraint(strict=False)], "5", 5),
]


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize(("annotation", "given_", "expected"), ACCEPTED, ids=lambda value: repr(value)[:40])
def test_accepted(annotation, given_, expected, form):
    value = _schema(annotation).validate({"x": given_}, form)["x"]
    assert value == expected
    assert type(value) is type(expected)


REFUSED = [
    (int, True, "x", "expected an integer, got true"),
    (int, 5.0, "x", "expected an integer, got the number 5.0"),
    (int, "5", "x", "expected an integer, got the string '5'"),
    (int, None, "x", "expected an integer, got null"),
    (float, True, "x", "expected a number, got true"),
    (float, "5", "x", "expected a number, got the string '5'"),
    (bool, 1, "x", "expected true or false, got 1"),
    (bool, "true", "x", "expected true or false, got the string 'true'"),
    (str, 5, "x", "expected a string, got 5"),
    (type(None), 0, "x", "expected null, got 0"),
    (list[int], "ab", "x", "expected an array, got the string 'ab'"),
    (list[int], {"a": 1}, "x", "expected an array, got an object of 1"),
    (list[list[int]], [[1], [2, "a"]], "x[1][1]", "expected an integer, got the string 'a'"),
    (dict[str, int], {"a b": "c"}, 'x["a b"]', "expected an integer, got the string 'c'"),
    (dict[str, int], [], "x", "expected an object, got an array of 0"),
    (tuple[int, int], [1], "x[1]", "got nothing"),
    (Colour, "green", "x", "expected 'red' or 'blue', got the string 'green'"),
    (Level, True, "x", "expected one of 1, 2, got true"),
    (Level, 1.0, "x", "got the number 1.0"),
    (Level, "1", "x", "got the string '1'"),
    (Literal[1], True, "x", "got true"),
    (Literal[1], 1.0, "x", "got the number 1.0"),
    (Literal[True], 1, "x", "got 1"),
    (dt.datetime, 1700000000, "x", "expected an ISO 8601 date and time such as '2026-01-31T12:30:00Z', got 1700000000"),
    (dt.datetime, "1700000000", "x", "ISO 8601"),
    (dt.date, "2026-02-30", "x", "expected an ISO 8601 date, got the string '2026-02-30'"),
    (dt.timedelta, 5, "x", "ISO 8601 duration"),
    (uuid.UUID, "5", "x", "expected a UUID as a string"),
    (decimal.Decimal, True, "x", "decimal"),
    (Point, {"x": 1, "z": 2}, "x.z", "expected no field of this name, got one"),
    (Point, {"y": 1}, "x.x", "got nothing"),
    (Point, {"x": 1, "inner": {"x": "a"}}, "x.inner.x", "expected an integer, got the string 'a'"),
    (list[Item], [{"name": "a"}, {"name": 5}], "x[1].name", "expected a string, got 5"),
    (list[Item], [{"name": "a", "children": [{}]}], "x[0].children[0].name", "got nothing"),
    (Row, {"name": "a"}, "x.when", "got nothing"),
    (Row, {"name": "a", "when": "2026-01-31", "whem": 1}, "x.whem", "expected no field"),
    (int | list[int], "a", "x", "expected an integer or an array, got the string 'a'"),
    (int | list[int], ["a"], "x[0]", "expected an integer, got the string 'a'"),
    (Annotated[int, Constraint(ge=5)], 1, "x", "expected greater than or equal to 5, got 1"),
    (Annotated[float, Constraint(ge=0)], -1, "x", "expected greater than or equal to 0, got -1"),
    (Annotated[float, Constraint(allow_inf_nan=False)], "NaN", "x", "expected a number"),
]


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize(("annotation", "given_", "path", "text"), REFUSED, ids=lambda value: repr(value)[:40])
def test_refused(annotation, given_, path, text, form):
    found = _violations(_schema(annotation), {"x": given_}, form)
    assert list(found) == [path]
    assert text in found[path]


def test_non_finite_numbers_are_strings_in_json_and_native_in_msgpack():
    schema = _schema(list[float])
    assert schema.validate({"x": ["Infinity", "-Infinity", 1]}, "json")["x"] == [math.inf, -math.inf, 1.0]
    assert math.isnan(schema.validate({"x": ["NaN"]}, "json")["x"][0])
    assert math.isnan(schema.validate({"x": [math.nan]}, "msgpack")["x"][0])
    assert _violations(schema, {"x": ["NaN"]}, "msgpack") == {"x[0]": "expected a number, got the string 'NaN'"}
    assert _violations(schema, {"x": ["nan"]}) == {"x[0]": "expected a number, got the string 'nan'"}


def test_bytes_are_base64_in_json_and_native_in_msgpack():
    schema = _schema(bytes)
    for text in ("+/8=", "-_8="):
        assert schema.validate({"x": text}, "json") == {"x": b"\xfb\xff"}
    assert schema.validate({"x": b"\xfb\xff"}, "msgpack") == {"x": b"\xfb\xff"}
    assert schema.validate({"x": b"\xfb\xff"}, "json") == {"x": b"\xfb\xff"}  # a blob beside JSON
    assert _violations(schema, {"x": "+/8"}) == {"x": "expected base64 (RFC 4648, padded), got the string '+/8'"}
    assert _violations(schema, {"x": "+/8="}, "msgpack") == {"x": "expected binary data, got the string '+/8='"}


def test_every_field_gets_its_own_violation():
    schema = _schema(int, prompt=Field(annotation=str), items=Field(annotation=list[Item], default=[]))
    found = _violations(schema, {"promt": "hello", "x": "1", "items": [{"name": 1, "count": "2"}]})
    assert found == {
        "x": "expected an integer, got the string '1'",
        "prompt": "expected a string, got nothing",
        "items[0].name": "expected a string, got 1",
        "items[0].count": "expected an integer, got the string '2'",
        "promt": "expected no argument of this name, got one; did you mean 'prompt'?",
    }


def test_an_extra_argument_without_a_similar_one_lists_the_known():
    found = _violations(_schema(int), {"x": 1, "zebra": 2})
    assert found == {"zebra": "expected no argument of this name, got one (known: x)"}


def test_a_list_of_a_million_mistakes_is_one_violation():
    found = _violations(_schema(list[int]), {"x": ["a"] * 1_000_000})
    assert found == {"x[0]": "expected an integer, got the string 'a'"}


def test_violations_are_bounded():
    schema = _schema(dict[str, int])
    assert len(_violations(schema, {"x": {f"k{index}": "v" for index in range(200)}})) == 51
    many = _violations(schema, {"x": {f"k{index}": "v" for index in range(5000)}})
    assert many == {"": "expected values that fit the schema, got 5000 that do not"}
    long = _violations(_schema(int), {"x": "y" * 10_000_000})
    assert long == {"x": "expected an integer, got a string of 10000000 characters"}


def test_names_that_would_clash_elsewhere():
    names = ["model_config", "schema", "class", "self", "type", "default", "fields", "json", "__init__", "größe", "a b"]
    schema = ArgumentsSchema.of_fields("f", {name: Field(annotation=int) for name in names})
    arguments = {name: index for index, name in enumerate(names)}
    assert schema.validate(arguments, "json") == arguments
    assert set(_violations(schema, dict.fromkeys(names, "a"))) == {*names[:-1], "a b"}


def test_defaults_are_filled_in_and_published():
    schema = ArgumentsSchema.of_fields(
        "f",
        {
            "a": Field(annotation=int, default=3, description="how many"),
            "b": Field(annotation=Point | None, default=Point(1)),
            "c": Field(annotation=Any, default=object),
        },
    )
    assert schema.validate({}, "json") == {"a": 3, "b": Point(1), "c": object}
    assert schema.validate({"a": 4, "b": None, "c": 5}, "json") == {"a": 4, "b": None, "c": 5}
    properties = json.loads(schema.json_schema)["properties"]
    assert (properties["a"]["default"], properties["a"]["description"]) == (3, "how many")
    assert properties["b"]["default"] == {"x": 1, "y": 0.0, "inner": None}
    assert "default" not in properties["c"]


EXAMPLES = [
    *(annotation for annotation, _, _ in ACCEPTED),
    bytes,
    np.ndarray,
    npt.NDArray[np.uint8],
    npt.NDArray[np.bool_],
    Signal,
    Annotated[str, Constraint(pattern=r"^\d+$")],
    Annotated[str, Constraint(min_length=30, max_length=31)],
    Annotated[int, Constraint(gt=10, multiple_of=7)],
    Annotated[float, Constraint(gt=0, lt=0.001)],
    Annotated[list[int], Constraint(min_length=3)],
    Annotated[set[int], Constraint(min_length=3)],
]


@pytest.mark.parametrize("annotation", EXAMPLES, ids=repr)
def test_examples_validate(annotation):
    schema = _schema(annotation)
    example = json.loads(schema.example)
    assert set(schema.validate(example, "json")) == {"x"}
    published = json.loads(schema.json_schema)
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.validate(example, published)


def test_no_example_where_none_was_found():
    def refuse(value):
        raise ValueError("only a password will do")

    schema = _schema(Annotated[str, AfterValidator(refuse)])
    assert schema.example == ""
    assert _violations(schema, {"x": "a"}) == {"x": "only a password will do, got the string 'a'"}


@pytest.mark.parametrize("annotation", [type, Callable[[], int], json.JSONDecoder])
def test_types_that_can_not_travel_are_refused_when_built(annotation):
    with pytest.raises(UnsupportedType, match=r"^x: expected a type that can come over the wire"):
        _schema(annotation)


def test_json_schema_is_closed_and_tells_how_bytes_travel():
    published = json.loads(_schema(bytes).json_schema)
    assert published["additionalProperties"] is False
    assert published["required"] == ["x"]
    assert published["properties"]["x"]["contentEncoding"] == "base64"


# -- arrays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation", [np.ndarray, npt.NDArray[np.float32], npt.NDArray[np.floating], npt.NDArray[Any]]
)
def test_a_tensor_arrives_as_it_is(annotation):
    array = np.zeros(3, np.float32)
    assert _schema(annotation).validate({"x": array}, "json")["x"] is array


def test_dtypes_are_checked_everywhere():
    array = np.zeros(3, np.float64)
    expected = "expected a tensor or nested arrays of FP32, got a tensor of FP64"
    nested = _schema(dict[str, list[npt.NDArray[np.float32]]])
    assert _violations(nested, {"x": {"a": [array]}}) == {"x.a[0]": expected}
    assert _violations(_schema(Signal), {"x": {"samples": array, "rate": 1}}) == {"x.samples": expected}
    optional = _schema(npt.NDArray[np.float32] | None)
    assert optional.validate({"x": None}, "json") == {"x": None}
    assert _violations(optional, {"x": array}) == {"x": expected}


@pytest.mark.parametrize(
    ("annotation", "value", "dtype"),
    [
        (npt.NDArray[np.float32], [[1, 2.5], [3, 4]], "float32"),
        (npt.NDArray[np.float32], ["NaN", 1, "-Infinity"], "float32"),
        (npt.NDArray[np.uint8], [0, 255], "uint8"),
        (npt.NDArray[np.bool_], [True, False], "bool"),
        (npt.NDArray[np.floating], [1, 2], "float64"),
        (npt.NDArray[np.float16], [], "float16"),
        (np.ndarray, [1, 2], "int64"),
    ],
)
def test_lists_become_arrays(annotation, value, dtype):
    array = _schema(annotation).validate({"x": value}, "json")["x"]
    assert array.dtype == np.dtype(dtype)
    assert array.shape == np.shape(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (npt.NDArray[np.uint8], [256]),
        (npt.NDArray[np.uint8], [-1]),
        (npt.NDArray[np.int64], [1.0]),
        (npt.NDArray[np.int64], [2**64]),
        (npt.NDArray[np.float32], [1e300]),
        (npt.NDArray[np.float32], ["1"]),
        (npt.NDArray[np.float32], [True]),
        (npt.NDArray[np.float32], [[1], [1, 2]]),
        (npt.NDArray[np.float32], [None]),
        (npt.NDArray[np.bool_], [0, 1]),
        (np.ndarray, {"a": 1}),
        (np.ndarray, 5),
        (np.ndarray, [{}]),
    ],
)
def test_lists_that_would_change_are_refused(annotation, value):
    found = _violations(_schema(annotation), {"x": value})
    assert found["x"].startswith("expected a tensor or nested arrays of ")


# -- results ------------------------------------------------------------------------------------------------------

DUMPED = [
    (int, 5, 5),
    (float, 5, 5.0),
    (float, np.float32(1.5), 1.5),
    (list[int], [np.int64(1)], [1]),
    (dict[str, float], {"a": np.float64(1.5)}, {"a": 1.5}),
    (Point, Point(1, np.float32(2.5)), {"x": 1, "y": 2.5, "inner": None}),
    (Point, {"x": 1}, {"x": 1, "y": 0.0, "inner": None}),
    (list[Item], [Item(name="a")], [{"name": "a", "count": 1, "children": []}]),
    (tuple[int, str], (1, "a"), (1, "a")),
    (Colour, Colour.RED, Colour.RED),
    (Point | None, None, None),
    (type(None), None, None),
    (Any, {"a": (1,)}, {"a": (1,)}),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), DUMPED, ids=lambda value: repr(value)[:40])
def test_results(annotation, value, expected):
    assert ResultSchema.of_annotation(annotation).dump(value) == expected


BAD_RESULTS = [
    (int, "5", "result", "expected an integer, got the string '5'"),
    (int, 5.0, "result", "expected an integer, got the number 5.0"),
    (int, None, "result", "expected an integer, got null"),
    (None, 5, "result", "expected null, got 5"),
    (bytes, "text", "result", "expected binary data, got the string 'text'"),
    (list[int], [1, "a"], "result[1]", "expected an integer, got the string 'a'"),
    (Point, Point("one"), "result.x", "expected an integer, got the string 'one'"),
    (list[Item], [Item.model_construct(name=5)], "result[0].name", "expected a string, got 5"),
    (npt.NDArray[np.float32], np.zeros(1), "result", "got a tensor of FP64"),
]


@pytest.mark.parametrize(("annotation", "value", "path", "text"), BAD_RESULTS, ids=lambda value: repr(value)[:40])
def test_results_that_do_not_fit(annotation, value, path, text):
    with pytest.raises(ResultInvalid) as caught:
        ResultSchema.of_annotation(annotation).dump(value)
    assert dict(caught.value.violations).keys() == {path}
    assert text in str(caught.value)


def test_arrays_in_results_stay_arrays():
    dumped = ResultSchema.of_annotation(Signal).dump(Signal(np.zeros(2, np.float32), 8000))
    payload = codec.encode_value(dumped, "json")
    assert payload.json == '{"samples":{"$tensor":"t0"},"rate":8000}'
    assert payload.tensors[0].dtype == "FP32"


def test_an_instance_goes_there_and_back():
    point = Point(1, math.inf, Point(2))
    dumped = ResultSchema.of_annotation(Point).dump(point)
    for form in ("json", "msgpack"):
        arguments, _ = codec.decode_arguments(codec.encode_value({"x": dumped}, form))
        assert _schema(Point).validate(arguments, form) == {"x": point}


Nested = TypeAliasType("Nested", "list[float | Nested]")
RECURSIVE = ArgumentsSchema.of_fields("f", {"x": Field(annotation=Nested)})


@given(st.recursive(st.floats(allow_nan=False), st.lists, max_leaves=10).filter(lambda value: isinstance(value, list)))
@settings(deadline=None)
def test_floats_survive_json_through_a_recursive_annotation(value):
    arguments, _ = codec.decode_arguments(codec.encode_value({"x": value}, "json"))
    assert repr(RECURSIVE.validate(arguments, "json")["x"]) == repr(value)


class Tree(BaseModel):
    leaves: list["Tree | float"]


def test_recursive_models_are_bounded():
    deep: Any = {"leaves": []}
    for _ in range(190):
        deep = {"leaves": [deep]}
    assert isinstance(_schema(Tree).validate({"x": deep}, "json")["x"], Tree)
    endless: dict = {"leaves": []}
    endless["leaves"].append(endless)
    assert _violations(_schema(Tree), {"x": endless})
