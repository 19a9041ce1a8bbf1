"""What a key changes in calls that it lets through, what its end changes in those that are open, and what is told."""

import json
import threading

import grpc
import pytest

from bridge.v1 import invoke_pb2, pool_pb2, session_pb2, tool_pb2
from bridge.v1.common_pb2 import Payload, Receipt

Code = grpc.StatusCode
CALL = "/bridge.v1.InvokeService/Call"
STREAM = "/bridge.v1.InvokeService/StreamCall"
MULTIPLEX = "/bridge.v1.InvokeService/Multiplex"
HOST = "/bridge.v1.ToolService/Host"
OPEN, GET = "/bridge.v1.SessionService/Open", "/bridge.v1.SessionService/Get"


def request(name, **arguments):
    return invoke_pb2.CallRequest(function=name, arguments=Payload(json=json.dumps(arguments)))


@pytest.fixture
def call(key_channel, caller):
    """`call(key, function, ...)`: the value and the receipt."""

    def one(key, name, *metadata, **arguments):
        method = key_channel.unary_unary(CALL, response_deserializer=invoke_pb2.CallResponse.FromString)
        data = request(name, **arguments).SerializeToString()
        reply, done = method.with_call(data, metadata=(*caller(key), *metadata), timeout=20, wait_for_ready=True)
        trailers = {one.key: one.value for one in done.trailing_metadata()}
        return json.loads(reply.result.json), Receipt.FromString(trailers["bridge-receipt-bin"])

    return one


@pytest.fixture
def opened(key_channel, key_file):
    """`opened(path, key, messages)`: a stream that is open, begun with the text of a key."""

    def one(path, key, messages):
        header = (("authorization", f"Bearer {key_file.texts[key]}"),)
        return key_channel.stream_stream(path)(messages, metadata=header, timeout=60, wait_for_ready=True)

    return one


class Messages:
    """Messages that a client sends when the test says so."""

    def __init__(self, *first):
        self._messages = [one.SerializeToString() for one in first]
        self._changed = threading.Condition()

    def send(self, message):
        with self._changed:
            self._messages.append(message.SerializeToString())
            self._changed.notify()

    def __iter__(self):
        while True:
            with self._changed:
                while not self._messages:
                    if not self._changed.wait(60):
                        return
                yield self._messages.pop(0)


class TestReceipts:
    @pytest.mark.parametrize("name", ["add", "add_here"])
    def test_the_receipt_names_the_key(self, call, name):
        value, receipt = call("caller", name, a=1, b=2)
        assert (value, receipt.key_name) == (3, "caller")

    def test_of_a_call_that_calls_another(self, call):
        value, receipt = call("operator", "outer", a=1)
        assert (value, receipt.key_name, receipt.nested.calls) == (2, "operator", 1)

    def test_of_a_call_with_a_session(self, call):
        assert call("caller", "add", ("x-session-id", "kept"), a=1, b=1)[1].key_name == "caller"

    def test_of_a_multiplexed_call(self, opened):
        sent = Messages(
            invoke_pb2.MultiplexRequest(calls=[invoke_pb2.MultiplexCall(id=1, request=request("add", a=1, b=2))])
        )
        stream = opened(MULTIPLEX, "caller", iter(sent))
        answers = map(invoke_pb2.MultiplexResponse.FromString, stream)
        result = next(answer.results[0] for answer in answers if answer.results)
        stream.cancel()
        assert result.receipt.key_name == "caller"


class TestTheLog:
    def test_who_has_changed_what(self, ask, keyed):
        resume = pool_pb2.ResumeRequest(name="general").SerializeToString()
        assert ask("/bridge.v1.PoolService/Resume", "operator", request=resume).code is Code.OK
        line = json.loads(keyed.wait_for_log("PoolService/Resume by 'operator'"))
        assert (line["event"], line["method"], line["key"]) == ("admin_call", "PoolService/Resume", "operator")
        ask("/bridge.v1.PoolService/List", "operator")
        assert "PoolService/List by" not in keyed.stderr.text

    def test_who_has_sent_what_can_not_be_used(self, ask, keyed):
        assert ask(CALL, "caller", ("x-priority", "soon")).code is Code.INVALID_ARGUMENT
        assert json.loads(keyed.wait_for_log("metadata 'x-priority'"))["key"] == "caller"


class TestTenants:
    def open_session(self, ask, key, name, *metadata):
        made = session_pb2.OpenRequest(id=name).SerializeToString()
        return ask(OPEN, key, *metadata, request=made)

    def see(self, ask, key, name, *metadata):
        asked = session_pb2.SessionServiceGetRequest(id=name).SerializeToString()
        return ask(GET, key, *metadata, request=asked).code

    def test_the_keys_tenant_takes_the_place_of_the_callers(self, ask):
        assert self.open_session(ask, "acme", "mine", ("x-tenant", "other")).code is Code.OK
        assert self.see(ask, "acme", "mine") is Code.OK
        assert self.see(ask, "caller", "mine", ("x-tenant", "acme")) is Code.OK
        assert self.see(ask, "caller", "mine", ("x-tenant", "other")) is Code.NOT_FOUND

    def test_a_key_without_a_tenant_says_which(self, ask):
        assert self.open_session(ask, "caller", "theirs", ("x-tenant", "umbrella")).code is Code.OK
        assert self.see(ask, "caller", "theirs", ("x-tenant", "umbrella")) is Code.OK
        assert self.see(ask, "acme", "theirs", ("x-tenant", "umbrella")) is Code.NOT_FOUND


