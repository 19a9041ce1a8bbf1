"""A `ProtoHandler` that also answers several calls at once: each member parsed, answered and failed by itself.

It owns nothing; it must not know what the function does, nor how calls were gathered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers import batches
from handlers.entry import record_of
from handlers.errors import HandlerError
from handlers.proto_handler import Asked, ProtoHandler, Rpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    from handlers.context import CallContext

    Made = tuple[Message | HandlerError, float]
    """The response to one member or why there is none, and its part of the work."""


class BatchedProtoHandler(ProtoHandler):
    """Serves one synchronous function. `run_batch` answers requests of its first RPC, in their order."""

    def __init__(self, *rpcs: Rpc, run_batch: Callable[[Sequence[Any]], Sequence[Made]], **described: Any) -> None:
        super().__init__(*rpcs, **described)
        self._run_batch = run_batch

    def call(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a call or a batch of calls."""
        if method != batches.METHOD:
            return super().call(method, request, context)
        members, limit = batches.unpack(request)
        asked = [self._try(member) for member in members]
        good = [one for one in asked if isinstance(one, Asked)]
        made = iter(zip(good, self._run_batch([one.message for one in good]) if good else (), strict=True))
        answers = []
        for member, one in zip(members, asked, strict=True):
            if isinstance(one, HandlerError):
                answers.append(batches.failed(one.to_record()))
                continue
            _, (response, weight) = next(made)
            if isinstance(response, HandlerError):
                answers.append(batches.failed(record_of(response, member.meta.request_id), weight))
            else:
                answers.append(batches.good(one.reply(response), weight))
        return batches.pack_answers(answers, limit)

    def _try(self, member: batches.Member) -> Asked | HandlerError:
        try:
            return self._ask(member.meta.method, member.request)
        except HandlerError as error:
            return error
