"""Puts a streamed answer together from LiteLLM's chunks. Owns one answer while it grows; no IO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.models.chat import ChatAnswer, ToolCallPiece
from handlers.models.test_model import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.contract import UsageRecord


class StreamAnswer:
    """The answer so far."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.began = False
        """Whether anything of it has come: text, or a call of a tool."""
        self.model: str | None = None
        self.usage: Any = None
        self.added_calls: list[ToolCallPiece] = []
        """What the last chunk has added to tool calls."""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._finish_reason = ""
        self._calls: dict[int, dict[str, Any]] = {}

    @property
    def added_arguments(self) -> str:
        """What the last chunk has added to the arguments of the first tool call."""
        return "".join(piece.arguments for piece in self.added_calls if piece.index == min(self._calls))

    def add(self, chunk: Any) -> str:
        """Take in a chunk; return the text that it adds."""
        self.added_calls = []
        self.model = chunk.model or self.model
        if getattr(chunk, "usage", None) is not None:
            self.usage = chunk.usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._finish_reason = choice.finish_reason or self._finish_reason
        delta = choice.delta
        for call in getattr(delta, "tool_calls", None) or []:
            self._add_call(call)
            self.began = True
        if refusal := getattr(delta, "refusal", None):
            self._refusal.append(refusal)
            self._finish_reason = "content_filter"
        text = delta.content or getattr(delta, "refusal", None) or ""
        self._text.append(text)
        self.began = self.began or bool(text)
        return text

    def replay(self, kept: ChatAnswer) -> Iterator[str]:
        """Become an answer that was kept, piece by piece; return the text that each adds."""
        self.clear()
        self.model, self._finish_reason, self.began = kept.model, kept.finish_reason, True
        self._calls = dict(enumerate(kept.tool_calls))
        self._text = [kept.text]
        for index, call in enumerate(kept.tool_calls):
            self.added_calls = [ToolCallPiece(index=index, id=call["id"], name=call["name"])]
            yield ""
            for piece in chunks(call["arguments"]):
                self.added_calls = [ToolCallPiece(index=index, arguments=piece)]
                yield ""
        self.added_calls = []
        yield from chunks(kept.text)

    def take(self, item: str | ToolCallPiece) -> str:
        """Take in what a stream has yielded; return the text that it adds."""
        self.began, self.added_calls = True, []
        if isinstance(item, str):
            self._text.append(item)
            return item
        self.added_calls.append(item)
        call = self._calls.setdefault(item.index, {"id": "", "name": "", "arguments": ""})
        call["id"], call["name"] = item.id or call["id"], item.name or call["name"]
        call["arguments"] += item.arguments
        return ""

    def end(self, final: ChatAnswer) -> None:
        """Take in the end of what a stream has yielded."""
        self.model, self._finish_reason, self.added_calls = final.model, final.finish_reason, []

    def broken_off(self, source: Any) -> bool:
        """Return whether the provider went away in the middle.

        LiteLLM ends a stream that was cut as if it were whole, with a finish_reason of its own making. What the
        provider really sent is in `received_finish_reason`.
        """
        received = getattr(source, "received_finish_reason", "unknown")
        return received is None and getattr(source, "intermittent_finish_reason", None) is None

    def whole(self, usage: UsageRecord) -> ChatAnswer:
        """Return the answer."""
        return ChatAnswer(
            text="".join(self._text),
            finish_reason="content_filter" if self._refusal else self._finish_reason,
            model=usage.model,
            tool_calls=[self._calls[index] for index in sorted(self._calls)],
            usage=usage,
        )

    def response(self, litellm: Any) -> Any:
        """Return the answer as LiteLLM's response to a request that does not stream."""
        calls = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for _, call in sorted(self._calls.items())
        ]
        message = litellm.Message(role="assistant", content="".join(self._text) or None, tool_calls=calls or None)
        choice = litellm.Choices(index=0, finish_reason=self._finish_reason, message=message)
        return litellm.ModelResponse(model=self.model, choices=[choice])

    def _add_call(self, part: Any) -> None:
        index = part.index or 0
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        name = getattr(part.function, "name", None) or ""
        arguments = getattr(part.function, "arguments", None) or ""
        piece = ToolCallPiece(
            index=index, id="" if call["id"] else part.id or "", name="" if call["name"] else name, arguments=arguments
        )
        call["id"], call["name"] = part.id or call["id"], name or call["name"]
        call["arguments"] += arguments
        if piece.id or piece.name or piece.arguments:
            self.added_calls.append(piece)
