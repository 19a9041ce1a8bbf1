"""The record of a call of a multiplexed stream, and its options."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from bridge.call import Call, Identity
from bridge.errors import malformed
from bridge.v1.invoke_pb2 import MultiplexOptions

if TYPE_CHECKING:
    import asyncio

    from bridge.dispatch import Runner
    from bridge.multiplex.lane import Lane
    from bridge.multiplex.stream import Stream

CALL = "InvokeService/Call"


class Member(Call, eq=False, kw_only=True):
    """A call of a stream. `number` is its id there; `task` runs it, where it is not part of a pack."""

    stream: Stream
    number: int
    runner: Runner | None = None
    lane: Lane | None = None
    """Of its pool; none where it needs no worker."""
    task: asyncio.Task[None] | None = None
    begun: bool = False
    """Whether its task has."""
    bucket: set[Member] | None = None
    """Of its deadline, while it waits in its lane."""
    alone: bool = False
    """Whether it is not to be packed."""

    def another(self, number: int, identity: Identity, request: bytes) -> Member:
        """Return a call that came together with this one, has the same options, and was placed as it was."""
        return Member(
            CALL,
            identity,
            request,
            self.deadline,
            len(request),
            self.started_at,
            self.function,
            self.spec,
            self.route,
            self.reason,
            self.pool,
            stream=self.stream,
            number=number,
            runner=self.runner,
            lane=self.lane,
        )


@lru_cache(maxsize=256)
def read_options(options: bytes) -> MultiplexOptions:
    """Parse the options of a call. Raises MALFORMED_REQUEST."""
    try:
        return MultiplexOptions.FromString(options)
    except DecodeError:
        raise malformed("MultiplexOptions") from None
