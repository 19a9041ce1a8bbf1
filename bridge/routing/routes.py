"""What a route is: a name that callers use, and the alternatives that may answer. Records; `table` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from bridge.routing.breakers import function_key
from bridge.settings.route_tables import RouteConfig
from handlers.contract import FunctionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One way to answer the calls of a route. `label` is its name in figures, receipts and breakers."""

    label: str
    function: str
    """The function that runs; empty where it is the one that was called, on `model`."""
    spec: FunctionSpec | None
    """Of that function, in the pool that runs it; None where it is the one that was called."""
    model: str = ""
    """The language model that the request is given; empty where it stays as it is."""
    weight: float = 1.0
    shadow: float = 0.0
    keys: tuple[str, ...] = ()
    """Of its breakers: of this alternative of the route, and of its function where it runs."""
    needs: tuple[str, ...] = ()
    """Keys of breakers that its requests meet later, in the worker: while one is open it is not worth asking."""

    @property
    def idempotent(self) -> bool:
        """Whether it is declared that repeating it does no harm. Asking a model does nothing but cost money."""
        return self.spec is None or self.spec.idempotent


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How the calls of a name are answered. `fallback` come in their order, after the alternatives."""

    name: str
    config: RouteConfig
    alternatives: tuple[Alternative, ...]
    fallback: tuple[Alternative, ...] = ()
    idempotent: bool = False
    """Whether repeating a call does no harm, by the configuration or because all its functions say so."""
    declared: bool = True
    """Whether it is configured; else it is there as long as a breaker of a function is not closed."""
    shadows: tuple[Alternative, ...] = field(init=False)
    """Those that get copies of calls."""

    def __post_init__(self) -> None:
        for field_name in ("alternatives", "fallback"):
            keyed = tuple(replace(one, keys=_keys(self.name, one)) for one in getattr(self, field_name))
            object.__setattr__(self, field_name, keyed)
        object.__setattr__(self, "shadows", tuple(one for one in self.alternatives if one.shadow))


def _keys(route: str, one: Alternative) -> tuple[str, ...]:
    key = function_key(route, one.label)
    if one.spec is None:
        return (key,)
    place = "native" if one.spec.placement == "native" else f"pool/{one.spec.pool}"
    return tuple(dict.fromkeys((key, function_key(one.function, place))))


class RoutedSpec(FunctionSpec, frozen=True, kw_only=True):
    """What the catalogue has under a name whose calls are answered by a route.

    It is pooled and async, whatever its functions are: no shorter way may be taken for its calls.
    """

    route: Route | None = None
    by_model: Mapping[str, Route] = msgspec.field(default_factory=dict)
    """Routes of calls whose request names one of these models; other calls take the function's own way."""
    original: FunctionSpec | None = None
    """The function of this name; None where there is none."""
