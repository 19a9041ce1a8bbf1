"""Runs a saved call again in this process, with the replies that were recorded and without a network.

Owns nothing that lasts. For a process of its own: it imports the user's code and sets the random numbers.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.boundary import BOUNDARY
from handlers.contract import CallMeta, CreatedOptions, EntryOptions, ErrorRecord, ModelOptions, ReplyMeta
from handlers.entry import Entry
from handlers.loading import LoadFailed
from handlers.programs.artefacts.sources import lock, lock_changes
from handlers.replay import requests, seeds
from handlers.replay.comparing import outcome_differences
from handlers.replay.origin import source_of
from handlers.replay.playing import Playing
from handlers.replay.record import Outcome, ReplayError
from handlers.replay.saving import scrubbed
from handlers.secret_scan import Scanner

if TYPE_CHECKING:
    from handlers.replay.record import SavedCall

_CREATED = 1
"""The number by which the created program is asked for."""


class _Nobody:
    """The front of a call that runs again: there is none, and what was asked of it has been recorded."""

    def ask(self, name: str, _body: bytes) -> tuple[bool, bytes]:
        """Refuse what passes by the recorded replies."""
        return False, msgspec.json.encode(_no_server(name))

    async def aask(self, name: str, _body: bytes) -> tuple[bool, bytes]:
        """Do as `ask`."""
        return False, msgspec.json.encode(_no_server(name))

    def tell(self, name: str, body: bytes) -> None:
        """Pass over what waits for no answer: it changes nothing of what runs again."""


def _no_server(name: str) -> ErrorRecord:
    message = f"a replay has no server to ask for '{name}'"
    return ErrorRecord(code="FAILED_PRECONDITION", reason="NO_SERVER", message=message)


@dataclass(slots=True, kw_only=True)
class Replayed:
    """What has become of it."""

    outcome: Outcome
    differences: list[str] = field(default_factory=list)
    """Between the two ends; nothing where they are the same."""
    remarks: list[str] = field(default_factory=list)
    """What was otherwise on the way: questions, code, versions."""

    @property
    def same(self) -> bool:
        """Whether it has ended as it did then."""
        return not self.differences


def replay(saved: SavedCall, app: str | None = None) -> Replayed:
    """Run a saved call again. `app` stands in for the module that the call came from. Raises ReplayError."""
    module = app or saved.program.module
    entry = _open(saved, module)
    remarks = []
    if module and saved.program.source and source_of(module) != saved.program.source:
        remarks.append(f"{module} has changed since the call was saved")
    remarks += [f"version of {change}" for change in lock_changes(saved.environment, lock())]
    if saved.program.kind == "program" and saved.program.state is not None:
        remarks += _give_state(entry, saved)
    scrub = Scanner.of(os.environ)
    playing = Playing(saved, scrub)
    method, body = requests.request_of_plain(saved.method, saved.request)
    seeds.give(saved.seeds)
    token = BOUNDARY.set(playing)
    try:
        outcome = _run(entry, saved, method, body)
    finally:
        BOUNDARY.reset(token)
    cleaned = msgspec.convert(scrubbed(msgspec.to_builtins(outcome), scrub), Outcome)
    remarks += playing.remarks
    remarks += [f"was not asked this time: {one.kind} {_name(one.request)}" for one in playing.left()]
    return Replayed(outcome=cleaned, differences=outcome_differences(saved.outcome, cleaned), remarks=remarks)


def _name(request: Any) -> str:
    return str(request.get("model", "")) if isinstance(request, dict) else str(request[0])


def _open(saved: SavedCall, module: str) -> Entry:
    models = {name: msgspec.convert({**one, "api_key": "replay"}, ModelOptions) for name, one in saved.models.items()}
    kind = saved.program.kind
    options = EntryOptions(
        pool="replay",
        modules=(module,) if module and kind in ("function", "program") else (),
        builtins=("core", "models") if kind == "builtin" else ("core",),
        models=models,
        created=CreatedOptions(allow_code=True) if kind == "created" else None,
    )
    try:
        entry = Entry(options)
    except LoadFailed as error:
        hint = "" if kind == "builtin" else " (its file may be elsewhere here: pass --app)"
        raise ReplayError(f"{error}{hint}") from None
    entry.bind(_Nobody())
    names = [spec.name for spec in entry.specs()]
    if kind != "created" and saved.program.name not in names:
        raise ReplayError(f"{module or 'the server'} has no '{saved.program.name}' any more")
    if kind == "program":
        from handlers.programs.lm_boundary import watch_every_model

        watch_every_model()
    return entry


def _give_state(entry: Entry, saved: SavedCall) -> list[str]:
    """Give a program the saved state that it had; return why it can not be had, if so."""
    from handlers.programs.artefacts.record import ArtefactError, PredictorState
    from handlers.programs.artefacts.state import apply_state, misfits

    state = msgspec.convert(saved.program.state, dict[str, PredictorState])
    program = getattr(entry.handler(saved.program.name), "program")  # noqa: B009  # of a ProgramHandler
    if found := misfits(program, state):
        return [f"version {saved.program.version} does not fit the program any more: {found[0]}"]
    try:
        apply_state(program, state, lambda _name, _saved, own: own)
    except ArtefactError as error:
        return [f"version {saved.program.version} can not be loaded: {error}"]
    return []


def _run(entry: Entry, saved: SavedCall, method: str, body: bytes) -> Outcome:
    created = saved.program.kind == "created"
    meta = CallMeta(method, request_id=saved.request_id, definition=_CREATED if created else 0)
    encoded = msgspec.msgpack.encode(meta)
    function = saved.program.name
    is_async = entry.is_async(function)
    if not requests.METHODS[method].streams:
        if is_async:
            ok, reply, response = asyncio.run(entry.acall(function, encoded, body, None))
        else:
            ok, reply, response = entry.call(function, encoded, body, None)
        messages = [response]
    else:
        found = asyncio.run(_collected(entry, function, encoded, body)) if is_async else []
        if not is_async:
            with closing(entry.stream(function, encoded, body, None)) as items:
                found = list(items)
        *messages, last = found
        ok, reply, _ = last
    if not ok:
        return Outcome(error=msgspec.msgpack.decode(reply, type=ReplyMeta).error)
    value, several = requests.result_to_plain(method, messages)
    return Outcome(value=value, items=several)


async def _collected(entry: Entry, function: str, meta: bytes, body: bytes) -> list[Any]:
    return [item async for item in entry.astream(function, meta, body, None)]
