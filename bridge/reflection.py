"""Server reflection, v1 and v1alpha, which differ in name only: old tools ask for the one, new ones for the other.

Two methods like all others, so that what guards those guards these. Owns what is told of the services.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import ReflectionServicer

from bridge.fronts.described import described
from bridge.server import Answer

if TYPE_CHECKING:
    from bridge.server import Conversation, Metadata, Read, Write

SERVICES = tuple(f"grpc.reflection.{version}.ServerReflection" for version in ("v1alpha", "v1"))
_MALFORMED = Answer(None, (), 3, "the request is not a valid ServerReflectionRequest message")


class Reflection:
    """Tells of services by their names, and of those that `files` describe."""

    def __init__(self, names: Sequence[str], files: Iterable[bytes]) -> None:
        describe_v1()
        self.tell(names, files)

    def tell(self, names: Sequence[str], files: Iterable[bytes]) -> None:
        """Tell of these services from now on."""
        told, pool = [*names, *SERVICES], None
        if files := tuple(files):
            pool = descriptor_pool.DescriptorPool()
            for data in described(told, files):
                pool.AddSerializedFile(data)
        self._servicer = ReflectionServicer(told, pool)

    def conversations(self) -> dict[str, Conversation]:
        """Return the handlers by path."""
        return {f"/{service}/ServerReflectionInfo": self._converse for service in SERVICES}

    async def _converse(self, _metadata: Metadata, _remaining_s: float | None, read: Read, write: Write) -> Answer:
        while (data := await read()) is not None:
            try:
                request = reflection_pb2.ServerReflectionRequest.FromString(data)
            except DecodeError:
                return _MALFORMED
            for response in self._servicer.ServerReflectionInfo(iter((request,)), None):
                await write(response.SerializeToString())
        return Answer(None)


def describe_v1() -> None:
    """Make reflection's own v1 file known to tools that describe all they find: v1alpha's under its other name."""
    pool, name = descriptor_pool.Default(), "grpc/reflection/v1/reflection.proto"
    try:
        pool.FindFileByName(name)
    except KeyError:
        old, new = "grpc.reflection.v1alpha", "grpc.reflection.v1"
        file = FileDescriptorProto(name=name)
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        file.name, file.package = name, new
        for field in (field for message in file.message_type for field in message.field):
            if field.type_name:
                field.type_name = field.type_name.replace(old, new)
        for method in (method for service in file.service for method in service.method):
            method.input_type = method.input_type.replace(old, new)
            method.output_type = method.output_type.replace(old, new)
        pool.AddSerializedFile(file.SerializeToString())
