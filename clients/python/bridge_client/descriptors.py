"""The client's own copy of the bridge's messages, in a descriptor pool of its own.

protobuf keeps one default pool per process and refuses a second, different copy of a file in it, so a program that has
the server's messages loaded as well (a test, a sidecar, an older client) would crash on import. Everything in
`bridge_client.v1` is therefore made here from `v1/messages.binpb`, a descriptor set that `generate.py` writes. Owns the
pool, which is filled once and then only read. Must not touch protobuf's default pool.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor
    from google.protobuf.message import Message

DESCRIPTOR_SET = Path(__file__).parent / "v1" / "messages.binpb"


def _fill_pool() -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL = _fill_pool()


def message(full_name: str) -> type[Message]:
    """The class of a message such as ``bridge.v1.Payload``. Raises KeyError for an unknown name."""
    return GetMessageClass(_POOL.FindMessageTypeByName(full_name))


def enum(full_name: str) -> Any:
    """The wrapper of an enum such as ``bridge.v1.Route``, with `Name` and `Value`. Raises KeyError."""
    return EnumTypeWrapper(_POOL.FindEnumTypeByName(full_name))


def file(name: str) -> FileDescriptor:
    """The descriptor of a proto file such as ``bridge/v1/common.proto``. Raises KeyError for an unknown name."""
    return _POOL.FindFileByName(name)
