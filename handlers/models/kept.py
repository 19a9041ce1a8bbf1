"""Answers as the front's cache keeps them: bytes that any worker reads, whether it asked plainly or for a stream.

Pure. What was used to make an answer is not used again: an answer that was kept counts as one cached call that costs
nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.contract import UsageRecord
from handlers.models.chat import ChatAnswer

LARGEST = 32 << 20
"""Bytes of an answer that is kept at most."""


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    text: str
    finish_reason: str
    model: str
    tool_calls: list[dict[str, Any]] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


def kept_bytes(answer: ChatAnswer, usage: UsageRecord) -> bytes:
    """Return an answer to keep; nothing where it is none that another caller would want: empty, or refused."""
    if answer.finish_reason == "content_filter" or not (answer.text or answer.tool_calls):
        return b""
    data = _encode(_Kept(answer.text, answer.finish_reason, usage.model, answer.tool_calls))
    return data if len(data) <= LARGEST else b""


def kept_answer(data: bytes) -> ChatAnswer:
    """Return an answer that was kept."""
    kept = _decode(data)
    return ChatAnswer(
        text=kept.text,
        finish_reason=kept.finish_reason,
        model=kept.model,
        tool_calls=kept.tool_calls,
        usage=cached_use(kept.model),
    )


def cached_use(model: str) -> UsageRecord:
    """Return what is recorded of an answer that was kept."""
    return UsageRecord(model=model, calls=1, cost_usd=0.0, cached_calls=1)
