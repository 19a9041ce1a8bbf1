"""Typed services over the wire: every type, errors, streams, receipts; by reflection and by stubs of protoc."""

import base64
import json
import struct
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from bridge.v1.common_pb2 import Receipt

APP = Path(__file__).with_name("typed_app.py")
SERVICE = "shop.v1.TypedAppService"


def refused(call, *arguments, **options):
    """The error of a call, its reason and the fields that it blames."""
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    trailers = {one.key: one.value for one in caught.value.trailing_metadata()}
    status = Status.FromString(trailers["grpc-status-details-bin"])
    info, blamed = ErrorInfo(), BadRequest()
    for detail in status.details:
        for wanted in (info, blamed):
            if detail.Is(wanted.DESCRIPTOR):
                detail.Unpack(wanted)
    return caught.value.code(), info.reason, {one.field: one.description for one in blamed.field_violations}, trailers


class TestTypes:
    def test_defaults_are_those_of_the_function(self, reflected):
        assert reflected.call("Score", {"text": "seven letters"})[0] == {"result": "billing:seven"}

    def test_enums_and_optional_numbers(self, reflected):
        given = {"text": "abc", "limit": 2, "queue": "SCORE_REQUEST_QUEUE_BUG_FIX"}
        assert reflected.call("Score", given)[0] == {"result": "bug-fix:ab"}
        assert reflected.call("Score", {"text": "abc", "limit": 0})[0] == {"result": "billing:"}

    def test_a_class_with_itself_inside(self, reflected):
        item = {"name": "box", "price": 2.5, "inside": {"name": "ring", "color": "COLOR_BLUE", "tags": ["gold"]}}
        sold = reflected.call("Sell", {"item": item, "count": 2})[0]["result"]
        assert sold["price"] == 5.0
        assert sold["inside"] == {"name": "ring", "price": 1.0, "color": "COLOR_BLUE", "tags": ["gold"]}

    def test_unions_of_classes_and_maps(self, reflected):
        given = [{"cat": {"kind": "CAT_KIND_CAT", "lives": 9}}, {"dog": {"kind": "DOG_KIND_DOG", "barks": True}}]
        assert reflected.call("Pets", {"pets": given})[0] == {
            "result": {
                "pet0": {"cat": {"kind": "CAT_KIND_CAT", "lives": "9"}},
                "pet1": {"dog": {"kind": "DOG_KIND_DOG", "barks": True}},
            }
        }

    def test_none_and_empty_are_not_the_same(self, reflected):
        assert reflected.call("Pets", {"pets": [], "by_name": {}})[0] == {}

    def test_arrays_go_as_tensors(self, reflected):
        data = base64.b64encode(struct.pack("<3f", 1, 2, 3)).decode()
        answer = reflected.call("Scale", {"values": {"dtype": "FP32", "shape": [3], "data": data}, "by": 2.0})[0]
        assert answer["result"]["dtype"] == "FP32"
        assert struct.unpack("<3f", base64.b64decode(answer["result"]["data"])) == (2, 4, 6)

    @pytest.mark.parametrize(
        ("given", "seen"),
        [
            ({"value": {"a": [1, 2.5, None, True, "x"]}}, {"value": {"a": [1, 2.5, None, True, "x"]}, "maybe": None}),
            ({"value": None, "maybe": {"int_value": 7}}, {"value": None, "maybe": 7}),
            ({"value": 1, "maybe": {"text_value": "7"}, "data": "AAEC"}, {"value": 1, "maybe": "7", "size": 3}),
        ],
    )
    def test_anything_and_unions_of_scalars(self, reflected, given, seen):
        answer = reflected.call("Anything", given)[0]["result"]
        assert {key: answer.get(key) for key in seen} == seen

    def test_times_are_texts(self, reflected):
        assert reflected.call("When", {"at": "2026-01-31T12:00:00Z"})[0] == {"result": "2026-02-01T12:00:00Z"}

    def test_native_and_batched_functions(self, reflected):
        assert reflected.call("Near", {"text": "abc"})[0] == {"result": "ABC"}
        unary = reflected.channel.unary_unary(f"/{SERVICE}/Double", response_deserializer=reflected._answer("Double"))
        started = [
            unary.future(reflected.message("Double", {"number": n}).SerializeToString(), timeout=30) for n in range(50)
        ]
        assert [one.result().result for one in started] == [2 * n for n in range(50)]

    def test_a_program(self, reflected):
        answer, call = reflected.call("Triage", {"ticket": "I was charged twice"})
        assert answer["queue"] in ("TRIAGE_RESPONSE_QUEUE_BILLING", "TRIAGE_RESPONSE_QUEUE_TECHNICAL")
        assert set(answer) <= {"queue", "urgency"}
        receipt = Receipt.FromString(dict(call.trailing_metadata())["bridge-receipt-bin"])
        assert receipt.function == "triage"
        assert receipt.usage[0].model == "bridge/test"

    def test_streams(self, reflected):
        assert [one["result"]["name"] for one in reflected.stream("Count", {"to": 3})] == ["0", "1", "2"]
        assert [int(one.get("result", 0)) for one in reflected.stream("Ticks", {"number": 3})] == [0, 1, 2]


