"""The parts that routes and breakers are made of, put together: breakers, figures, table, attempts. `app` makes one.

Owns which functions are guarded: those without a route of which a breaker is not closed. Their calls go by their
breaker until it has closed; all other calls of functions without a route know nothing of breakers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.attempts.runner import AttemptsRunner
from bridge.gateway.gateway import Gateway
from bridge.gateway.providers import provider_breakers
from bridge.gateway.spent_file import SpentFile
from bridge.routing.breakers import PROVIDER, BreakerChanged, BreakerRule, Breakers, State, by_order
from bridge.routing.routes import RoutedSpec
from bridge.routing.stats import RouteStats
from bridge.routing.table import RouteTable, alone, routed
from handlers.errors import Unknown

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.native import NativeRunner
    from bridge.pooled import PooledRunner
    from bridge.routing.router import Router
    from bridge.settings.route_tables import BreakerConfig
    from bridge.telemetry import Telemetry
    from handlers.registry import Registry
    from pool.pool import Pool

FUNCTION = "function/"


class RouteParts:
    """All that belongs to routes. `serve` lays them over the catalogue of `registry`."""

    def __init__(self, config: Config, registry: Registry, telemetry: Telemetry) -> None:
        clock = asyncio.get_running_loop().time
        self._config = config
        self._registry = registry
        self._telemetry = telemetry
        self.table = RouteTable({}, {})
        self.stats = RouteStats(clock)
        self.breakers = Breakers(clock, self._breaker_changed, self._rule_of)
        self.gateway = Gateway(self.breakers)
        self.gateway.renew(config)
        self._spent: SpentFile | None = None
        self._guarded: dict[str, set[str]] = {}
        """The keys that are not closed, by the function that they belong to."""
        self._router: Router | None = None
        self.runner: AttemptsRunner | None = None
        self.told: list[Callable[[], None]] = []
        """What is called when created programs have changed the catalogue."""

    def open(self) -> None:
        """Take over what standing budgets have spent. Raises StoreError."""
        budgets, path = self.gateway.budgets, self._config.spending.file
        if path is None:
            return
        self._spent = SpentFile(Path(path), lambda: list(budgets.records()))
        budgets.restore(self._spent.read())
        budgets.changed = self._spent.changed

    async def close(self) -> None:
        """Keep what standing budgets have spent."""
        if self._spent is not None:
            await self._spent.close()

    def make_runner(
        self, pools: Mapping[str, Pool], native: NativeRunner, pooled: PooledRunner, router: Router
    ) -> AttemptsRunner:
        """Make what runs calls of routes."""
        self._router = router
        self.runner = AttemptsRunner(
            pools, native, pooled, router, self.stats, self.breakers, self._telemetry.bounds_changed
        )
        return self.runner

    def serve(self, config: Config, table: RouteTable) -> None:
        """Serve these routes from now on, over the catalogue that the pools have reported."""
        self._config, self.table = config, table
        self.breakers.renew(self._rule_of)
        self.gateway.renew(config)
        if self.runner is not None:
            self.runner.renew()
        self._lay_over()

    def catalogue_changed(self) -> None:
        """Lay the routes over the catalogue anew, and tell whoever else goes by it."""
        self._lay_over()
        for told in self.told:
            told()

    def keys(self) -> set[str]:
        """Return the keys of all breakers that there may be."""
        routes = self.table.routes.values()
        found = {key for route in routes for one in (*route.alternatives, *route.fallback) for key in one.keys}
        found |= {key for keys in provider_breakers(self._config.models).values() for key in keys}
        for spec in self._registry.reported.functions:
            found |= set(alone(spec).alternatives[0].keys[1:])
        return found | {one.key for one in self.breakers.snapshot()}

    def drain(self) -> None:
        """Run no more copies of calls, and end those that run: nobody is to wait for them."""
        if self.runner is not None:
            self.runner.close()

    def _rule_of(self, key: str) -> BreakerRule | None:
        if key.startswith(PROVIDER):
            return _rule(self._config.breakers.providers)
        route = self._config.routes.get(key.removeprefix(FUNCTION).partition("/")[0])
        if route is None or by_order(key):
            return None
        return _rule(route.breaker or self._config.breakers.routes)

    def _breaker_changed(self, event: BreakerChanged) -> None:
        self._telemetry.breaker_changed(event)
        if not event.key.startswith(FUNCTION):
            return
        function = event.key.removeprefix(FUNCTION).partition("/")[0]
        before = bool(self._guarded.get(function))
        keys = self._guarded.setdefault(function, set())
        if event.new is State.CLOSED:
            keys.discard(event.key)
        else:
            keys.add(event.key)
        if not keys:
            del self._guarded[function]
        if bool(keys) != before and function not in self.table.specs:
            self._lay_over()

    def _lay_over(self) -> None:
        specs: dict[str, RoutedSpec] = dict(self.table.specs)
        for function in self._guarded:
            if function not in specs:
                try:
                    spec = self._registry.reported.find(function)
                except Unknown:  # a name that anybody may have ordered a breaker for, or that a reload has removed
                    continue
                specs[function] = routed(spec, alone(spec))
        self._registry.lay_over(specs)
        if self._router is not None:
            self._router.forget()


def _rule(config: BreakerConfig) -> BreakerRule | None:
    if not config.enabled:
        return None
    return BreakerRule(**config.model_dump(exclude={"enabled"}))
