"""Created programs in the front: what is stored, as the catalogue shows it, and which version a call runs.

Owns the store, and the number of each definition that has run: workers know it by that number, which is never given
twice, so that a program that is deleted and made anew is another one. Changes go through a thread, one at a time, since
they wait for the disk; calls read what is in memory.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bridge.call import EMPTY_META
from bridge.envelope import varint_field
from bridge.errors import BridgeError, Code
from bridge.pools import CREATED_POOL
from bridge.programs.store import ProgramStore
from bridge.telemetry import log
from handlers.contract import ReplyMeta
from handlers.errors import BadInput, ExtraMissing, Unknown
from handlers.programs import definitions
from handlers.programs.created_schemas import spec_of

if TYPE_CHECKING:
    from bridge.asks import AtOnce
    from bridge.call import Call
    from bridge.pools import PoolPlan
    from bridge.sessions.record import Session
    from bridge.settings.program_table import ProgramsConfig
    from handlers.contract import FunctionSpec
    from handlers.programs.definitions import ProgramDefinition
    from handlers.registry import Registry

ASK = "program.definition"
"""As `handlers.programs.created` says it."""
VERSION_FIELD = 10
"""Of RunRequest and StreamRunRequest."""
MAX_PINNED = 256
"""Programs of one session whose version is kept; beyond that, the one that it met first begins anew."""

_number = msgspec.msgpack.Decoder(int).decode


class CreatedPrograms:
    """All created programs of one server. `changed` is called when the catalogue has other programs."""

    def __init__(
        self,
        config: ProgramsConfig,
        registry: Registry,
        changed: Callable[[], None],
        plan: Callable[[], PoolPlan],
    ) -> None:
        self._registry = registry
        self._changed = changed
        self._plan = plan
        self._directory = None if config.directory is None else Path(config.directory)
        self.store = ProgramStore(self._directory, config.max_programs, config.max_versions)
        self._specs: dict[str, FunctionSpec] = {}
        self._numbers: dict[str, dict[int, int]] = {}
        self._by_number: dict[int, ProgramDefinition] = {}
        self._next = itertools.count(1)
        self._changing = asyncio.Lock()
        self._add_all()

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._specs)

    def specs(self) -> Mapping[str, FunctionSpec]:
        """Return the programs as the catalogue shows them."""
        return self._specs

    def close(self) -> None:
        """Let another server have the directory."""
        self.store.close()

    def _add_all(self) -> None:
        for definition in self.store.current():
            self._specs[definition.name] = spec_of(definition, CREATED_POOL)
        self._registry.create(self._specs)
        if self._directory is None:
            log(logging.INFO, "created programs are kept in memory only; [programs] directory keeps them on disk")
        else:
            log(logging.INFO, f"{len(self._specs)} created programs in {self._directory}")

    def tell(self) -> None:
        """Log which programs are not served because something of the app has their name."""
        for name in sorted(set(self._specs) & self._registry.own_names):
            log(logging.WARNING, f"the created program '{name}' is not served: the app has that name", function=name)

    # -- changes --------------------------------------------------------------------------------------------------

    async def create(self, definition: ProgramDefinition) -> FunctionSpec:
        """Add a program. Raises BadInput, PROGRAM_EXISTS, TOO_MANY_PROGRAMS."""
        async with self._changing:
            name = definition.name
            if name not in self._specs and any(name == spec.name for spec in self._registry.snapshot.functions):
                message = f"the server has '{definition.name}' already, of its app or built in; choose another name"
                raise BridgeError(Code.ALREADY_EXISTS, "PROGRAM_EXISTS", message)
            return self._serving(await asyncio.to_thread(self.store.create, definition), "created")

    async def update(
        self, definition: ProgramDefinition, expected_version: int
    ) -> tuple[ProgramDefinition, FunctionSpec]:
        """Add a version that serves from now on; the one before comes with it. Raises as the store's `update`."""
        async with self._changing:
            before = self.store.get(definition.name)
            made = await asyncio.to_thread(self.store.update, definition, expected_version)
            return before, self._specs[made.name] if made is before else self._serving(made, "updated")

    async def serve(self, name: str, version: int) -> FunctionSpec:
        """Let a version serve from now on. Raises Unknown."""
        async with self._changing:
            return self._serving(await asyncio.to_thread(self.store.serve, name, version), "serves another version")

    async def delete(self, name: str) -> None:
        """Remove a program. Raises Unknown."""
        async with self._changing:
            await asyncio.to_thread(self.store.delete, name)
            for number in self._numbers.pop(name, {}).values():
                del self._by_number[number]
            self._specs.pop(name, None)
            self._publish()
            log(logging.INFO, "program deleted", function=name)

    def _serving(self, definition: ProgramDefinition, what: str) -> FunctionSpec:
        spec = self._specs[definition.name] = spec_of(definition, CREATED_POOL)
        self._publish()
        log(logging.INFO, f"program {what}", function=definition.name, version=definition.version)
        return spec

    def _publish(self) -> None:
        self._registry.create(self._specs)
        self._changed()

    # -- calls ----------------------------------------------------------------------------------------------------

    def choose(self, call: Call) -> None:
        """Write into the call of a created program which version it runs: the one that it asks for, or its session's.

        Other calls stay as they are. Raises Unknown.
        """
        spec = call.spec
        if call.definition or spec is None or spec.program is None or not spec.program.version:
            return
        check_pool(self._plan())
        name = spec.name
        if asked := _asked_version(call):
            number = self._number(self.store.get(name, asked))
        elif call.session is not None:
            number = self._pinned(call.session, name)
        else:
            number = self._number(self.store.get(name))
        call.definition, call.version = number, self._by_number[number].version
        if call.identity.bare:
            call.identity = msgspec.structs.replace(call.identity, bare=False)
        if call.meta is EMPTY_META:
            call.meta = ReplyMeta()  # a receipt is written in full then: it has the version

    def _pinned(self, session: Session, name: str) -> int:
        if session.programs is None:
            session.programs = {}
        number = session.programs.get(name, 0)
        if number not in self._by_number:
            number = session.programs[name] = self._number(self.store.get(name))
            if len(session.programs) > MAX_PINNED:
                del session.programs[next(iter(session.programs))]
        return number

    def _number(self, definition: ProgramDefinition) -> int:
        numbers = self._numbers.setdefault(definition.name, {})
        if (number := numbers.get(definition.version)) is None:
            number = numbers[definition.version] = next(self._next)
            self._by_number[number] = definition
        return number

    def asks(self) -> dict[str, AtOnce]:
        """Return the answers to what workers ask, by name."""
        return {ASK: self._definition}

    def _definition(self, _call: Call, body: bytes) -> bytes:
        if (definition := self._by_number.get(_number(body))) is None:
            raise Unknown("The program has been deleted.", reason="UNKNOWN_PROGRAM")
        return definitions.to_json(definition)


def check_pool(plan: PoolPlan) -> None:
    """Raise ExtraMissing or POOL_UNAVAILABLE where nothing can run created programs."""
    if (extra := plan.missing.get(CREATED_POOL)) is not None:
        raise ExtraMissing.of("a created program", extra)
    if CREATED_POOL in plan.off:
        fix = f"set pools.{CREATED_POOL}.size to 1 or more"
        message = f"created programs need the pool '{CREATED_POOL}', which is switched off: {fix}"
        metadata = {"pool": CREATED_POOL, "cause": "switched off"}
        raise BridgeError(Code.FAILED_PRECONDITION, "POOL_UNAVAILABLE", message, metadata=metadata)


def check_model(definition: ProgramDefinition, models: Mapping[str, object]) -> None:
    """Raise BadInput where a definition names a model that is not configured."""
    if definition.model and definition.model not in models:
        known = ", ".join(sorted(models)) or "none at all"
        what = f"there is no model {definition.model[:100]!r}; there is {known}"
        raise BadInput(f"source.model: {what}", violations=(("source.model", what),))


def _asked_version(call: Call) -> int:
    if not call.method.startswith("ProgramService/"):
        return 0
    return varint_field(call.request, VERSION_FIELD, "RunRequest")
