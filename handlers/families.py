"""The families of handlers that an entry opens by name, each imported only where it is asked for. Owns nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from handlers.contract import EntryOptions, Handler

FAMILIES = {
    "core": "handlers.core",
    "models": "handlers.models.service",
    "embeddings": "handlers.embeddings.service",
    "metrics": "handlers.metrics.service",
    "tools": "handlers.tool_servers.service",
    "chaos": "handlers.chaos",
}
"""Built-in families by the name that `EntryOptions.builtins` uses; each module has `open_handlers(options)`."""


def open_family(name: str, options: EntryOptions) -> list[Handler]:
    """Return the handlers of a built-in family."""
    return cast("list[Handler]", import_module(FAMILIES[name]).open_handlers(options))


def open_created(options: EntryOptions) -> Handler | None:
    """Return what answers for the programs that clients have created, where this pool runs them."""
    if options.created is None:
        return None
    return cast("Handler", import_module("handlers.programs.created").CreatedPrograms(options))


def recorded(handler: Handler, options: EntryOptions) -> Handler:
    """Return what records the calls of a handler, where calls are saved; else the handler."""
    if options.replay is None:
        return handler
    from handlers.replay.handler import recorded as recording

    return recording(handler, options)
