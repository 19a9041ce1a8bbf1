"""What a run may ask to be otherwise than its program says. Pure; knows the request's fields and no wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

Adapter = Literal["chat", "json", "xml", "two_step"]


class Hosts(Protocol):
    """A host of tools: what `host_tools` returns."""

    @property
    def registration(self) -> str:
        """The registration's id."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its tools."""
        ...


Tools = str | Hosts | Iterable[str | Hosts]
"""Hosts, whose tools are all meant, and names as the server knows them, such as ``function:add``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Wishes of one run or of many; what is empty is as the program says."""

    model: str = ""
    adapter: Adapter | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    cache: bool = True
    all_events: bool = False
    resumable: bool = False
    tools: Tools = ()
    version: int = 0

    def __post_init__(self) -> None:
        if self.adapter is not None and self.adapter not in get_args(Adapter):
            msg = f"expected an adapter of {', '.join(get_args(Adapter))}, got {self.adapter!r}"
            raise ValueError(msg)

    def fields(self) -> dict[str, Any]:
        """The request's fields, those that are empty left out."""
        adapter = None if self.adapter is None else f"PROMPT_ADAPTER_{self.adapter.upper()}"
        given = {"adapter": adapter, "temperature": self.temperature, "max_tokens": self.max_tokens}
        given["cache"] = None if self.cache else False
        named = {name: value for name, value in given.items() if value is not None}
        return {"model": self.model, "version": self.version, **named, **self._tools()}

    def _tools(self) -> dict[str, list[str]]:
        """The tools of the agents; where hosts alone are given, the server knows which theirs are."""
        if not self.tools:
            return {}
        given = (
            list(self.tools) if isinstance(self.tools, Iterable) and not isinstance(self.tools, str) else [self.tools]
        )
        hosts = [one for one in given if not isinstance(one, str)]
        names: list[str] = []
        if len(hosts) < len(given):
            for one in given:
                names += [one] if isinstance(one, str) else one.names
        return {"tools": names, "tool_registrations": [host.registration for host in hosts]}

    def stream_fields(self) -> dict[str, Any]:
        """The fields of a request for a stream."""
        return {**self.fields(), "all_events": self.all_events, "resumable": self.resumable}


NO_WISHES = Wishes()
