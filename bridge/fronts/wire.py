"""What the main process and its fronts say to each other: the frames of a link, and the records in them. No IO.

A frame is a header, `meta` and a body. A body above PART_BYTES does not follow its header: it comes in PART frames of
the same request, so that one large message does not hold up all others. Both ends import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec

from bridge.doors.identity import TlsIdentity
from bridge.server import Metadata

HEADER = Struct("<BQiIId")
"""Kind, request id, number, bytes of meta, bytes of the body, deadline."""
PART_BYTES = 256 << 10
MOST_META_BYTES = 64 << 10
"""gRPC takes in 16 KiB of metadata at most."""

# main -> front
SETUP = 1
STOP = 2
RENEW = 3
ANSWER = 4
# front -> main
LISTENING = 16
FIGURES = 17
OPEN = 18
END = 19
CANCEL = 20
LEAVING = 21
"""It has been asked to end, by SIGTERM; main decides."""
# both ways
MESSAGE = 32
CREDIT = 33
PART = 34

WINDOW = 256 << 10
"""Bytes of a stream's messages that may be under way to the other end; one message may go beyond it."""
MESSAGE_COST = 64
"""What a message costs beside its bytes, so that empty ones are bounded as well."""
SHORT_META = 512
_KEPT = 1024
NO_DEADLINE = -1.0


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a front is to do. Paths stand in lists; a request names its path by its number in all of them."""

    address: str
    max_message_bytes: int
    keepalive_time_s: float
    keepalive_timeout_s: float
    slow_reader_timeout_s: float
    unary: tuple[str, ...]
    streaming: tuple[str, ...]
    conversations: tuple[str, ...]
    lost: dict[str, bytes]
    """By path, the last message that a client gets where the main process is gone; other requests get an error."""
    tls: TlsIdentity | None = None


class Listening(msgspec.Struct, frozen=True):
    """That a front serves, or why it can not."""

    problem: str = ""


class Stop(msgspec.Struct, frozen=True):
    """That a front is to end, and how long what it has may take."""

    grace_s: float


class Renew(msgspec.Struct, frozen=True):
    """Settings that a reload has changed, or another certificate."""

    slow_reader_timeout_s: float
    tls: TlsIdentity | None = None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What a front tells of itself every second, which is its sign of life as well."""

    cpu_s: float
    rss_bytes: int
    loop_lag_s: float
    sent_at: float
    """On the machine's monotonic clock, so that main knows how long the link takes."""


encode = msgspec.msgpack.encode
read_setup = msgspec.msgpack.Decoder(Setup).decode
read_listening = msgspec.msgpack.Decoder(Listening).decode
read_stop = msgspec.msgpack.Decoder(Stop).decode
read_renew = msgspec.msgpack.Decoder(Renew).decode
read_figures = msgspec.msgpack.Decoder(Figures).decode
_Pairs = tuple[tuple[str, Any], ...]
"""Metadata, but for the types of its values: MessagePack tells texts from bytes, msgspec has no type for either."""
read_reply: Callable[[bytes], tuple[str, Metadata]] = msgspec.msgpack.Decoder(tuple[str, _Pairs]).decode
"""Reads the meta of an ANSWER: the status's text and the trailers; its code is the frame's number."""
_read_metadata: Callable[[bytes], Metadata] = msgspec.msgpack.Decoder(_Pairs).decode


def changed(setup: Setup, by: Renew) -> Setup:
    """Return what a front that starts after a reload is to do."""
    return msgspec.structs.replace(setup, slow_reader_timeout_s=by.slow_reader_timeout_s, tls=by.tls)


def metadata(meta: bytes) -> Metadata:
    """Return the metadata of a request. Most requests of a client bring the same."""
    return _short_metadata(meta) if len(meta) <= SHORT_META else _read_metadata(meta)


@lru_cache(maxsize=_KEPT)
def _short_metadata(meta: bytes) -> Metadata:
    return _read_metadata(meta)


def message_cost(size: int) -> int:
    """Return what a message of `size` bytes takes of its stream's window."""
    return size + MESSAGE_COST


def numbered(*paths: Sequence[str]) -> dict[str, int]:
    """Return the number of each path."""
    return {path: number for number, path in enumerate(path for group in paths for path in group)}
