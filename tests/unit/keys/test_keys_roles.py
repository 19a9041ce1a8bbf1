"""The table of roles: complete, from the descriptors, and closed where nothing is said."""

import re
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from bridge.keys.roles import HEALTH, REFLECTION, Need, needs
from bridge.reflection import describe_v1
from bridge.servicers.table import service_names
from bridge.v1 import access_pb2

PROTOS = sorted((Path(__file__).resolve().parents[3] / "proto/bridge/v1").glob("*.proto"))
SERVICE = re.compile(r"^service (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
METHOD = re.compile(r"^  rpc (\w+)\(([^;{]*)(;|\{[^}]*\})", re.MULTILINE)
ADMINISTRATORS = {
    *(f"PoolService/{name}" for name in ("List", "Get", "Scale", "Drain", "Resume", "Restart", "Cancel")),
    *(f"PoolService/{name}" for name in ("ReleaseInput", "OpenBreaker", "CloseBreaker")),
    *(f"ProgramService/{name}" for name in ("CreateProgram", "UpdateProgram", "DeleteProgram", "ServeProgramVersion")),
}


def written():
    """The methods as the proto files have them, with the text of their options."""
    found = {}
    for path in PROTOS:
        for service in SERVICE.finditer(path.read_text()):
            for method in METHOD.finditer(service[2]):
                found[f"/bridge.v1.{service[1]}/{method[1]}"] = method[3]
    return found


def test_every_method_of_the_api_says_what_it_needs():
    methods = written()
    assert len(methods) >= 54
    silent = [path for path, options in methods.items() if "option (bridge.v1.key_role) = KEY_ROLE_" not in options]
    assert silent == []


def test_the_table_has_every_method_of_the_api_once():
    assert set(needs(service_names())) == set(written())


def test_who_may_change_the_server_for_everybody():
    """By hand, so that nobody changes it by the way."""
    table = needs(service_names())
    assert {path.removeprefix("/bridge.v1.") for path, need in table.items() if need is Need.ADMIN} == ADMINISTRATORS
    assert Need.NOTHING not in table.values()


def test_health_is_open_and_reflection_is_not():
    describe_v1()
    table = needs([HEALTH, *REFLECTION])
    assert {path for path, need in table.items() if need is Need.NOTHING} == {
        f"/{HEALTH}/{name}" for name in ("Check", "List", "Watch")
    }
    assert {path for path, need in table.items() if need is Need.CALL} == {
        f"/{service}/ServerReflectionInfo" for service in REFLECTION
    }


def typed(package, service, *methods):
    file = FileDescriptorProto(name=f"{package}.proto", package=package)
    made = file.service.add(name=service)
    for method in methods:
        made.method.add(name=method)
    return file.SerializeToString()


def test_typed_services_are_calls():
    table = needs(["shop.v1.Shop"], [typed("shop.v1", "Shop", "Buy", "Sell")])
    assert table == {"/shop.v1.Shop/Buy": Need.CALL, "/shop.v1.Shop/Sell": Need.CALL}


def test_typed_services_lower_no_guard_of_the_bridges_own():
    table = needs(["bridge.v1.PoolService"], [typed("bridge.v1", "PoolService", "Drain", "Scale")])
    assert table["/bridge.v1.PoolService/Drain"] is Need.ADMIN
    assert table["/bridge.v1.PoolService/Scale"] is Need.ADMIN


def test_a_method_that_says_nothing_is_the_administrators():
    """No method of the API is one, so the reflection of another service stands for it."""
    from google.protobuf import descriptor_pool

    file = FileDescriptorProto.FromString(typed("keys.test", "Silent", "Do"))
    file.message_type.add(name="Nothing")
    file.service[0].method[0].input_type = file.service[0].method[0].output_type = ".keys.test.Nothing"
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    assert needs(["keys.test.Silent"]) == {"/keys.test.Silent/Do": Need.ADMIN}


def test_the_roles_are_those_of_the_proto():
    assert [value.name for value in access_pb2.KeyRole.DESCRIPTOR.values] == [
        "KEY_ROLE_UNSPECIFIED",
        "KEY_ROLE_CALL",
        "KEY_ROLE_ADMIN",
    ]
