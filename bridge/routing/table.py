"""From the configured routes and the catalogue to the routes that are served: every name looked up, every pair checked.

Pure. What is wrong is raised as `RouteProblem`, all of it at once, before anything is served. Knows nothing of calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from bridge.gateway.providers import provider_breakers
from bridge.routing.routes import Alternative, Route, RoutedSpec
from bridge.schema_fit import misfits
from bridge.settings.route_tables import AlternativeConfig, RouteConfig, weight_of
from handlers.contract import Catalogue, FunctionSpec
from handlers.errors import Unknown
from handlers.registry import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.config import Config

MODEL_FUNCTIONS = tuple(
    f"bridge.models.{name}"
    for name in (
        *("generate", "stream_generate", "extract", "stream_extract"),
        *("generate_batch", "stream_generate_batch", "extract_batch", "generate_images"),
    )
)
"""What is called with the name of a language model in the request."""
SHOWN = 3
"""Misfits of one pair that are told."""


class RouteProblem(Exception):
    """Routes that can not be served; the message has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RouteTable:
    """The routes of one server, by name; `specs` is what the catalogue has instead of, or beside, the functions."""

    def __init__(self, routes: Mapping[str, Route], specs: Mapping[str, RoutedSpec]) -> None:
        self.routes = routes
        self.specs = specs


def route_table(
    configured: Mapping[str, RouteConfig],
    snapshot: Snapshot,
    catalogues: Mapping[str, Catalogue],
    providers: Mapping[str, tuple[str, ...]] | None = None,
) -> RouteTable:
    """Return the routes. `snapshot` has the functions as the pools report them. Raises RouteProblem.

    `providers` has the keys of the breakers that guard each language model.
    """
    routes: dict[str, Route] = {}
    specs: dict[str, RoutedSpec] = {}
    problems: list[str] = []
    look = _Look(snapshot, catalogues)
    for name, config in configured.items():
        try:
            if config.of_models:
                routes[name] = _of_models(name, config, providers or {})
            else:
                routes[name], specs[name] = _of_functions(name, config, look)
        except RouteProblem as problem:
            problems += problem.problems
    by_model = {name: route for name, route in routes.items() if route.config.of_models}
    for function in MODEL_FUNCTIONS if by_model else ():
        if (spec := look.known(function)) is None:
            problems.append(f"routes of models need '{function}', which the server does not have: is the pool llm off?")
        elif function in specs:
            specs[function] = msgspec.structs.replace(specs[function], by_model=by_model)
        else:
            specs[function] = routed(spec, None, by_model)
    if problems:
        raise RouteProblem(problems)
    return RouteTable(routes, specs)


def routed(spec: FunctionSpec, route: Route | None, by_model: dict[str, Route] | None = None) -> RoutedSpec:
    """Return what the catalogue has in the place of a function whose calls are answered by a route."""
    fields = {field: getattr(spec, field) for field in FunctionSpec.__struct_fields__}
    fields |= {"placement": "pooled", "is_async": True, "batch": None}
    return RoutedSpec(**fields, route=route, by_model=by_model or {}, original=spec)


def alone(spec: FunctionSpec) -> Route:
    """Return the route of a function that has none, whose calls pass a breaker for a while."""
    return Route(
        name=spec.name,
        config=RouteConfig(),
        alternatives=(Alternative(label=spec.name, function=spec.name, spec=spec),),
        idempotent=spec.idempotent,
        declared=False,
    )


def of_config(config: Config, snapshot: Snapshot, catalogues: Mapping[str, Catalogue]) -> RouteTable:
    """Return the routes of a configuration. Raises RouteProblem."""
    providers = provider_breakers(config.models) if config.breakers.providers.enabled else {}
    return route_table(config.routes, snapshot, catalogues, providers)


class _Look:
    """Finds functions, also in a pool that is not the one which serves them."""

    def __init__(self, snapshot: Snapshot, catalogues: Mapping[str, Catalogue]) -> None:
        self._snapshot = snapshot
        self._catalogues = catalogues

    def known(self, name: str) -> FunctionSpec | None:
        try:
            return self._snapshot.find(name)
        except Unknown:
            return None

    def find(self, name: str, pool: str | None, where: str) -> FunctionSpec:
        try:
            spec = self._snapshot.find(name)
        except Unknown as unknown:
            raise RouteProblem([f"{where}: {unknown}"]) from None
        if pool is None or pool == spec.pool:
            return spec
        reported = self._catalogues.get(pool, Catalogue())
        for copy in reported.functions:
            if copy.name == name:
                return msgspec.structs.replace(copy, pool=pool, placement="pooled")
        having = sorted(
            other for other, one in self._catalogues.items() if any(spec.name == name for spec in one.functions)
        )
        message = f"{where}: the pool '{pool}' does not load '{name}'; it is in {', '.join(having)}"
        raise RouteProblem([f"{message}. Add its module to `modules` of [pools.{pool}]"])


