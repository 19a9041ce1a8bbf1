"""Python values to payloads and back."""

import dataclasses
import datetime
import decimal
import enum
import math
import subprocess
import sys
import uuid

import msgspec
import numpy as np
import pydantic
import pytest
from bridge_client import Tensor, UnexpectedReply
from bridge_client.v1 import common_pb2
from bridge_client.values import decode_value, encode_arguments


def round_trip(value):
    return decode_value(encode_arguments({"value": value}))["value"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        1.5,
        math.inf,
        -math.inf,
        "grüße",
        "",
        b"\x00\xff",
        [],
        [1, [2]],
        {"a": {"b": 1}},
    ],
    ids=repr,
)
def test_plain_values_come_back_the_same(value):
    assert round_trip(value) == value
    assert type(round_trip(value)) is type(value)


def test_nan_comes_back():
    assert math.isnan(round_trip(math.nan))


@dataclasses.dataclass
class Point:
    x: int
    y: float


class Ticket(pydantic.BaseModel):
    title: str
    points: list[float] = []


class Colour(enum.Enum):
    RED = "red"


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (Ticket(title="t", points=[1.0]), {"title": "t", "points": [1.0]}),
        ([Ticket(title="t")], [{"title": "t", "points": []}]),
        (Colour.RED, "red"),
        (Name("n"), "n"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (decimal.Decimal("1.10"), "1.10"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (np.float32(0.5), 0.5),
        (np.float64(0.25), 0.25),
        (np.int64(7), 7),
        (np.bool_(True), True),
    ],
    ids=repr,
)
def test_richer_values_are_sent_as_plain_ones(value, sent):
    assert round_trip(value) == sent


def test_a_value_that_can_not_be_sent_is_named():
    with pytest.raises(TypeError, match="a value of type object can not be sent"):
        encode_arguments({"value": object()})


def test_an_integer_of_more_than_64_bits_is_refused():
    with pytest.raises(TypeError, match="got a larger one"):
        encode_arguments({"value": 2**64})


@pytest.mark.parametrize(
    "dtype",
    ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64"],
)
def test_arrays_travel_as_tensors(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    payload = encode_arguments({"value": array})
    assert payload.tensors[0].data == array.tobytes()
    assert tuple(payload.tensors[0].shape) == (2, 3)
    back = decode_value(payload)["value"]
    assert back.dtype == array.dtype
    assert (back == array).all()
    back[0, 0] = 1  # writable


def test_arrays_may_be_nested_scalar_sliced_and_big_endian():
    scalar, column = np.array(3.5), np.arange(6).reshape(2, 3)[:, 1]
    back = round_trip({"deep": [scalar, column, np.array([1, 2], dtype=">i4")]})["deep"]
    assert back[0].shape == ()
    assert back[0] == 3.5
    assert back[1].tolist() == [1, 4]
    assert back[2].tolist() == [1, 2]


def test_a_tensors_name_is_never_a_parameters_name():
    payload = encode_arguments({"value": np.zeros(1), "other": np.ones(1)})
    names = [tensor.name for tensor in payload.tensors]
    assert len(set(names)) == 2
    assert not any(name.isidentifier() for name in names)


def test_cycles_are_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="without cycles"):
        encode_arguments({"value": endless})


def test_an_array_of_objects_is_refused():
    with pytest.raises(TypeError, match="got object; convert it with astype"):
        encode_arguments({"value": np.array([object()])})


def test_tensor_without_numpy():
    tensor = Tensor(dtype="INT16", shape=(2, 1, 2), data=np.arange(4, dtype="<i2").tobytes())
    assert tensor.tolist() == [[[0, 1]], [[2, 3]]]
    assert Tensor(dtype="FP32", shape=(), data=np.float32(1.5).tobytes()).tolist() == 1.5
    assert Tensor(dtype="FP32", shape=(0, 3), data=b"").tolist() == []
    assert round_trip(tensor).tolist() == tensor.tolist()


@pytest.mark.parametrize(
    ("dtype", "shape", "data", "message"),
    [
        ("FP8", (1,), b"1", "expected a dtype of BOOL"),
        ("INT32", (2,), b"1234", "expected 8 bytes for INT32"),
        ("INT32", (-1,), b"", "expected no negative length"),
    ],
)
def test_a_tensor_must_be_consistent(dtype, shape, data, message):
    with pytest.raises(ValueError, match=message):
        Tensor(dtype=dtype, shape=shape, data=data)


def test_tensors_of_a_reply_need_no_numpy():
    script = (
        "import sys; sys.modules['numpy'] = None\n"
        "from bridge_client.values import decode_value\n"
        "from bridge_client.v1 import common_pb2\n"
        "import msgspec\n"
        "tensor = common_pb2.Tensor(name='t', dtype='UINT8', shape=[2], data=bytes([1, 2]))\n"
        "body = msgspec.msgpack.encode({'$tensor': 't'})\n"
        "print(decode_value(common_pb2.Payload(msgpack=body, tensors=[tensor])).tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[1, 2]", done.stderr


def test_replies_in_every_form():
    assert decode_value(common_pb2.Payload()) is None
    assert decode_value(common_pb2.Payload(msgpack=b"")) is None
    assert decode_value(common_pb2.Payload(raw=b"x")) == b"x"
    assert decode_value(common_pb2.Payload(json='{"a": [1, null]}')) == {"a": [1, None]}
    blob = common_pb2.Blob(name="picture", media_type="image/png", data=b"png")
    body = msgspec.msgpack.encode({"image": {"$blob": "picture"}, "n": 1})
    assert decode_value(common_pb2.Payload(msgpack=body, blobs=[blob])) == {"image": b"png", "n": 1}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (common_pb2.Payload(msgpack=b"\xc1"), "expected a msgpack value"),
        (common_pb2.Payload(json="{"), "expected a json value"),
        (
            common_pb2.Payload(json='{"$tensor": "a"}', blobs=[common_pb2.Blob(name="a")]),
            r"refers to \$tensor 'a' but carries none",
        ),
        (
            common_pb2.Payload(json="1", tensors=[common_pb2.Tensor(name="a", dtype="FP32", shape=[3])]),
            "tensor 'a' is malformed: expected 12 bytes",
        ),
    ],
)
def test_malformed_replies_are_unexpected(payload, message):
    with pytest.raises(UnexpectedReply, match=message):
        decode_value(payload)
