"""Images in requests: what kind their bytes are, whether they may be sent, and how OpenAI's API writes them down.

Pure. Addresses are passed on as they are; nothing is ever fetched.
"""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

MAX_BYTES = 20 * 1024 * 1024
MAX_IMAGES = 64
"""In one conversation."""
MAX_ADDRESS = 8192
_MARKS = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))
KINDS = "PNG, JPEG, GIF or WebP"


def media_type_of(data: bytes) -> str | None:
    """Return the media type that the first bytes of an image tell; None for anything else."""
    for mark, kind in _MARKS:
        if data.startswith(mark):
            return kind
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def wrong_bytes(data: bytes, declared: str) -> str | None:
    """Return why bytes are no image that can be sent; None where they are one."""
    if len(data) > MAX_BYTES:
        return f"expected at most {MAX_BYTES} bytes (20 MiB), got {len(data)}"
    kind = media_type_of(data)
    if kind is None:
        return f"expected the bytes of an image ({KINDS}), got {len(data)} bytes of something else"
    if declared and declared.lower().replace("image/jpg", "image/jpeg") != kind:
        return f"media_type says {declared!r}, the bytes are {kind}"
    return None


def wrong_address(url: str) -> str | None:
    """Return why an address can not be passed on; None where it can."""
    if len(url) > MAX_ADDRESS:
        return f"expected at most {MAX_ADDRESS} characters, got {len(url)}; send the bytes as data"
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        known = False
    if not known or not url.isprintable() or " " in url:
        return "expected an address with http:// or https:// and a host; send bytes as data"
    return None


def as_part(url: str, detail: str | None) -> dict[str, Any]:
    """Return an image as a part of a message of OpenAI's API."""
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}


def data_url(data: bytes) -> str:
    """Return the bytes of an image as an address that holds them."""
    return f"data:{media_type_of(data)};base64,{base64.b64encode(data).decode()}"
