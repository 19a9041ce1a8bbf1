"""The name of a request is read without parsing it, and is always the one that a full parse gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.envelope import first_name
from bridge.errors import BridgeError
from bridge.resolve import FORWARDED
from bridge.v1 import invoke_pb2, metric_pb2, program_pb2
from bridge.v1.common_pb2 import Payload

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
NAMED = [rule for rule in FORWARDED.values() if rule.message is not None]
PAYLOADS = st.builds(Payload, json=TEXT) | st.builds(Payload, msgpack=st.binary(max_size=300)) | st.just(Payload())
CALLS = st.builds(invoke_pb2.CallRequest, function=TEXT, arguments=PAYLOADS)
SCORES = st.builds(
    metric_pb2.ScoreRequest,
    metric=TEXT,
    example=st.builds(metric_pb2.ScoredExample, prediction=TEXT),
    parameters=TEXT,
)


def parts(message) -> list[bytes]:
    """The message field by field, each as a message of its own: any order of them joined is the same message."""
    found = []
    for descriptor, _ in message.ListFields():
        single = type(message)()
        if descriptor.is_repeated:
            getattr(single, descriptor.name).MergeFrom(getattr(message, descriptor.name))
        elif descriptor.message_type:
            getattr(single, descriptor.name).CopyFrom(getattr(message, descriptor.name))
        else:
            setattr(single, descriptor.name, getattr(message, descriptor.name))
        found.append(single.SerializeToString())
    return found


@given(CALLS)
def test_a_call_has_the_name_of_a_full_parse(message):
    assert first_name(message.SerializeToString(), invoke_pb2.CallRequest, "function") == message.function


@given(SCORES | CALLS, st.randoms())
def test_fields_in_any_order(message, random):
    field = "metric" if isinstance(message, metric_pb2.ScoreRequest) else "function"
    pieces = parts(message)
    random.shuffle(pieces)
    assert first_name(b"".join(pieces), type(message), field) == getattr(message, field)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_a_name_or_malformed_request(data):
    name = reason = None
    try:
        name = first_name(data, invoke_pb2.CallRequest, "function")
    except BridgeError as error:
        reason = error.reason
    assert reason == "MALFORMED_REQUEST" if name is None else name.encode().decode() == name


@pytest.mark.parametrize("rule", NAMED, ids=lambda rule: rule.message.DESCRIPTOR.name)
@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 5000])
def test_every_forwarded_request_has_its_name_in_field_one(rule, length):
    assert rule.message.DESCRIPTOR.fields_by_name[rule.field].number == 1
    message = rule.message(**{rule.field: "n" * length})
    assert first_name(message.SerializeToString(), rule.message, rule.field) == "n" * length


def test_a_request_without_arguments_or_anything():
    assert first_name(b"", invoke_pb2.CallRequest, "function") == ""


@pytest.mark.parametrize("data", [b"\x0a\x02\xff\xfe", b"\x0a\x05ab", b"\xff\xff\xff", b"\x0a", b"\x12\xff"])
def test_what_is_no_message(data):
    with pytest.raises(BridgeError) as caught:
        first_name(data, program_pb2.RunRequest, "program")
    assert caught.value.reason == "MALFORMED_REQUEST"
    assert caught.value.message == "the request is not a valid RunRequest message"
