"""The table of what the echo measures: loads, who is put under them, and the figures made from the results.

A load is one kind of call at one concurrency; each figure divides what a contender of the bridge reached under it by
what the bare echo reached. A new figure is a new row here; what it must reach is in `goals`. Owns no state; knows
nothing of processes or generators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bridge.v1 import common_pb2, invoke_pb2

CALL_PATH = "/bridge.v1.InvokeService/Call"
STREAM_PATH = "/bridge.v1.InvokeService/StreamCall"
SMALL_BYTES = 100
CHUNKS = 1000
"""Chunks of a stream."""
CHUNK = '"' + "x" * SMALL_BYTES + '"'
"""One chunk, as JSON."""
LARGE_BYTES = 1 << 20
HUGE_BYTES = 16 << 20
MESSAGE_LIMIT = 4 * HUGE_BYTES
BARE = "bare"
SESSIONS = 4
"""Sessions, and workers that they are spread over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to answer a call. The bare echo has no function: it returns the request as it came."""

    name: str
    function: str
    route: str | None
    """What the trailer `bridge-route` must say; None for the bare echo, which sends no trailers."""
    server: str = "bridge"
    """Which server plays it: the bare echo, the bridge, or a bridge with a worker for each session."""

    def request(self, size: int) -> bytes:
        """The request message with `size` bytes of arguments."""
        payload = common_pb2.Payload(raw=b"\x5a" * size)
        return invoke_pb2.CallRequest(function=self.function, arguments=payload).SerializeToString()

    def response(self, size: int) -> bytes:
        """The only right answer to `request(size)`."""
        if self.route is None:
            return self.request(size)
        result = common_pb2.Payload(raw=b"\x5a" * size)
        return invoke_pb2.CallResponse(result=result).SerializeToString()


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(name=BARE, function="bridge.echo", route=None, server=BARE),
        Contender(name="pooled", function="bridge.echo", route="pooled"),
        Contender(name="native", function="bridge.echo_native", route="native"),
        Contender(name="affinity", function="bridge.echo", route="pooled", server="affinity"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Calls of one size, `concurrency` of them in flight; on one connection, or on one for each session."""

    name: str
    concurrency: int
    size: int
    contenders: tuple[str, ...]
    sessions: int = 0
    """Connections, each with a session of its own; 0 for one connection without a session."""
    quick: bool = True
    """Whether `--quick` runs it."""


LOADS = (
    Load(name="c1", concurrency=1, size=SMALL_BYTES, contenders=(BARE, "pooled", "native")),
    Load(name="c16", concurrency=16, size=SMALL_BYTES, contenders=(BARE, "pooled", "native")),
    Load(name="c64", concurrency=64, size=SMALL_BYTES, contenders=(BARE, "pooled", "native")),
    Load(name="c16_sessions", concurrency=16, size=SMALL_BYTES, contenders=(BARE, "affinity"), sessions=SESSIONS),
    Load(name="c1000", concurrency=1000, size=SMALL_BYTES, contenders=(BARE, "pooled"), quick=False),
    Load(name="1mib", concurrency=4, size=LARGE_BYTES, contenders=(BARE, "pooled"), quick=False),
    Load(name="16mib", concurrency=2, size=HUGE_BYTES, contenders=(BARE, "pooled"), quick=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """How a figure is made: a contender's result under a load, divided by the bare echo's.

    With `base` it is divided by the contender's own result under that load.
    """

    name: str
    load: str
    contender: str
    quantity: Literal["calls_per_s", "p50_s"] = "calls_per_s"
    base: str | None = None


FIGURES = (
    Figure(name="pooled_echo_c1", load="c1", contender="pooled"),
    Figure(name="pooled_echo_c16", load="c16", contender="pooled"),
    Figure(name="pooled_echo_c64", load="c64", contender="pooled"),
    Figure(name="native_echo_c1", load="c1", contender="native"),
    Figure(name="native_echo_c16", load="c16", contender="native"),
    Figure(name="native_echo_c64", load="c64", contender="native"),
    Figure(name="pooled_p50_c1", load="c1", contender="pooled", quantity="p50_s"),
    Figure(name="affinity_echo_c16", load="c16_sessions", contender="affinity"),
    Figure(name="queue_1000", load="c1000", contender="pooled", base="c16"),
    Figure(name="bare_1000", load="c1000", contender=BARE, base="c16"),
    Figure(name="payload_1mib", load="1mib", contender="pooled"),
    Figure(name="payload_16mib", load="16mib", contender="pooled"),
)
