"""How the test server is to behave towards one request: read from the model's name or given by a script.

Pure. A name such as ``test-status429x2-retryafter1`` holds words joined by "-", see `WORDS`. The script wins over the
name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Ending = Literal["answer", "hang", "cut", "stall", "broken_json", "wrong_type"]
Content = Literal["answer", "prose", "empty", "refusal", "truncated", "filtered"]

WORDS = {
    "latencyN": "N milliseconds before the first byte",
    "gapN": "N milliseconds between the chunks of a stream",
    "statusS": "every request fails with HTTP status S",
    "statusSxK": "the first K requests for this model fail with status S, later ones are answered",
    "retryafterN": "a failure carries the header Retry-After: N (seconds)",
    "context": "400 with code context_length_exceeded",
    "policy": "400 with code content_policy_violation",
    "prose": "a text that fits no format that was asked for",
    "empty": "an empty text",
    "refusal": "no text but a refusal",
    "truncated": "half of the answer, finish_reason length",
    "filtered": "no text, finish_reason content_filter",
    "reasoning": "reasoning_content beside the answer",
    "nousage": "no usage",
    "hang": "no answer at all, until the client leaves",
    "stallN": "a stream stops after N chunks, until the client leaves",
    "cutN": "the connection is cut after N chunks of a stream, or before the end of a plain answer",
    "brokenjson": "a body, or one chunk of a stream, that is not JSON",
    "wrongtype": "status 200 with an HTML page",
}
"""The words that a model's name may hold, and what they do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What to do with one request. Times in seconds."""

    latency_s: float = 0.0
    gap_s: float = 0.0
    status: int | None = None
    first: int | None = None
    """Only so many requests fail with `status`; None for every one."""
    error_code: str | None = None
    retry_after: str | None = None
    content: Content = "answer"
    reasoning: bool = False
    usage: bool = True
    ending: Ending = "answer"
    after_chunks: int = 3
    """For the endings `cut` and `stall`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """One scripted reply: a text, or calls of tools, or a whole body, or whatever the test model answers; and how."""

    text: str | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    behaviour: Behaviour = Behaviour()
    body: dict[str, Any] | None = None
    """For a request that is answered at once: a chat that does not stream, or images."""


class UnknownWord(ValueError):
    """A name that starts with "test-" holds a word that this server does not know."""


_NUMBERED = re.compile(r"(latency|gap|retryafter|stall|cut)(\d*)")
_STATUS = re.compile(r"status(\d{3})(?:x(\d+))?")
_CONTENT: dict[str, Content] = {
    "prose": "prose",
    "empty": "empty",
    "refusal": "refusal",
    "truncated": "truncated",
    "filtered": "filtered",
}
_ENDING: dict[str, Ending] = {"hang": "hang", "brokenjson": "broken_json", "wrongtype": "wrong_type"}
_FLAGS: dict[str, dict[str, Any]] = {
    "context": {"status": 400, "error_code": "context_length_exceeded"},
    "policy": {"status": 400, "error_code": "content_policy_violation"},
    "reasoning": {"reasoning": True},
    "nousage": {"usage": False},
}


def of_model(name: str) -> Behaviour:
    """Return the behaviour that a model's name asks for. Raises UnknownWord for a word that is not in `WORDS`."""
    first, *words = name.rsplit("/", 1)[-1].split("-")
    if first != "test":
        return Behaviour()
    changes: dict[str, Any] = {}
    for word in words:
        changes.update(_changes(word))
    return Behaviour(**changes)


def _changes(word: str) -> dict[str, Any]:
    if word in _CONTENT:
        return {"content": _CONTENT[word]}
    if word in _ENDING:
        return {"ending": _ENDING[word]}
    if word in _FLAGS:
        return _FLAGS[word]
    if match := _STATUS.fullmatch(word):
        return {"status": int(match[1]), "first": int(match[2]) if match[2] else None}
    if match := _NUMBERED.fullmatch(word):
        return _numbered(match[1], match[2])
    raise UnknownWord(f"unknown word {word!r} in the model's name; known words: {', '.join(WORDS)}")


def _numbered(word: str, digits: str) -> dict[str, Any]:
    if word in {"stall", "cut"}:
        return {"ending": word, "after_chunks": int(digits or 3)}
    if word == "retryafter":
        return {"retry_after": digits or "1"}
    return {"latency_s" if word == "latency" else "gap_s": int(digits or 100) / 1000}
