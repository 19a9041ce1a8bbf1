"""The catalogue of everything that can be called, merged from what the pools report.

Owns the current snapshot and its generation number. A snapshot never changes; a merge replaces it, so a reader keeps
one consistent view for as long as it holds it. Knows nothing of processes and of how functions run.
"""

from __future__ import annotations

import base64
import binascii
import bisect
import difflib
from typing import TYPE_CHECKING

import msgspec

from handlers import names
from handlers.errors import BadInput, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from handlers.contract import Catalogue, FunctionSpec

DEFAULT_POOLS = {"function": "general", "program": "llm"}
"""The pool that a kind of item belongs to where it declares none and that pool has it."""

MAX_PAGE = 1000
USUAL_PAGE = 100

_MAX_COMPARED = 500
"""Similar names are looked for among this many, since comparing is slow and runs in the front."""


class Conflict(Exception):
    """The pools' catalogues can not be merged; the message says which items are at odds and the fix."""


class Snapshot:
    """The catalogue at one moment."""

    __slots__ = ("_by_metric", "_by_name", "_names", "functions", "generation", "metrics", "programs")

    def __init__(self, functions: Iterable[FunctionSpec] = (), generation: int = 0) -> None:
        self.generation = generation
        self.functions: tuple[FunctionSpec, ...] = tuple(sorted(functions, key=lambda spec: spec.name))
        """Everything that can be called, in the order of names; each has a pool."""
        self.programs = tuple(spec for spec in self.functions if spec.kind == "program")
        with_metric = [(spec.metric.metric, spec) for spec in self.functions if spec.metric is not None]
        self.metrics = tuple(spec for _, spec in sorted(with_metric, key=lambda pair: pair[0]))
        """The metrics, in the order of the names that callers use."""
        self._by_name = {spec.name: spec for spec in self.functions}
        self._by_metric = dict(with_metric)
        self._names = tuple(self._by_name)

    def find(self, name: str) -> FunctionSpec:
        """Return a function, program or built-in by name. Raises Unknown, with the most similar name."""
        spec = self._by_name.get(name)
        if spec is None:
            raise _unknown("function", "UNKNOWN_FUNCTION", name, self._names)
        return spec

    def find_program(self, name: str) -> FunctionSpec:
        """Return a program by name. Raises Unknown, with the most similar name."""
        spec = self._by_name.get(name)
        if spec is None or spec.kind != "program":
            raise _unknown("program", "UNKNOWN_PROGRAM", name, tuple(program.name for program in self.programs))
        return spec

    def find_metric(self, metric: str) -> FunctionSpec:
        """Return a metric by the name that callers use, such as ``bleu``. Raises Unknown."""
        spec = self._by_metric.get(metric)
        if spec is None:
            raise _unknown("metric", "UNKNOWN_METRIC", metric, tuple(self._by_metric))
        return spec

    def page(self, prefix: str = "", size: int = 0, token: str = "") -> tuple[tuple[FunctionSpec, ...], str]:
        """Return the functions of a page whose names start with a prefix, and the token of the next page or ""."""
        return _page(self.functions, prefix, size, token)

    def page_programs(self, size: int = 0, token: str = "") -> tuple[tuple[FunctionSpec, ...], str]:
        """Return the programs of a page, and the token of the next page or "". Raises BadInput, as `page` does."""
        return _page(self.programs, "", size, token)


class Registry:
    """Holds the current snapshot. Start, reload and created programs each merge anew."""

    def __init__(self, created: Mapping[str, FunctionSpec] | None = None) -> None:
        self._of_pools: tuple[FunctionSpec, ...] = ()
        self._created = dict(created or {})
        self.snapshot = self._reported = Snapshot()
        """The current catalogue: a plain attribute, because every call reads it."""

    def merge(self, by_pool: Mapping[str, Catalogue], default_pools: Mapping[str, str] = DEFAULT_POOLS) -> Snapshot:
        """Replace the catalogue by what the pools report, and return it.

        Of an item that several pools report one copy is kept: that of the pool it declares, else of its kind's
        default pool, else of the first pool in `by_pool`. Raises Conflict and keeps the old catalogue then.
        """
        reported: dict[str, dict[str, FunctionSpec]] = {}
        for pool, catalogue in by_pool.items():
            for spec in catalogue.functions:
                _check_name(spec, pool)
                reported.setdefault(spec.name, {})[pool] = spec
        self._of_pools = tuple(_placed(copies, tuple(by_pool), default_pools) for copies in reported.values())
        return self._renew()

    def create(self, specs: Mapping[str, FunctionSpec]) -> Snapshot:
        """Put these programs, which no pool reports, beside what the pools do; whose name a pool has stays out."""
        self._created = dict(specs)
        return self._renew()

    def _renew(self) -> Snapshot:
        own = self.own_names
        created = (spec for name, spec in self._created.items() if name not in own)
        self.snapshot = self._reported = Snapshot((*self._of_pools, *created), self.snapshot.generation + 1)
        return self.snapshot

    @property
    def own_names(self) -> set[str]:
        """The names of what the pools have reported."""
        return {spec.name for spec in self._of_pools}

    @property
    def reported(self) -> Snapshot:
        """The catalogue as the pools have reported it, with created programs, without what is laid over it."""
        return self._reported

    def lay_over(self, specs: Mapping[str, FunctionSpec]) -> Snapshot:
        """Put these in the place of the reported items of their names, or beside them, until the next call or merge."""
        kept = [spec for spec in self._reported.functions if spec.name not in specs]
        self.snapshot = Snapshot([*kept, *specs.values()], self.snapshot.generation + 1)
        return self.snapshot


