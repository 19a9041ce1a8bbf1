"""Field deltas: what DSPy's models send while they answer, as text added to output fields.

Owns the readers of one call. DSPy hands every chunk of every predictor to `settings.send_stream` (what its own
`streamify` reads from too); each answer gets its own reader, chosen by the adapter in force. Adapters whose text is
not the value itself, such as JSON's, get none: the outputs then come only at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
from dspy.streaming.messages import StatusMessage

from bridge.v1 import program_pb2
from handlers.programs.events import Event, status
from handlers.programs.fields import ChatFields, FieldReader, XmlFields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

READERS: dict[type, Callable[[frozenset[str]], FieldReader]] = {
    dspy.ChatAdapter: ChatFields,
    dspy.XMLAdapter: XmlFields,
}

MESSAGE_CHARACTERS = 4000
"""The longest message of a program in an event."""


class _Predictor:
    """One predictor's answer that is being read."""

    def __init__(self, name: str, fields: frozenset[str]) -> None:
        self.name = name
        self.fields = fields
        self.answer_id: Any = None
        self.reader: FieldReader | None = None


class FieldStream:
    """Takes the chunks of one running program and gives its events to `emit`, which may wait for a slow client."""

    def __init__(
        self, program: Any, emit: Callable[[Event], Awaitable[None]], report: Callable[[Event], None] | None = None
    ) -> None:
        """With `report`, thoughts of models go to `emit` too, and what the program says to `report`."""
        self._emit = emit
        self._report = report
        self._names = {id(predictor): name for name, predictor in program.named_predictors()}
        self._predictors = {
            id(predictor): _Predictor(name, fields)
            for name, predictor in program.named_predictors()
            if (fields := _text_fields(predictor))
        }

    async def send(self, chunk: Any) -> None:
        """Take a chunk of an answer, or a message of the program's own."""
        if self._report is not None and await self._aside(chunk, self._report):
            return
        predictor = self._predictors.get(getattr(chunk, "predict_id", None) or 0)
        choice = next(iter(getattr(chunk, "choices", ())), None)
        if predictor is None or choice is None:
            return
        if predictor.reader is None or chunk.id != predictor.answer_id:
            make = READERS.get(type(dspy.settings.get("adapter") or dspy.ChatAdapter()))
            if make is None:
                return
            predictor.reader, predictor.answer_id = make(predictor.fields), chunk.id
        pieces = predictor.reader.feed(choice.delta.content or "")
        if choice.finish_reason:
            pieces += predictor.reader.end()
            predictor.reader = None
        for piece in pieces:
            delta = program_pb2.FieldDelta(
                predictor=predictor.name, field=piece.field, text=piece.text, last=piece.last
            )
            await self._emit(Event(field_delta=delta))

    async def _aside(self, chunk: Any, report: Callable[[Event], None]) -> bool:
        """Pass on what belongs to no field; return whether that was all of the chunk."""
        if isinstance(chunk, StatusMessage):
            report(status(program_pb2.RUN_STEP_MESSAGE, message=str(chunk.message)[:MESSAGE_CHARACTERS]))
            return True
        choice = next(iter(getattr(chunk, "choices", ())), None)
        thought = getattr(choice.delta, "reasoning_content", None) if choice is not None else None
        if thought:
            name = self._names.get(getattr(chunk, "predict_id", None) or 0, "")
            await self._emit(Event(reasoning_delta=program_pb2.ReasoningDelta(predictor=name, text=thought)))
        return False


def _text_fields(predictor: Any) -> frozenset[str]:
    """Return the outputs that are plain texts; none where one call gives several answers."""
    if (predictor.config.get("n") or 1) > 1:
        return frozenset()
    fields = predictor.signature.output_fields
    return frozenset(name for name, info in fields.items() if info.annotation is str)
