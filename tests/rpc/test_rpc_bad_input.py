"""Strange and hostile values over the wire: they come back as they went, or are refused; no worker dies of one."""

import json

import grpc
import msgspec
import pytest

from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import Payload, Tensor

Code = grpc.StatusCode
APP = """
from collections.abc import Iterator
from typing import Any

import numpy

def text(value: str) -> str:
    return value

def number(value: int) -> int:
    return value

def real(value: float) -> float:
    return value

def anything(value: Any) -> Any:
    return value

def total(value: numpy.ndarray) -> float:
    return float(value.sum())

class Hostile:
    def __repr__(self) -> str:
        raise SystemExit(9)
    __str__ = __repr__

def returns(how: str) -> Any:
    loop: list[Any] = []
    loop.append(loop)
    values = {
        "none": None, "hostile": Hostile(), "generator": (one for one in range(3)), "lambda": len, "set of": {Hostile},
        "loop": loop, "surrogate": "\\ud800", "deep": None, "class": Hostile, "module": numpy, "key": {Hostile(): 1},
    }
    if how == "deep":
        deep: Any = 0
        for _ in range(100_000):
            deep = [deep]
        return deep
    return values[how]

def annotated(how: str) -> int:
    return returns(how)
"""
CONFIG = """
[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def serving(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def client(serving, connect):
    """Its worker is the same at the end of the test."""
    made = connect(serving.address)
    before = made.workers("general")
    yield made
    assert made.workers("general") == before
    assert made.call("number", value=1).value == 1
    assert "failed inside the bridge" not in serving.stderr.text


def object_of(text):
    """Arguments with one value, which need not be JSON."""
    return '{"value": ' + text + "}"


def call(client, function, body, form="json"):
    payload = Payload(json=body) if form == "json" else Payload(msgpack=body)
    return client.unary(
        "InvokeService/Call", invoke_pb2.CallRequest(function=function, arguments=payload), invoke_pb2.CallResponse
    )


TEXTS = {
    "nul": "a\x00b",
    "line separators": "a\u2028b\u2029c\x85",
    "right to left": "\u202eabc\u202c",
    "emoji": "\U0001f469\u200d\U0001f52c",
    "not normalised": "e\u0301 \u00e9 \u212b \u00c5",
    "markup": "<script>'; drop table x; --%2e%2e/../",
    "empty": "",
    "ten megabytes": "\u00e4" * 5_000_000,
}


@pytest.mark.parametrize("which", TEXTS)
def test_texts_come_back_as_they_went(client, which):
    text = TEXTS[which]
    reply = call(client, "text", json.dumps({"value": text}))
    assert json.loads(reply.value.result.json) == text
    reply = call(client, "text", msgspec.msgpack.encode({"value": text}), "msgpack")
    assert msgspec.msgpack.decode(reply.value.result.msgpack) == text


def test_bytes_that_are_no_utf8_are_refused(client):
    request = invoke_pb2.CallRequest(function="text", arguments=Payload(json='{"value": "????"}')).SerializeToString()
    outcome = client.unary("InvokeService/Call", request.replace(b"????", b"\xff\xfe\xed\xa0"), invoke_pb2.CallResponse)
    assert outcome.code is Code.INVALID_ARGUMENT


NUMBERS = {
    "2^53+1": ("number", "9007199254740993"),
    "2^63-1": ("number", "9223372036854775807"),
    "-2^63": ("number", "-9223372036854775808"),
    "2^63": ("number", "9223372036854775808"),
    "large": ("number", "1" + "0" * 400),
    "-0.0": ("real", "-0.0"),
    "1e308": ("real", "1e308"),
    "denormal": ("real", "5e-324"),
    "nan": ("real", '"NaN"'),
    "infinity": ("real", '"-Infinity"'),
}


@pytest.mark.parametrize("which", NUMBERS)
def test_numbers_are_exact(client, which):
    function, text = NUMBERS[which]
    assert call(client, function, object_of(text)).value.result.json == text


REFUSED = {
    "10^5000": ("number", "1" + "0" * 5000),
    "text for a number": ("number", '"5"'),
    "a fraction for a whole number": ("number", "5.5"),
    "a bool for a number": ("number", "true"),
    "bare NaN": ("real", "NaN"),
    "bare Infinity": ("real", "Infinity"),
    "1e1000": ("real", "1e1000"),
    "null": ("number", "null"),
    "a list": ("number", "[1]"),
    "a lone surrogate": ("text", '"\\ud800"'),
    "a text that does not end": ("text", '"abc'),
    "1,000 levels": ("anything", "[" * 1000 + "]" * 1000),
    "100,000 levels": ("anything", "[" * 100_000 + "]" * 100_000),
    "100,000 levels without an end": ("anything", '{"a":' * 100_000),
    "a missing tensor": ("total", '{"$tensor": "none"}'),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_does_not_fit_is_refused_with_its_field(client, which):
    function, text = REFUSED[which]
    outcome = call(client, function, object_of(text))
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert outcome.violations


TENSORS = {
    "too few bytes": Tensor(name="t", dtype="FP64", shape=[4], data=bytes(8)),
    "too many bytes": Tensor(name="t", dtype="FP64", shape=[1], data=bytes(80)),
    "negative": Tensor(name="t", dtype="FP64", shape=[-1], data=bytes(8)),
    "overflow": Tensor(name="t", dtype="FP64", shape=[1 << 40, 1 << 40], data=bytes(8)),
    "overflow to nothing": Tensor(name="t", dtype="FP64", shape=[1 << 32, 1 << 32], data=b""),
    "a million dimensions": Tensor(name="t", dtype="FP64", shape=[1] * 100_000, data=bytes(8)),
    "unknown dtype": Tensor(name="t", dtype="FP65", shape=[1], data=bytes(8)),
    "objects": Tensor(name="t", dtype="object", shape=[1], data=bytes(8)),
    "big endian": Tensor(name="t", dtype=">f8", shape=[1], data=bytes(8)),
}


@pytest.mark.parametrize("which", TENSORS)
def test_tensors_that_can_not_be_are_refused_before_they_are_made(client, which):
    payload = Payload(json='{"value": {"$tensor": "t"}}', tensors=[TENSORS[which]])
    request = invoke_pb2.CallRequest(function="total", arguments=payload)
    outcome = client.unary("InvokeService/Call", request, invoke_pb2.CallResponse)
    assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")


def test_a_tensor_of_nothing_is_nothing(client):
    payload = Payload(json='{"value": {"$tensor": "t"}}', tensors=[Tensor(name="t", dtype="FP64", shape=[0, 3])])
    request = invoke_pb2.CallRequest(function="total", arguments=payload)
    assert client.unary("InvokeService/Call", request, invoke_pb2.CallResponse).value.result.json == "0.0"


@pytest.mark.parametrize(
    "how", ["hostile", "generator", "lambda", "set of", "loop", "surrogate", "deep", "class", "module", "key"]
)
def test_results_that_can_not_travel_are_a_fault_of_the_function(client, how):
    for function in ("returns", "annotated"):
        outcome = client.call(function, how=how)
        assert (outcome.code, outcome.reason) == (Code.INTERNAL, "RESULT_INVALID"), function
        assert "Traceback" not in outcome.message
        assert sum(len(key) + len(value) for key, value in outcome.trailers.items()) < 8192


def test_none_where_a_number_was_promised(client):
    assert client.call("returns", how="none").value is None
    assert client.call("annotated", how="none").reason == "RESULT_INVALID"
