"""What a program's model sends while it answers, watched and replayed: DSPy's `settings.send_stream`.

Owns the mark of one request. An answer that the front has kept reaches who reads the stream in the same chunks that
DSPy makes of a provider's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
from dspy import lm15
from dspy.clients.engines.streaming import ListenerBridge

from handlers.models.test_model import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watched:
    """A stream of chunks that is told whether any of them has gone out."""

    def __init__(self, stream: Any) -> None:
        self.began = False
        self._stream = stream

    async def send(self, chunk: Any) -> None:
        """Pass a chunk on."""
        self.began = True
        await self._stream.send(chunk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


async def replay(model: str, outputs: list[Any]) -> None:
    """Send the only text of an answer in pieces, where somebody reads; of several answers none is streamed."""
    stream = dspy.settings.get("send_stream")
    text = _text(outputs)
    if stream is None or text is None:
        return
    caller = dspy.settings.get("caller_predict")
    bridge = ListenerBridge(model, id(caller) if caller else None)
    for event in _events(model, text):
        if chunk := bridge.chunk(event):
            await stream.send(chunk)


def _text(outputs: list[Any]) -> str | None:
    if len(outputs) != 1:
        return None
    (output,) = outputs
    found = output.get("text") if isinstance(output, dict) else output
    return found if isinstance(found, str) else None


def _events(model: str, text: str) -> Iterator[Any]:
    yield lm15.StreamStartEvent(id=f"kept-{id(text)}", model=model)
    for piece in chunks(text):
        yield lm15.StreamDeltaEvent(delta=lm15.TextDelta(text=piece))
    yield lm15.StreamEndEvent(finish_reason="stop")
