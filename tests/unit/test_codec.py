"""The codec: round trips, hostile requests, results that can not travel."""

import dataclasses
import datetime as dt
import enum
import math
import struct
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from bridge.v1 import common_pb2
from handlers import codec
from handlers.errors import BadInput, ResultInvalid
from handlers.values.tensors import DTYPES

Payload, Tensor, Blob = common_pb2.Payload, common_pb2.Tensor, common_pb2.Blob

_text = st.text(st.characters(exclude_categories=["Cs"]))
_json_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text
_packed_leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | _text | st.binary()
)


def _nested(leaves):
    # A dict of the single key $tensor or $blob is a reference by definition.
    keys = _text.filter(lambda key: key not in ("$tensor", "$blob"))
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)


def _wire(payload):
    return Payload.FromString(payload.SerializeToString())


@given(_nested(_json_leaves))
@settings(deadline=None)
def test_json_round_trip(value):
    back = codec.decode_value(_wire(codec.encode_value(value, "json")))
    assert back == value
    assert repr(back) == repr(value)  # tells 1 from 1.0 and True, and -0.0 from 0.0


@given(_nested(_packed_leaves))
@settings(deadline=None)
def test_msgpack_round_trip(value):
    back = codec.decode_value(_wire(codec.encode_value(value, "msgpack")))
    assert repr(back) == repr(value)


@given(st.dictionaries(_text.filter(lambda key: key not in ("$tensor", "$blob")), _nested(_packed_leaves)))
@settings(deadline=None)
def test_arguments_round_trip(arguments):
    assert codec.decode_arguments(_wire(codec.encode_value(arguments, "msgpack"))) == (arguments, "msgpack")


@given(st.binary())
@settings(deadline=None)
def test_raw_round_trip(data):
    assert codec.decode_arguments(_wire(codec.encode_value(data, "raw"))) == (data, "raw")


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_tensor_round_trip(form, dtype, data):
    shape = data.draw(st.lists(st.integers(0, 4), max_size=4))
    numpy_name, size = DTYPES[dtype]
    count = math.prod(shape)
    raw = data.draw(st.binary(min_size=count * size, max_size=count * size))
    if dtype == "BOOL":
        raw = bytes(byte & 1 for byte in raw)
    array = np.frombuffer(raw, dtype=numpy_name).reshape(shape)
    payload = _wire(codec.encode_value({"x": [array]}, form))
    assert (payload.tensors[0].dtype, list(payload.tensors[0].shape)) == (dtype, shape)
    back = codec.decode_value(payload)["x"][0]
    assert back.dtype == array.dtype
    assert back.tobytes() == raw  # bit by bit: NaN payloads, -0.0 and denormals too
    assert not back.flags.writeable
    assert not back.flags.owndata


def test_big_endian_and_strided_arrays_are_sent_little_and_dense():
    array = np.arange(6, dtype=">i4").reshape(2, 3)[:, ::-1]
    payload = codec.encode_value(array, "msgpack")
    assert payload.tensors[0].data == struct.pack("<6i", 2, 1, 0, 5, 4, 3)
    assert codec.decode_value(payload).tolist() == array.tolist()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.nan, '"NaN"'),
        ([math.inf, None, -math.inf], '["Infinity",null,"-Infinity"]'),
        ({"a": [np.float32("nan")]}, '{"a":["NaN"]}'),
        (-0.0, "-0.0"),
        (2**53 + 1, "9007199254740993"),
        (-(10**40), "-" + "1" + "0" * 40),
        (b"\xfb\xff", '"+/8="'),
        ("\u2028\0\U0001f600", '"\u2028\\u0000\U0001f600"'),
        (dt.datetime(2026, 1, 31, tzinfo=dt.UTC), '"2026-01-31T00:00:00Z"'),
        (np.int64(7), "7"),
        (np.bool_(True), "true"),
        ({1: "a"}, '{"1":"a"}'),
        ((1, 2), "[1,2]"),
    ],
)
def test_json_text(value, text):
    assert codec.encode_value(value, "json").json == text


