"""What comes back of the newer ways to ask a model: answers that grow. Plain records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bridge_client.records import Extraction


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
