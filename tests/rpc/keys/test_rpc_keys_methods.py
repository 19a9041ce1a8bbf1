"""Every method that a server with keys offers: who is let in, and what the others are told."""

import threading

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from bridge.keys.key import make
from bridge.keys.roles import HEALTH, Need, needs
from bridge.reflection import SERVICES as REFLECTION
from bridge.reflection import describe_v1
from bridge.servicers.table import service_names

Code = grpc.StatusCode
TYPED = {f"/shop.v1.KeysAppService/{name}" for name in ("Add", "AddHere", "Count", "Fail", "Outer", "Tick")}
REFUSALS = ("CREDENTIALS_MISSING", "CREDENTIALS_INVALID", "CREDENTIALS_REVOKED", "ROLE_MISSING")


def methods():
    """All paths with what they need; the typed ones by hand, as only the server has their descriptors."""
    describe_v1()
    return needs([*service_names(), HEALTH, *REFLECTION]) | dict.fromkeys(TYPED, Need.CALL)


GUARDED = {path: need for path, need in methods().items() if need is not Need.NOTHING}
OPEN = [path for path, need in methods().items() if need is Need.NOTHING]


def test_the_server_offers_these_methods_and_no_others(keyed, key_channel, caller):
    class WithKey(grpc.StreamStreamClientInterceptor):
        def intercept_stream_stream(self, go_on, details, requests):
            return go_on(details._replace(metadata=caller("caller")), requests)

    seen = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(key_channel, WithKey()))
    pool = DescriptorPool(seen)
    found = set()
    for name in seen.get_services():
        found |= {f"/{name}/{method.name}" for method in pool.FindServiceByName(name).methods}
    assert found == set(methods())


@pytest.mark.parametrize("path", GUARDED)
class TestEveryMethod:
    def test_without_a_key(self, ask, path):
        reply = ask(path)
        assert (reply.code, reply.reason) == (Code.UNAUTHENTICATED, "CREDENTIALS_MISSING")
        assert "authorization: Bearer" in reply.message

    def test_with_another_secret(self, ask, key_file, path):
        right = key_file.texts["operator"]
        wrong = right[:-1] + ("A" if right[-1] != "A" else "B")
        reply = ask(path, wrong)
        assert (reply.code, reply.reason) == (Code.UNAUTHENTICATED, "CREDENTIALS_INVALID")

    def test_with_a_key_of_another_server(self, ask, path):
        _, other = make("operator", ("call", "admin"))
        assert ask(path, other).reason == "CREDENTIALS_INVALID"

    def test_with_a_revoked_key(self, ask, path):
        reply = ask(path, "old")
        assert (reply.code, reply.reason) == (Code.UNAUTHENTICATED, "CREDENTIALS_REVOKED")
        assert reply.metadata == {"key": "old"}

    def test_with_the_role_call(self, ask, path):
        reply = ask(path, "caller")
        if GUARDED[path] is Need.ADMIN:
            assert (reply.code, reply.reason) == (Code.PERMISSION_DENIED, "ROLE_MISSING")
            method = path.removeprefix("/bridge.v1.")
            assert reply.metadata == {"role": "admin", "method": method, "key": "caller"}
        else:
            assert reply.code not in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.UNIMPLEMENTED)
            assert reply.reason not in REFUSALS

    def test_with_the_role_admin(self, ask, path):
        reply = ask(path, "operator")
        assert reply.code not in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED, Code.UNIMPLEMENTED)
        assert reply.reason not in REFUSALS


@pytest.mark.parametrize("path", OPEN)
@pytest.mark.parametrize("key", [None, "old", "nonsense"])
def test_health_is_open_to_all(ask, path, key):
    assert ask(path, key).code is Code.OK


@pytest.mark.parametrize("path", ["/bridge.v1.InvokeService/Nothing", "/shop.v1.Other/Call", "/x", "/*"])
def test_methods_that_there_are_not_are_the_administrators(ask, path):
    assert ask(path).reason == "CREDENTIALS_MISSING"
    assert ask(path, "caller").reason == "ROLE_MISSING"
    assert ask(path, "operator").code is Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic {key}",
        "{key}",
        "Bearer {key} ",
        "Bearer {key}x",
        "Bearer bk_{key}",
        "Bearer " + "x" * 6000,
        "Bearer bk_0123456789_" + "A" * 43,
    ],
)
def test_what_is_no_key(ask, key_file, header):
    text = header.format(key=key_file.texts["operator"])
    reply = ask("/bridge.v1.PoolService/List", None, ("authorization", text))
    if text == f"Bearer {key_file.texts['operator']} ":
        assert reply.code is Code.OK  # HTTP/2 headers have no blanks at their ends
    else:
        assert (reply.code, reply.reason) == (Code.UNAUTHENTICATED, "CREDENTIALS_INVALID")
        assert key_file.texts["operator"] not in reply.message


@pytest.mark.parametrize("path", ["/bridge.v1.InvokeService/Call", "/bridge.v1.InvokeService/StreamCall"])
def test_who_is_refused_need_not_send_a_request(key_channel, fronts, path):
    """A front that is a process of its own knows no keys, so that it takes the request in first."""
    never = threading.Event()
    sending = iter((b"",)) if fronts > 1 else iter(never.wait, True)
    call = key_channel.stream_stream(path)(sending, timeout=20, wait_for_ready=True)
    with pytest.raises(grpc.RpcError) as error:
        next(call)
    never.set()
    assert error.value.code() is Code.UNAUTHENTICATED


def test_the_scheme_may_be_written_in_any_case(ask, key_file):
    text = f"bEARER {key_file.texts['operator']}"
    assert ask("/bridge.v1.PoolService/List", None, ("authorization", text)).code is Code.OK


def test_two_headers_are_refused(ask, key_file):
    more = ("authorization", f"Bearer {key_file.texts['operator']}")
    assert ask("/bridge.v1.PoolService/List", "caller", more).reason == "CREDENTIALS_INVALID"


def test_nobody_claims_a_name(ask):
    claimed = ("bridge-caller", "operator")
    assert ask("/bridge.v1.PoolService/List", None, claimed).reason == "CREDENTIALS_MISSING"
    assert ask("/bridge.v1.PoolService/List", "caller", claimed).reason == "ROLE_MISSING"


def test_reflection_tells_who_has_a_key(ask):
    request = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    for service in REFLECTION:
        assert ask(f"/{service}/ServerReflectionInfo", "caller", request=request).code is Code.OK
