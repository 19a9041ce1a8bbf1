"""Pictures of the built-in test model: real PNG files of one colour, the same for the same prompt. Pure."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib

TOKENS = 100
"""What a picture counts as."""
LARGEST = 4096
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_USUAL = 64


def draw(prompt: str, size: str = "", number: int = 0) -> bytes:
    """Return a picture; `size` is such as ``256x128``, anything else is 64 by 64; `number` tells pictures apart."""
    width, height = _sides(size)
    colour = hashlib.sha256(f"{number}|{prompt}".encode("utf-8", "replace")).digest()[:3]
    row = b"\0" + bytes((width + 7) // 8)  # one bit for each pixel, all of them the palette's only colour
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", colour), (b"IDAT", zlib.compress(row * height)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _sides(size: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(size)
    if match is None:
        return _USUAL, _USUAL
    width, height = int(match[1]), int(match[2])
    return min(max(width, 1), LARGEST), min(max(height, 1), LARGEST)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