class TestRevoking:
    """The server looks at the file twice a second."""

    @pytest.fixture
    def key(self, key_file, ask, eventually):
        name = f"temporary-{len(key_file.texts)}"
        key_file.make(name)
        data = request("add", a=1, b=1).SerializeToString()
        eventually(lambda: ask(CALL, name, request=data).code is Code.OK, "the server to know a new key")
        yield name
        key_file.revoke(name)

    def test_calls_are_refused(self, key, key_file, ask, eventually):
        data = request("add", a=1, b=1).SerializeToString()
        key_file.revoke(key)
        eventually(lambda: ask(CALL, key, request=data).code is not Code.OK, "the key's end")
        assert ask(CALL, key, request=data).reason == "CREDENTIALS_REVOKED"
        assert ask(CALL, "caller", request=data).code is Code.OK

    def end_of(self, stream):
        with pytest.raises(grpc.RpcError) as error:
            for _ in stream:
                pass
        return error.value.code(), error.value.details()

    def test_streams_end(self, key, key_file, opened):
        asked = invoke_pb2.StreamCallRequest(function="tick", arguments=Payload(json="{}"))
        stream = opened(STREAM, key, iter((asked.SerializeToString(),)))
        next(stream)
        key_file.revoke(key)
        assert self.end_of(stream) == (
            Code.UNAUTHENTICATED,
            f"the API key '{key}' was revoked or changed while the stream was open",
        )

    def test_streams_of_many_calls_end(self, key, key_file, opened):
        first = invoke_pb2.MultiplexCall(id=1, request=request("add", a=1, b=2))
        sent = Messages(invoke_pb2.MultiplexRequest(calls=[first]))
        stream = opened(MULTIPLEX, key, iter(sent))
        next(stream)
        key_file.revoke(key)
        assert self.end_of(stream)[0] is Code.UNAUTHENTICATED

    def test_hosts_of_tools_end(self, key, key_file, opened):
        tool = tool_pb2.HostedTool(name="t", description="a tool")
        sent = Messages(tool_pb2.HostRequest(register=tool_pb2.RegisterTools(tools=[tool])))
        stream = opened(HOST, key, iter(sent))
        assert tool_pb2.HostResponse.FromString(next(stream)).HasField("registered")
        key_file.revoke(key)
        assert self.end_of(stream)[0] is Code.UNAUTHENTICATED

    def test_watchers_end(self, key, key_file, opened, ask):
        ask(OPEN, "caller", request=session_pb2.OpenRequest(id=key).SerializeToString())
        asked = session_pb2.SessionServiceWatchRequest(id=key)
        stream = opened("/bridge.v1.SessionService/Watch", key, iter((asked.SerializeToString(),)))
        next(stream)
        key_file.revoke(key)
        assert self.end_of(stream)[0] is Code.UNAUTHENTICATED

    def test_what_others_have_open_goes_on(self, key, key_file, opened, keyed):
        asked = invoke_pb2.StreamCallRequest(function="tick", arguments=Payload(json="{}"))
        stream = opened(STREAM, "caller", iter((asked.SerializeToString(),)))
        next(stream)
        key_file.revoke(key)
        keyed.wait_for_log(f'"event": "key_revoked", "key": "{key}"')
        for _ in range(5):
            next(stream)
        stream.cancel()


class TestTheFile:
    def test_one_that_can_not_be_used_changes_nothing(self, key_file, keyed, ask, eventually):
        good = key_file.path.read_bytes()
        key_file.path.write_bytes(b'{"version": 1, "keys": [')
        try:
            keyed.wait_for_log("the API keys stay as they were")
            assert ask(CALL, "caller", request=request("add", a=1, b=1).SerializeToString()).code is Code.OK
            assert ask(CALL).reason == "CREDENTIALS_MISSING"
        finally:
            key_file.path.write_bytes(good)

    @pytest.mark.parametrize("mode", [0o620, 0o602])
    def test_one_that_others_may_write_changes_nothing(self, key_file, keyed, ask, mode):
        key_file.path.chmod(mode)
        try:
            keyed.wait_for_log(f"its mode is {mode:04o}")
            assert ask(CALL, "caller", request=request("add", a=1, b=1).SerializeToString()).code is Code.OK
            assert ask(CALL).reason == "CREDENTIALS_MISSING"
        finally:
            key_file.path.chmod(0o600)


def test_no_secret_is_written_anywhere(keyed, key_file, replay_folder, call, ask):
    """The last one of this file on purpose: what the tests above did is in the log."""
    data = invoke_pb2.CallRequest(function="fail", arguments=Payload(json='{"word": "luck"}')).SerializeToString()
    ask(CALL, "caller", request=data)
    call("caller", "add", a=1, b=2)
    line = keyed.wait_for_log("call failed: ValueError: no luck")
    assert json.loads(line)["key"] == "caller"
    secrets = key_file.secrets()
    assert len(secrets) >= 8
    saved = [path for path in replay_folder.rglob("*") if path.is_file()]
    assert saved
    for written in (keyed.stderr.text, keyed.stdout.text, *(path.read_bytes().decode("latin-1") for path in saved)):
        assert [one for one in secrets if one in written] == []