class TestCallsAreLikeAllOthers:
    def test_a_receipt_comes_with_the_answer(self, reflected):
        _, call = reflected.call("Score", {"text": "x"}, metadata=[("x-request-id", "mine")])
        receipt = Receipt.FromString(dict(call.trailing_metadata())["bridge-receipt-bin"])
        assert (receipt.request_id, receipt.function, receipt.pool) == ("mine", "score", "general")
        assert receipt.bytes_in == len(reflected.message("Score", {"text": "x"}).SerializeToString())

    def test_what_is_missing_is_blamed(self, reflected):
        code, reason, blamed, _ = refused(reflected.call, "Sell", {"count": 1})
        assert (code, reason, list(blamed)) == (grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_MISMATCH", ["item"])

    def test_a_value_that_the_enum_lacks(self, reflected):
        code, reason, _, _ = refused(reflected.call, "Score", {"text": "x", "queue": 77})
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_MISMATCH")

    def test_bytes_that_are_no_message(self, reflected):
        code, reason, _, _ = refused(reflected.call, "Score", b"\xff\xff\xff")
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")

    def test_the_users_exception_comes_with_a_receipt(self, reflected):
        code, reason, _, trailers = refused(reflected.call, "Fail", {"message": "broken"})
        assert (code, reason) == (grpc.StatusCode.UNKNOWN, "USER_EXCEPTION")
        assert Receipt.FromString(trailers["bridge-receipt-bin"]).function == "fail"

    def test_deadlines_hold(self, reflected):
        with pytest.raises(grpc.RpcError) as caught:
            reflected.call("Forever", {}, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    def test_sessions_keep_their_worker(self, reflected):
        seen = {reflected.call("Pid", {}, metadata=[("x-session-id", "one")])[0]["result"] for _ in range(4)}
        assert len(seen) == 1

    def test_messages_that_are_too_large(self, reflected):
        code, reason, _, _ = refused(reflected.call, "Near", {"text": "x" * (17 << 20)})
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")

    def test_while_a_big_message_is_read_others_are_answered(self, reflected):
        """The worker reads it, not the front: a call that goes no further than the front is not kept waiting by it."""
        many = {"items": [{"name": f"item {number}", "tags": ["a", "b"]} for number in range(100_000)]}
        data = reflected.message("Total", many).SerializeToString()
        unary = reflected.channel.unary_unary(f"/{SERVICE}/Total", response_deserializer=reflected._answer("Total"))
        big = unary.future(data, timeout=60)
        answered = 0
        while not big.done():
            assert reflected.call("Near", {"text": "a"})[0] == {"result": "A"}
            answered += 1
        assert big.result().result == 100_000
        assert answered > 5


class TestReflection:
    def test_it_lists_the_service_beside_the_bridges_own(self, reflected):
        assert {SERVICE, "bridge.v1.InvokeService", "grpc.health.v1.Health"} <= set(reflected.database.get_services())

    def test_streams_are_known_as_such(self, reflected):
        assert reflected.service.methods_by_name["Count"].server_streaming
        assert not reflected.service.methods_by_name["Score"].server_streaming

    def test_no_method_is_the_fronts_own_envelope(self, typed_server):
        with grpc.insecure_channel(typed_server.address) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/bridge.v1.Typed/Call")(b"", timeout=10)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_stubs_of_protoc_call_it(typed_server, stubs):
    messages, services = stubs
    with grpc.insecure_channel(typed_server.address) as channel:
        stub = services.TypedAppServiceStub(channel)
        assert stub.Score(messages.ScoreRequest(text="abcdef", limit=3), timeout=30).result == "billing:abc"
        item = messages.Item(name="ring", color=messages.COLOR_BLUE)
        assert stub.Sell(messages.SellRequest(item=item), timeout=30).result.color == messages.COLOR_BLUE
        assert [one.result.name for one in stub.Count(messages.CountRequest(to=2), timeout=30)] == ["0", "1"]


@pytest.mark.parametrize(
    ("services", "lock", "served"), [("off", True, False), ("auto", False, False), ("on", False, True)]
)
def test_when_they_are_served(start_server, exported, reflect, services, lock, served):
    text = 'def hello(name: str) -> str:\n    """Greet."""\n    return f"hello {name}"\n'
    path = exported / "bridge.proto.lock" if lock else exported / "none.lock"
    config = f"[typed]\nservices = {json.dumps(services)}\nlock = {json.dumps(str(path))}\n"
    config += "[pools.general]\nsize = 1\n[pools.llm]\nsize = 0\n[pools.embeddings]\nsize = 0\n"
    server = start_server(text, config)
    if served:
        client = reflect(server.address, "app.v1.AppService")
        assert client.call("Hello", {"name": "you"})[0] == {"result": "hello you"}
        return
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/app.v1.AppService/Hello")(b"", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
