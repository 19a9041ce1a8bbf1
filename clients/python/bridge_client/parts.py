"""Items of one stream, put together where they come in parts. Owns the item that is not complete yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from bridge_client.errors import UnexpectedReply
from bridge_client.v1 import common_pb2
from bridge_client.values import decode_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge_client.v1 import invoke_pb2


class Items:
    """Reads the replies of one stream, in order."""

    def __init__(self) -> None:
        self._item = bytearray()
        self._filled = 0

    def read(self, reply: invoke_pb2.StreamCallResponse) -> Iterator[Any]:
        """The values of the items that are complete. Raises `UnexpectedReply`."""
        if not reply.HasField("part"):
            if self._filled:
                msg = f"expected the rest of an item of {len(self._item)} bytes, got another item"
                raise UnexpectedReply(msg)
            return map(decode_value, reply.items or (reply.item,))
        part = reply.part
        if not self._filled:
            self._item = bytearray(part.total)
        end = part.offset + len(part.data)
        if part.offset != self._filled or part.total != len(self._item) or not self._filled < end <= part.total:
            msg = (
                f"expected the part at {self._filled} of {len(self._item)} bytes, "
                f"got {part.offset} to {end} of {part.total}"
            )
            raise UnexpectedReply(msg)
        self._item[part.offset : end] = part.data
        self._filled = end
        if end < part.total:
            return iter(())
        item, self._item, self._filled = self._item, bytearray(), 0
        try:
            return iter((decode_value(common_pb2.Payload.FromString(item)),))  # type: ignore[arg-type]  # it takes any buffer
        except DecodeError as error:
            msg = f"expected a Payload in the parts of an item, got other bytes: {error}"
            raise UnexpectedReply(msg) from None
