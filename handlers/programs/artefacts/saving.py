"""Making artefacts of programs, and loading them over the programs of an app.

Saving refuses what holds a secret; loading refuses an artefact of another program, another signature or another source.
Imports dspy where it works on a program. Owns no state.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from handlers.programs.artefacts import record
from handlers.programs.artefacts.record import Artefact, ArtefactError, InterfaceState
from handlers.programs.artefacts.sources import lock, lock_changes, source_changes, source_of
from handlers.programs.artefacts.store import AS_WRITTEN, ArtefactStore
from handlers.secret_scan import Scanner

if TYPE_CHECKING:
    import types

    from handlers.contract import EntryOptions
    from handlers.programs.definitions import ProgramDefinition
    from handlers.programs.lm import LanguageModels

_LOG = logging.getLogger(__name__)
_SHOWN = 5

SourceChanges = Literal["refuse", "warn"]
"""What follows where the files of a program are not those that its state was saved with."""


def save_program(
    program: Any, name: str, *, app: str | Path, to: str | Path, models: bool = True, secrets: tuple[str, ...] = ()
) -> int:
    """Save the state of a program of an app as its next version in a directory of artefacts; return the version.

    For scripts that make programs better: `program` is what an optimiser has returned, `app` the file that the server
    serves and `name` the program's name there. Without `models`, the program keeps no language models. Refuses a state
    that holds a secret. Raises ArtefactError.
    """
    artefact = of_program(program, name, Path(app), models=models)
    refuse_secrets(artefact, Scanner.of(os.environ, secrets))
    version, _ = ArtefactStore(Path(to)).add(artefact)
    return version


def of_program(program: Any, name: str, app: Path, *, models: bool = True) -> Artefact:
    """Return the artefact of a program of an app. Raises ArtefactError."""
    from handlers.programs.artefacts.state import state_of

    return Artefact(
        format=record.FORMAT,
        format_version=record.VERSION,
        program=name,
        interface=_interface(name, program),
        lock=lock(),
        source=source_of(program, app),
        predictors=state_of(program, models=models),
    )


def of_definition(definition: ProgramDefinition) -> Artefact:
    """Return the artefact of a created program."""
    from handlers.programs import definitions
    from handlers.signatures import json_schema

    signature = definition.signature
    return Artefact(
        format=record.FORMAT,
        format_version=record.VERSION,
        program=definition.name,
        interface=InterfaceState(
            signature=str(signature),
            inputs=json_schema.of_fields(signature.inputs),
            outputs=json_schema.of_fields(signature.outputs),
        ),
        lock=lock(),
        definition=definitions.from_json(definitions.to_json(definition)),
    )


def refuse_secrets(artefact: Artefact, scanner: Scanner) -> None:
    """Raise ArtefactError, naming the places, where an artefact holds a secret."""
    found = scanner.findings(json.loads(record.encode(artefact)))
    if found:
        shown = "; ".join(map(str, found[:_SHOWN])) + (f"; and {len(found) - _SHOWN} more" if found[_SHOWN:] else "")
        raise ArtefactError(f"'{artefact.program}' is not saved, because it holds what looks like a secret: {shown}")


def restore(program: Any, artefact: Artefact, app: Path, options: EntryOptions, models: LanguageModels) -> None:
    """Give a program of an app the state of an artefact. Raises ArtefactError; the program is as it was then."""
    from handlers.programs.artefacts.lm_state import Resolver
    from handlers.programs.artefacts.state import apply_state

    check(program, artefact, app, options.source_changes)
    apply_state(program, artefact.predictors, Resolver(options.models, models))


def check(program: Any, artefact: Artefact, app: Path, changes: str) -> None:
    """Raise ArtefactError where an artefact is not of this program as it is now."""
    from handlers.programs.artefacts.state import misfits

    if artefact.definition is not None:
        raise ArtefactError(f"'{artefact.program}' is an artefact of a created program, not of one in a file")
    if found := misfits(program, artefact.predictors):
        raise ArtefactError(f"the artefact does not fit '{artefact.program}': {'; '.join(found[:_SHOWN])}")
    if differing := source_changes(artefact.source, source_of(program, app)):
        what = f"'{artefact.program}' was saved with other code: {'; '.join(differing[:_SHOWN])}"
        if changes == "refuse":
            raise ArtefactError(
                f"{what}. Save it anew with this code, or, where the change does not matter, set "
                'programs.source_changes = "warn"'
            )
        _LOG.warning("%s", what)
    if different := lock_changes(artefact.lock, lock()):
        _LOG.warning("'%s' was saved with other versions: %s", artefact.program, "; ".join(different))


def restored(name: str, program: Any, module: types.ModuleType, options: EntryOptions, models: LanguageModels) -> int:
    """Give a program of a module the version of it that serves; return that version. Raises ArtefactError."""
    store = ArtefactStore(Path(options.artefacts))
    version = store.serving(name)
    if version != AS_WRITTEN:
        app = getattr(module, "__file__", None)
        if not app:
            raise ArtefactError(f"version {version} of '{name}' can not be loaded: its module has no file")
        restore(program, store.get(name, version), Path(app), options, models)
    return version


def _interface(name: str, program: Any) -> InterfaceState:
    from handlers.programs.interface import interface_of

    try:
        found = interface_of(name, program)
    except ValueError as error:
        raise ArtefactError(f"'{name}' can not be served: {error}") from None
    return InterfaceState(
        signature=found.notation,
        inputs=json.loads(found.inputs.json_schema),
        outputs=json.loads(found.outputs.json_schema),
    )
