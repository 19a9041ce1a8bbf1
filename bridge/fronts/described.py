"""The descriptions of services, for fronts that tell of them by reflection and have none of them loaded. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto


def described(services: Iterable[str]) -> tuple[bytes, ...]:
    """Return the files that describe these services and what they use, each after those that it imports."""
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

    for service in services:
        add(pool.FindFileContainingSymbol(service))
    return tuple(found.values())