class _Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class _Point:
    x: int
    when: dt.date
    data: bytes


class _Model(BaseModel):
    colour: _Colour
    score: float


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_objects_become_plain(form):
    value = [_Point(1, dt.date(2026, 1, 31), b"x"), _Model(colour=_Colour.RED, score=math.inf), {1}, range(2)]
    json = form == "json"
    point = {"x": 1, "when": "2026-01-31", "data": "eA==" if json else b"x"}
    model = {"colour": "red", "score": "Infinity" if json else math.inf}
    assert codec.decode_value(codec.encode_value(value, form)) == [point, model, [1], [0, 1]]


def test_dates_are_strings_in_msgpack_too():
    value = {"at": dt.datetime(2026, 1, 31, tzinfo=dt.UTC), "not_a_date": b"\xd6\xff\0\0"}
    expected = {"at": "2026-01-31T00:00:00Z", "not_a_date": b"\xd6\xff\0\0"}
    assert codec.decode_value(codec.encode_value(value, "msgpack")) == expected


def test_a_timestamp_in_a_request_is_a_datetime():
    packed = msgspec.msgpack.encode({"at": dt.datetime(2026, 1, 31, tzinfo=dt.UTC)})
    assert codec.decode_arguments(Payload(msgpack=packed))[0] == {"at": dt.datetime(2026, 1, 31, tzinfo=dt.UTC)}


def test_of_two_equal_keys_the_last_wins():
    assert codec.decode_arguments(Payload(json='{"a":1,"a":2}'))[0] == {"a": 2}


@pytest.mark.parametrize("payload", [Payload(), Payload(json=""), Payload(msgpack=b""), Payload(json="{}")])
def test_no_arguments(payload):
    assert codec.decode_arguments(payload)[0] == {}
    assert codec.decode_value(Payload()) is None


def test_what_is_not_bytes_leaves_raw_as_msgpack():
    assert codec.encode_value({"a": 1}, "raw").WhichOneof("body") == "msgpack"
    assert codec.encode_value(bytearray(b"x"), "raw").raw == b"x"


def _f32(**changes):
    return Tensor(**{"name": "x", "dtype": "FP32", "shape": [2], "data": bytes(8)} | changes)


def _packed_depth(levels):
    return b"\x81\xa1a" + b"\x91" * levels + b"\xc0"


