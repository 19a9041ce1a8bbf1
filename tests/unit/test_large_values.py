"""Large requests read without copies, and responses written with one: the same as protobuf has it, in every case."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.v1 import common_pb2, invoke_pb2
from handlers import codec
from handlers.values.large import read_arguments

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
TENSOR = common_pb2.Tensor(name="x", dtype="FP32", shape=[2, 3, 4], data=ARRAY.tobytes())
BLOB = common_pb2.Blob(name="b", media_type="image/png", data=b"\x00\xff" * 9)

payloads = st.builds(
    common_pb2.Payload,
    tensors=st.lists(
        st.builds(
            common_pb2.Tensor,
            name=st.text(max_size=200),
            dtype=st.sampled_from(["FP32", "INT8", ""]),
            shape=st.lists(st.integers(0, 2**63 - 1), max_size=3),
            data=st.binary(max_size=300),
        ),
        max_size=3,
    ),
    blobs=st.lists(st.builds(common_pb2.Blob, name=st.text(max_size=5), data=st.binary(max_size=300)), max_size=3),
)


def bodied(payload: common_pb2.Payload, form: str, body: bytes) -> common_pb2.Payload:
    if form:
        setattr(payload, form, body.hex() if form == "json" else body)
    return payload


def request(payload: common_pb2.Payload) -> bytes:
    return invoke_pb2.CallRequest(function="f", arguments=payload).SerializeToString()


def rebuilt(data: bytes) -> common_pb2.Payload | None:
    """What was read, as a protobuf message again."""
    found = read_arguments(data)
    if found is None:
        return None
    payload = common_pb2.Payload(
        tensors=[
            common_pb2.Tensor(name=one.name, dtype=one.dtype, shape=one.shape, data=bytes(one.data))
            for one in found.tensors
        ],
        blobs=[common_pb2.Blob(name=one.name, media_type=one.media_type, data=one.data) for one in found.blobs],
    )
    if found.body is not None:
        setattr(payload, found.body, getattr(found, found.body))
    return payload


@given(payload=payloads, form=st.sampled_from(["", "json", "msgpack", "raw"]), body=st.binary(max_size=300))
def test_what_is_read_is_what_was_sent(payload: common_pb2.Payload, form: str, body: bytes) -> None:
    payload = bodied(payload, form, body)
    assert rebuilt(request(payload)) == payload


@given(data=st.binary(max_size=200))
def test_whatever_is_read_protobuf_reads_as_well(data: bytes) -> None:
    payload = rebuilt(b"\x12" + bytes([len(data)]) + data) if len(data) < 128 else None
    if payload is not None:
        assert common_pb2.Payload.FromString(data) == payload


@pytest.mark.parametrize(
    "data",
    [
        request(common_pb2.Payload(raw=b"a")) + request(common_pb2.Payload(raw=b"b")),
        request(common_pb2.Payload(raw=b"abc"))[:-1],
        b"\x12\x02\x0a\x80",
        b"\x12\x04\x0a\x00\x12\x00",
        b"\x10\x01",
        b"\x0b\x0c",
        b"\x12\x03\x0a\x01\xff",
        b"\x12\x05\x22\x03\x0a\x01\xff",
        b"",
    ],
    ids=["twice", "short", "open number", "two bodies", "no message", "a group", "no text", "no name", "nothing"],
)
def test_what_is_unusual_is_left_to_protobuf(data: bytes) -> None:
    assert read_arguments(data) is None


def test_an_array_is_a_view_of_the_request() -> None:
    data = request(common_pb2.Payload(msgpack=b"\x80", tensors=[TENSOR]))
    found = read_arguments(data)
    assert found is not None
    arguments, form = codec.decode_arguments(found)
    assert isinstance(arguments, dict)
    array = arguments["x"]
    assert form == "msgpack"
    assert np.array_equal(array, ARRAY)
    assert not array.flags.writeable
    at = np.frombuffer(data, np.uint8).ctypes.data
    assert at <= array.ctypes.data < at + len(data)


def test_a_blob_arrives_as_bytes() -> None:
    found = read_arguments(request(common_pb2.Payload(json='{"y": {"$blob": "b"}}', blobs=[BLOB])))
    assert found is not None
    assert codec.decode_arguments(found) == ({"y": BLOB.data}, "json")


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (1,), (2, 3, 4), (70000,)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "|b1", "<i8"])
def test_arrays_come_back_as_they_were(shape: tuple[int, ...], dtype: str) -> None:
    array = np.ones(shape, dtype)
    back = codec.decode_value(codec.encode_value({"a": array, "b": array.T}, "msgpack"))
    assert back["a"].shape == array.shape
    assert np.array_equal(back["a"], array)
    assert np.array_equal(back["b"], array.T)


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 16383, 16384, 1 << 21])
@pytest.mark.parametrize("form", ["json", "msgpack", "raw"])
def test_responses_are_what_protobuf_writes(size: int, form: codec.Form) -> None:
    value = "x" * size if form == "json" else b"x" * size
    data = codec.encode_response(value, form)
    response = invoke_pb2.CallResponse.FromString(data)
    assert response.SerializeToString() == data
    assert codec.decode_value(response.result) == value
    assert invoke_pb2.StreamCallResponse.FromString(data).item == response.result
