"""Reading the name out of a request without parsing the rest: the front routes bytes, workers parse them.

Every request that is forwarded to a worker has its function, program, metric or model in field 1, a string. Messages
are written in the order of fields, so the name stands at the start; where it does not, the message is parsed.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError, Message

from bridge.errors import malformed

_TAG = 0x0A
"""Field 1, length-delimited."""


def first_name(request: bytes, message: type[Message], field: str) -> str:
    """Return the string in field 1 of a serialized `message`, whose name is `field`; "" where it is not set."""
    if len(request) > 1 and request[0] == _TAG and request[1] < 0x80:
        end = 2 + request[1]
        if end <= len(request):
            try:
                return request[2:end].decode("utf-8")
            except UnicodeDecodeError:
                raise malformed(message.DESCRIPTOR.name) from None
    try:
        return str(getattr(message.FromString(request), field))
    except DecodeError:
        raise malformed(message.DESCRIPTOR.name) from None
