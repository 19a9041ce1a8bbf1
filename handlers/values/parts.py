"""Items of a stream in parts, for clients that ask: so that an item may be larger than a message, and takes no more
memory on its way than a part.

Knows the form of a StreamCallResponse and nothing of how items are made. Owns no state.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from typing import TYPE_CHECKING

from handlers.errors import BadInput
from handlers.values.large import read_number
from handlers.values.outgoing import varint

if TYPE_CHECKING:
    from handlers.context import CallContext
    from handlers.contract import Handler

STREAM_CALL = "InvokeService/StreamCall"
LEAST_BYTES = 4096
_CHUNK_BYTES = 20
_ITEM, _PART = b"\x0a", b"\xa2\x01"
_AROUND = 64
"""What a message has at most beside the data of its part."""
_OFFSET, _TOTAL, _DATA = b"\x08", b"\x10", b"\x1a"

Items = Iterator[bytes] | AsyncIterator[bytes]


def stream_in_parts(handler: Handler, request: bytes, context: CallContext, limit: int) -> Items:
    """Return the messages of a handler's stream, as `in_parts` does."""
    method = context.meta.method
    return in_parts(handler.stream(method, request, context), method, request, limit)


def in_parts(items: Items, method: str, request: bytes, limit: int) -> Items:
    """Return a stream's messages as they are, or in parts where the request says so. Raises BadInput.

    A message with a part has at most `limit` bytes, whatever the request says.
    """
    size = read_number(request, _CHUNK_BYTES) if method == STREAM_CALL else 0
    if not size:
        return items
    if size < LEAST_BYTES:
        description = f"expected 0, or at least {LEAST_BYTES} bytes, got {size}"
        raise BadInput(f"chunk_bytes: {description}", violations=(("chunk_bytes", description),))
    size = max(LEAST_BYTES, min(size, limit - _AROUND))
    return _later(items, size) if isinstance(items, AsyncIterator) else _now(items, size)


def _now(items: Iterator[bytes], size: int) -> Generator[bytes, None, None]:
    try:
        for item in items:
            yield from parts(item, size)
    finally:
        if (close := getattr(items, "close", None)) is not None:
            close()


async def _later(items: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    try:
        async for item in items:
            for part in parts(item, size):
                yield part
    finally:
        if (aclose := getattr(items, "aclose", None)) is not None:
            await aclose()


def parts(response: bytes, size: int) -> Iterator[bytes]:
    """Return the messages that carry a serialized StreamCallResponse in parts: itself alone where it is small."""
    if len(response) <= size or not response.startswith(_ITEM):
        yield response
        return
    total = len(response) - 1
    while len(varint(total)) + total > len(response) - 1:  # what is left is the length and the item
        total -= 1
    item = memoryview(response)[-total:]
    for offset in range(0, total, size):
        data = item[offset : offset + size]
        numbers = _number(_OFFSET, offset) + _number(_TOTAL, total)
        head = numbers + _DATA + varint(len(data))
        yield b"".join((_PART, varint(len(head) + len(data)), head, data))


def _number(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""