HOSTILE = {
    "null": (Payload(json="null"), "arguments", "got null"),
    "array": (Payload(json="[1]"), "arguments", "got an array"),
    "cut": (Payload(json='{"a":'), "json", "truncated"),
    "two values": (Payload(json="{}{}"), "json", "trailing"),
    "NaN literal": (Payload(json='{"a":NaN}'), "json", "invalid character"),
    "Infinity literal": (Payload(json='{"a":-Infinity}'), "json", "invalid"),
    "number too large": (Payload(json='{"a":1e1000}'), "json", "out of range"),
    "integer too long": (Payload(json='{"a":' + "1" * 5000 + "}"), "json", "out of range"),
    "lone surrogate": (Payload(json='{"a":"\\ud800"}'), "json", "expected valid JSON"),
    "lone surrogate inside": (Payload(json='{"a":"\\ud800 and so on"}'), "json", "expected valid JSON"),
    "single quotes": (Payload(json="{'a':1}"), "json", "expected valid JSON"),
    "comment": (Payload(json="{/**/}"), "json", "expected valid JSON"),
    "depth 201": (Payload(json='{"a":' + "[" * 200 + "]" * 200 + "}"), "json", "200 levels"),
    "depth 100,000 of arrays": (Payload(json='{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "json", "200 levels"),
    "depth 100,000 of objects": (Payload(json='{"a":' * 100_000), "json", "200 levels"),
    "packed depth 201": (Payload(msgpack=_packed_depth(200)), "msgpack", "200 levels"),
    "packed depth 100,000": (Payload(msgpack=_packed_depth(100_000)), "msgpack", "200 levels"),
    "packed deep keys": (Payload(msgpack=b"\x81" + b"\x91" * 100_000 + b"\xc0\xc0"), "msgpack", "200 levels"),
    "packed integer key": (Payload(msgpack=b"\x81\x01\x02"), "arguments", "keys that are strings"),
    "packed array": (Payload(msgpack=b"\x90"), "arguments", "got an array"),
    "packed bad opcode": (Payload(msgpack=b"\xc1"), "msgpack", "malformed"),
    "packed cut": (Payload(msgpack=b"\x81\xa1a"), "msgpack", "truncated"),
    "packed rest": (Payload(msgpack=b"\x80\x80"), "msgpack", "trailing"),
    "packed huge map": (Payload(msgpack=b"\xdf\xff\xff\xff\xff"), "msgpack", "truncated"),
    "packed huge array": (Payload(msgpack=b"\x81\xa1a\xdd\xff\xff\xff\xff"), "msgpack", "truncated"),
    "packed huge string": (Payload(msgpack=b"\x81\xa1a\xdb\xff\xff\xff\xff"), "msgpack", "truncated"),
    "packed bad UTF-8": (Payload(msgpack=b"\x81\xa1a\xa1\xff"), "msgpack", "utf-8"),
    "packed unhashable key": (Payload(msgpack=b"\x81\x80\x01"), "msgpack", "hashable"),
    "packed extension": (Payload(msgpack=b"\x81\xa1a\xd4\x05\x00"), "msgpack", "extension type 5"),
    "shape too small": (Payload(tensors=[_f32(shape=[1])]), 'tensors["x"].data', "expected 4 bytes"),
    "shape too large": (Payload(tensors=[_f32(shape=[3])]), 'tensors["x"].data', "expected 12 bytes"),
    "scalar with too much": (Payload(tensors=[_f32(shape=[])]), 'tensors["x"].data', "expected 4 bytes"),
    "shape overflow": (Payload(tensors=[_f32(shape=[2**40, 2**40])]), 'tensors["x"].data', "got 8 bytes"),
    "shape wraps to the right size": (Payload(tensors=[_f32(shape=[2**62, 4, 2])]), 'tensors["x"].data', "got 8"),
    "negative": (Payload(tensors=[_f32(shape=[-1, -2])]), 'tensors["x"].shape', "got -1"),
    "empty and huge": (Payload(tensors=[_f32(shape=[0, 2**62, 2**62], data=b"")]), 'tensors["x"].shape', "numpy"),
    "33 dimensions": (Payload(tensors=[_f32(shape=[1] * 33)]), 'tensors["x"].shape', "32 dimensions"),
    "unknown dtype": (Payload(tensors=[_f32(dtype="float32")]), 'tensors["x"].dtype', "got 'float32'"),
    "no dtype": (Payload(tensors=[_f32(dtype="")]), 'tensors["x"].dtype', "got ''"),
    "object dtype": (Payload(tensors=[_f32(dtype="O")]), 'tensors["x"].dtype', "got 'O'"),
    "bool of 2": (Payload(tensors=[_f32(dtype="BOOL", data=b"\1\2")]), 'tensors["x"].data', "bytes 0 or 1"),
    "one name twice": (Payload(tensors=[_f32(), _f32()]), "tensors", "one name twice"),
    "no name": (Payload(blobs=[Blob(data=b"x")]), "blobs", "empty"),
    "tensor and argument": (Payload(json='{"x":1}', tensors=[_f32()]), 'tensors["x"]', "an argument of its name"),
    "unknown tensor": (Payload(json='{"a":[{"$tensor":"y"}]}', tensors=[_f32()]), "a[0]", "there: x"),
    "unknown blob": (Payload(json='{"a":{"$blob":"x"}}'), "a", "there: none"),
    "reference to a number": (Payload(msgpack=b"\x81\xa1a\x81\xa7$tensor\x05"), "a", "got an integer"),
    "raw and tensor": (Payload(raw=b"x", tensors=[_f32()]), "raw", "raw bytes alone"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_requests_are_bad_input(case):
    payload, path, text = HOSTILE[case]
    with pytest.raises(BadInput) as caught:
        codec.decode_arguments(payload)
    assert [violation[0] for violation in caught.value.violations] == [path]
    assert text in caught.value.violations[0][1]
    assert len(str(caught.value)) < 1000


def test_200_levels_are_fine():
    deep = codec.decode_arguments(Payload(json='{"a":' + "[" * 199 + "]" * 199 + "}"))[0]
    assert codec.decode_arguments(codec.encode_value(deep, "msgpack"))[0] == deep


def test_wide_is_not_deep():
    wide = {"a": [[{}, []] for _ in range(1000)]}
    for form in ("json", "msgpack"):
        assert codec.decode_arguments(codec.encode_value(wide, form))[0] == wide


@given(st.binary())
@settings(deadline=None)
def test_any_msgpack_bytes_decode_or_are_bad_input(data):
    try:
        arguments, _ = codec.decode_arguments(Payload(msgpack=data))
    except BadInput:
        return
    assert isinstance(arguments, dict)


@given(st.text(alphabet='{}[]",:0123456789.eE+-\\utrfalsn$ob '))
@settings(deadline=None)
def test_any_json_text_decodes_or_is_bad_input(text):
    try:
        arguments, _ = codec.decode_arguments(Payload(json=text))
    except BadInput:
        return
    assert isinstance(arguments, dict)


def test_references_are_resolved_wherever_they_are():
    payload = Payload(
        json='{"a":{"b":[{"$tensor":"x"},{"$blob":"y"},{"$blob":"y","more":1}]}}',
        tensors=[_f32(), _f32(name="unreferenced", shape=[], data=bytes(4))],
        blobs=[Blob(name="y", data=b"blob"), Blob(name="z", data=b"")],
    )
    arguments, _ = codec.decode_arguments(payload)
    assert set(arguments) == {"a", "unreferenced", "z"}
    array, blob, plain = arguments["a"]["b"]
    assert array.tolist() == [0.0, 0.0]
    assert (blob, plain) == (b"blob", {"$blob": "y", "more": 1})
    assert arguments["unreferenced"].shape == ()
    assert arguments["z"] == b""


class _Hostile:
    def __repr__(self):
        raise RuntimeError("never ask me")


_cycle: list = []
_cycle.append(_cycle)

UNSENDABLE = {
    "object": (_Hostile(), "_Hostile"),
    "in a list": ([{"a": _Hostile()}], "_Hostile"),
    "generator": ((x for x in [1]), "iterator"),
    "cycle": (_cycle, "cycles"),
    "surrogate": ("\ud800", "surrogate"),
    "text array": (np.array(["a"]), "dtype"),
    "object array": (np.array([None]), "dtype"),
    "class": (dict, "type"),
    "function": (len, "builtin"),
}


@pytest.mark.parametrize("form", ["json", "msgpack", "raw"])
@pytest.mark.parametrize("case", UNSENDABLE)
def test_unsendable_results(case, form):
    value, text = UNSENDABLE[case]
    with pytest.raises(ResultInvalid, match=text):
        codec.encode_value(value, form)


def test_integers_beyond_64_bits_are_exact_in_json_and_refused_in_msgpack():
    for value in (2**64, -(2**63) - 1):
        assert codec.decode_value(codec.encode_value(value, "json")) == value
        with pytest.raises(ResultInvalid, match="64 bits"):
            codec.encode_value(value, "msgpack")
    for value in (2**64 - 1, -(2**63)):
        assert codec.decode_value(codec.encode_value(value, "msgpack")) == value


def test_numpy_is_not_imported_without_a_tensor():
    code = (
        "import sys; from handlers import codec; from bridge.v1 import common_pb2\n"
        "codec.decode_arguments(common_pb2.Payload(json='{\"a\":[1.5,null]}')); codec.encode_value([1, None], 'json')\n"
        "assert not {'numpy', 'pydantic'} & set(sys.modules), 'too much imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
