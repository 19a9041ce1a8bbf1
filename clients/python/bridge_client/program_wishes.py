"""What a run may ask to be otherwise than its program says. Pure; knows the request's fields and no wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

Adapter = Literal["chat", "json", "xml", "two_step"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Wishes of one run or of many; what is empty is as the program says."""

    model: str = ""
    adapter: Adapter | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    all_events: bool = False
    resumable: bool = False

    def __post_init__(self) -> None:
        if self.adapter is not None and self.adapter not in get_args(Adapter):
            msg = f"expected an adapter of {', '.join(get_args(Adapter))}, got {self.adapter!r}"
            raise ValueError(msg)

    def fields(self) -> dict[str, Any]:
        """The request's fields, those that are empty left out."""
        adapter = None if self.adapter is None else f"PROMPT_ADAPTER_{self.adapter.upper()}"
        given = {"adapter": adapter, "temperature": self.temperature, "max_tokens": self.max_tokens}
        return {"model": self.model, **{name: value for name, value in given.items() if value is not None}}

    def stream_fields(self) -> dict[str, Any]:
        """The fields of a request for a stream."""
        return {**self.fields(), "all_events": self.all_events, "resumable": self.resumable}


NO_WISHES = Wishes()