def _check_name(spec: FunctionSpec, pool: str) -> None:
    try:
        names.check(spec.name)
    except ValueError as error:
        raise Conflict(f"{_origin(spec)} in the pool {pool!r}: {error}") from None


def _placed(copies: Mapping[str, FunctionSpec], pools: tuple[str, ...], defaults: Mapping[str, str]) -> FunctionSpec:
    """Return the one copy of an item that is kept, with its pool."""
    first_pool, first = next(iter(copies.items()))
    for pool, spec in copies.items():
        if spec.module != first.module or spec.kind != first.kind:
            raise Conflict(
                f"Expected one function named {first.name!r}, got two: from {_origin(first)} (pool {first_pool!r}) and "
                f"from {_origin(spec)} (pool {pool!r}). Rename one, or give it a name with @function(name=...)"
            )
    declared = {spec.pool for spec in copies.values() if spec.pool is not None}
    for pool in sorted(declared):
        if pool in copies:
            return msgspec.structs.replace(copies[pool], pool=pool)
        raise Conflict(_misplaced(first, pool, pools))
    default = defaults.get(first.kind, defaults.get("function", ""))
    pool = default if default in copies else first_pool
    return msgspec.structs.replace(copies[pool], pool=pool)


def _misplaced(spec: FunctionSpec, pool: str, pools: tuple[str, ...]) -> str:
    if pool not in pools:
        return (
            f"The function {spec.name!r} of {_origin(spec)} asks for the pool {pool!r}, which does not exist; "
            f"the pools are {', '.join(sorted(pools))}"
        )
    return (
        f"The function {spec.name!r} asks for the pool {pool!r}, which does not load {_origin(spec)}; "
        f"add it to `modules` of [pools.{pool}]"
    )


def _origin(spec: FunctionSpec) -> str:
    return "the bridge itself" if spec.module is None else f"the module {spec.module}"


def _unknown(what: str, reason: str, name: str, known: tuple[str, ...]) -> Unknown:
    shown = repr(name) if len(name) <= names.MAX_LENGTH else f"a name of {len(name)} characters"
    similar = _similar(name, known)
    if similar is not None:
        return Unknown(
            f"There is no {what} {shown}; did you mean {similar!r}?", reason=reason, metadata={"did_you_mean": similar}
        )
    shown_known = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
    return Unknown(f"There is no {what} {shown}; there is {shown_known or 'none at all'}", reason=reason)


def _similar(name: str, known: tuple[str, ...]) -> str | None:
    if not name or len(name) > names.MAX_LENGTH:
        return None
    compared = known
    if len(known) > _MAX_COMPARED:
        compared = tuple(other for other in known if other[0] == name[0])[:_MAX_COMPARED]
    found = difflib.get_close_matches(name, compared, n=1, cutoff=0.6)
    if found:
        return found[0]
    ending = [other for other in known if other.rpartition(".")[2] == name]
    return ending[0] if ending else None


def _page(specs: tuple[FunctionSpec, ...], prefix: str, size: int, token: str) -> tuple[tuple[FunctionSpec, ...], str]:
    """The token holds the last name sent, so paging goes on rightly when the catalogue has changed meanwhile."""
    if size < 0 or size > MAX_PAGE:
        raise _bad("page_size", f"expected 1 to {MAX_PAGE}, or 0 for {USUAL_PAGE}, got {size}")
    start = bisect.bisect_right(specs, _name_of(token), key=_name) if token else 0
    start = max(start, bisect.bisect_left(specs, prefix, key=_name))
    page: list[FunctionSpec] = []
    for spec in specs[start:]:
        if not spec.name.startswith(prefix):
            break
        if len(page) == (size or USUAL_PAGE):
            return tuple(page), _token(page[-1].name)
        page.append(spec)
    return tuple(page), ""


def _name(spec: FunctionSpec) -> str:
    return spec.name


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(token: str) -> str:
    try:
        name = base64.b64decode(token[:256].encode(), altchars=b"-_", validate=True).decode()
        names.check(name)
    except (binascii.Error, ValueError):
        raise _bad("page_token", "expected the token of the reply before, got another text") from None
    return name


def _bad(path: str, description: str) -> BadInput:
    return BadInput(f"{path}: {description}", violations=((path, description),))
