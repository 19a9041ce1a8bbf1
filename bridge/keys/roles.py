"""Which role a caller's key needs for each method: one table, made of the methods' descriptors.

The bridge's own methods say it in their proto files (`option (bridge.v1.key_role)`); what says nothing needs `admin`.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2

from bridge.v1 import access_pb2

_RESERVED = ("bridge.", "grpc.")
"""An app's typed services have other packages; where one does not, these say what their methods need."""
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


class Need(IntEnum):
    """What a method needs; more includes less."""

    NOTHING = 0
    CALL = 1
    ADMIN = 2


_OF_OPTION = {
    access_pb2.KEY_ROLE_CALL: Need.CALL,
    access_pb2.KEY_ROLE_ADMIN: Need.ADMIN,
}


def needs(services: Iterable[str], files: Iterable[bytes] = ()) -> dict[str, Need]:
    """Return what the methods of these services need, by path: `/package.Service/Method`.

    `files` describe typed services, whose methods are functions of the app; this process describes all others.
    """
    typed = [FileDescriptorProto.FromString(data) for data in files]
    table = {
        f"/{file.package}.{service.name}/{method.name}": Need.CALL
        for file in typed
        for service in file.service
        for method in service.method
    }
    names = {f"{file.package}.{service.name}" for file in typed for service in file.service}
    pool = descriptor_pool.Default()
    for name in services:
        if name not in names or name.startswith(_RESERVED):
            table |= _of_service(pool.FindServiceByName(name))
    return table


def _of_service(service: object) -> dict[str, Need]:
    name = service.full_name  # type: ignore[attr-defined]
    found = {}
    for method in service.methods:  # type: ignore[attr-defined]
        if name == HEALTH:
            need = Need.NOTHING
        elif name in REFLECTION:
            need = Need.CALL
        else:
            need = _OF_OPTION.get(method.GetOptions().Extensions[access_pb2.key_role], Need.ADMIN)
        found[f"/{name}/{method.name}"] = need
    return found