def _of_models(name: str, config: RouteConfig, providers: Mapping[str, tuple[str, ...]]) -> Route:
    def of(model: str, weight: float = 1.0, shadow: float = 0.0) -> Alternative:
        needs = providers.get(model, ())
        return Alternative(label=model, function="", spec=None, model=model, weight=weight, shadow=shadow, needs=needs)

    alternatives = tuple(of(str(one.model), weight_of(one), one.shadow) for one in config.alternatives)
    labels = {one.label: one for one in alternatives}
    fallback = tuple(labels.get(model) or of(model) for model in config.fallback)
    # Asking a model does nothing but cost money.
    return Route(name=name, config=config, alternatives=alternatives, fallback=fallback, idempotent=True)


def _of_functions(name: str, config: RouteConfig, look: _Look) -> tuple[Route, RoutedSpec]:
    own = look.known(name)
    if own is None and not config.alternatives:
        raise RouteProblem([f"routes.{name}: there is no function '{name}', so the route needs `alternatives`"])
    given = config.alternatives or (AlternativeConfig(),)
    alternatives = tuple(
        _alternative(name, one, f"routes.{name}.alternatives.{index}", own, look) for index, one in enumerate(given)
    )
    labels = {one.label: one for one in alternatives}
    if len(labels) < len(alternatives):
        raise RouteProblem([f"routes.{name}.alternatives: two of them are the same"])
    fallback = []
    for index, label in enumerate(config.fallback):
        where = f"routes.{name}.fallback.{index}"
        found = labels.get(label)
        if found is None:
            found = Alternative(label=label, function=label, spec=look.find(label, None, where))
        fallback.append(found)
    everyone = {one.label: one for one in (*alternatives, *fallback)}.values()
    model = own or next(one.spec for one in alternatives if one.spec is not None)
    if problems := list(_problems(name, config, model, everyone)):
        raise RouteProblem(problems)
    safe = config.idempotent or all(one.spec is not None and one.spec.idempotent for one in everyone)
    route = Route(name=name, config=config, alternatives=alternatives, fallback=tuple(fallback), idempotent=safe)
    shown = model if own is not None else msgspec.structs.replace(model, name=name, module=None)
    spec = routed(msgspec.structs.replace(shown, idempotent=safe), route)
    return route, msgspec.structs.replace(spec, original=own)


def _alternative(
    route: str, config: AlternativeConfig, where: str, own: FunctionSpec | None, look: _Look
) -> Alternative:
    function = config.function or route
    if config.function is None and own is None:
        raise RouteProblem([f"{where}: there is no function '{route}'; name one with `function`"])
    spec = look.find(function, config.pool, where)
    label = function if config.pool is None else f"{function}@{config.pool}"
    return Alternative(label=label, function=function, spec=spec, weight=weight_of(config), shadow=config.shadow)


def _problems(name: str, config: RouteConfig, model: FunctionSpec, everyone: Iterable[Alternative]) -> Iterator[str]:
    """Yield what keeps alternatives from standing in for `model`, which callers see."""
    for one in everyone:
        assert one.spec is not None
        yield from (
            f"routes.{name}: '{one.label}' can not answer for '{model.name}': {why}" for why in _gaps(one.spec, model)
        )
        safe = one.spec.idempotent or config.idempotent
        if one.shadow and not safe:
            yield (
                f"routes.{name}: '{one.label}' is to get copies of calls, but is not declared idempotent: a copy does "
                "its work once more. Declare it, or set `idempotent = true` of the route"
            )
        if config.hedge is not None and not safe:
            yield (
                f"routes.{name}: hedging runs a call twice, but '{one.label}' is not declared idempotent. Declare it, "
                "or set `idempotent = true` of the route"
            )


def _gaps(spec: FunctionSpec, model: FunctionSpec) -> Iterator[str]:
    """Yield why one function can not stand in for another."""
    if spec.kind != model.kind:
        yield f"it is a {spec.kind}, and the other a {model.kind}"
        return
    if spec.streaming != model.streaming:
        yield f"it {'sends a stream' if spec.streaming else 'sends one result'}, and the other does not"
    for what, wide, narrow in (
        ("arguments differ", spec.arguments_schema, model.arguments_schema),
        ("result differs", model.result_schema, spec.result_schema),
    ):
        if wide != narrow and (problems := misfits(wide, narrow)):
            more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
            yield f"its {what}: {'; '.join(problems[:SHOWN])}{more}"
