"""What comes back of the newer ways to ask a model: answers that grow, many answers at once. Plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bridge_client.errors import BridgeError, UnexpectedReply
from bridge_client.records import Extraction, ModelUsage

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialAnswer:
    """An answer that is still written. Within an attempt it only grows; it is not checked against the schema yet."""

    number: int
    """Counts the events of the stream, from 1."""
    attempt: int
    """From 1. A new attempt begins anew: what earlier ones have sent did not fit."""
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerItem:
    """One whole item of an answer that is a list."""

    number: int
    """Counts the events of the stream, from 1."""
    attempt: int
    """From 1. A new attempt begins anew: what earlier ones have sent did not fit."""
    index: int
    """Its place in the list, from 0."""
    value: Any
    """It fits the schema of the items, and has their Python type where the schema is one."""


ExtractionEvent = PartialAnswer | AnswerItem | Extraction[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAnswer(Generic[AnswerT]):
    """What became of one prompt of a batch: an answer or an error."""

    index: int
    """The prompt's place among the prompts, from 0."""
    answer: AnswerT | None
    error: BridgeError | None

    def get(self) -> AnswerT:
        """The answer. Raises the prompt's error where there is none."""
        if self.error is not None:
            raise self.error
        if self.answer is None:
            msg = "expected an answer or a failure, got neither; a newer server?"
            raise UnexpectedReply(msg)
        return self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(Generic[AnswerT]):
    """The answers to many prompts."""

    answers: tuple[BatchAnswer[AnswerT], ...]
    """One for each prompt, in their order."""
    usage: tuple[ModelUsage, ...]
    """What all of them used, failures included."""
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """The end of a batch whose answers came as they were ready."""

    answered: int
    failed: int
    usage: tuple[ModelUsage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedImage:
    """An image that a model has made: bytes, or an address at the provider."""

    data: bytes
    url: str
    media_type: str
    """Such as ``image/png``; empty where only the address is known."""
    revised_prompt: str
    """The prompt that the provider has made of yours; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratedImages:
    """The images that a model has made."""

    images: tuple[GeneratedImage, ...]
    model: str
    usage: ModelUsage
