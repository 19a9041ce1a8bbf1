"""Where a function or program comes from: the user's file, its hash, the saved version of it that serves.

Owns no state. Says what is there now; replays compare it with what was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from handlers.loading import load_module
from handlers.programs.artefacts.sources import digest
from handlers.replay.record import Program

if TYPE_CHECKING:
    from handlers.contract import EntryOptions, FunctionSpec


def program_of(spec: FunctionSpec, options: EntryOptions, definition: Any) -> Program:
    """Return what is called by the name of a function of this process."""
    if definition is not None:
        name, version = definition["name"], definition["version"]
        return Program(name=name, kind="created", version=version, definition=definition)
    if spec.module is None:
        return Program(name=spec.name, kind=spec.kind)
    version, state = 0, None
    if spec.program is not None and spec.program.artefact:
        version, state = spec.program.artefact, _saved(spec.name, spec.program.artefact, options)
    return Program(
        name=spec.name, kind=spec.kind, module=spec.module, source=source_of(spec.module), version=version, state=state
    )


def source_of(module: str) -> str:
    """Return the hash of the file of a user's module, which is loaded already; empty where it has none."""
    file = getattr(load_module(module), "__file__", None)
    return digest(Path(file)) if file and Path(file).is_file() else ""


def _saved(name: str, version: int, options: EntryOptions) -> Any:
    """Return the predictors of a saved version; None where it is gone."""
    import msgspec

    from handlers.programs.artefacts.record import ArtefactError
    from handlers.programs.artefacts.store import ArtefactStore

    try:
        return msgspec.to_builtins(ArtefactStore(Path(options.artefacts)).get(name, version).predictors)
    except ArtefactError:
        return None
