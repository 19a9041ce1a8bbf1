"""The descriptions of services, for fronts that tell of them by reflection and have none of them loaded. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto


def described(services: Iterable[str], files: Iterable[bytes] = ()) -> tuple[bytes, ...]:
    """Return the files that describe these services and what they use, each after those that it imports.

    `files` describe some of them already, and import nothing but what this process knows.
    """
    pool = descriptor_pool.Default()
    found: dict[str, bytes] = {}

    def add(file: Any) -> None:
        if file.name in found:
            return
        for imported in file.dependencies:
            add(imported)
        message = FileDescriptorProto()
        file.CopyToProto(message)
        found[file.name] = message.SerializeToString()

    own = [FileDescriptorProto.FromString(data) for data in files]
    told = {f"{file.package}.{service.name}" for file in own for service in file.service}
    for service in services:
        if service not in told:
            add(pool.FindFileContainingSymbol(service))
    for name in dict.fromkeys(name for file in own for name in file.dependency):
        add(pool.FindFileByName(name))
    return (*found.values(), *(file.SerializeToString() for file in own))
