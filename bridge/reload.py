"""Brings a running server to what its configuration file and its code say now, without failing a call.

First everything that can fail is tried beside the running server: the settings, new pools, one worker of each pool that
has code of the user, the merged catalogue, the native functions. Only then are workers replaced, pool by pool, each
ready before the one that it replaces takes no more calls; at the end the catalogue is swapped. Owns what is being
tried, and the pools that are leaving.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.pools import front_environ, native_options, plan
from bridge.routing.table import RouteProblem, RouteTable, of_config
from bridge.settings.errors import ConfigError
from bridge.telemetry import log
from handlers.contract import Catalogue, EntryOptions, FunctionSpec
from handlers.entry import Entry
from handlers.loading import LoadFailed
from handlers.registry import Conflict, Registry
from handlers.reloading import fresh_imports
from pool.errors import StartFailed

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.pools import PoolPlan
    from pool.options import PoolOptions
    from pool.pool import Pool

MakePool = Callable[["PoolOptions", bool], "Pool"]
"""Makes a pool; with True one for a trial, whose events are none of the server's."""
FIXED = (
    (
        "server",
        (
            *("address", "fronts", "max_message_bytes", "reflection", "keepalive_time_s", "keepalive_timeout_s"),
            *("tls_certificate", "tls_key", "tls_client_ca", "unix_socket", "unix_users", "insecure", "cgroups"),
        ),
    ),
    ("sessions", ()),
    ("programs", ("directory", "max_programs", "max_versions")),
    ("metrics", ()),
    ("keys", ()),
)
"""Settings that need a restart: by section, all of it where no key is named."""
DETAIL_LINES = 15
SHOWN_KEYS = 10


class ReloadFailed(Exception):
    """What is there now can not be served; the message says why, `detail` what the user's code said."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What has been tried and can be served."""

    config: Config
    plan: PoolPlan
    catalogues: dict[str, Catalogue]
    new_pools: dict[str, Pool]
    native: Entry
    routes: RouteTable


class Reloader:
    """Reloads one server. `pools` and `catalogues` are the running ones, by name; they are changed in place.

    `adopt` takes over everything that is no pool, and must not fail. `created` returns the created programs.
    """

    def __init__(
        self,
        apps: tuple[str, ...],
        pools: dict[str, Pool],
        catalogues: dict[str, Catalogue],
        make_pool: MakePool,
        adopt: Callable[[Tried], None],
        created: Callable[[], Mapping[str, FunctionSpec]] = dict,
    ) -> None:
        self._apps = apps
        self._pools = pools
        self._catalogues = catalogues
        self._make_pool = make_pool
        self._adopt = adopt
        self._created = created
        self._leaving: dict[asyncio.Task[None], Pool] = {}

    async def reload(self, old: Config, read: Callable[[], Config]) -> None:
        """Reload. What goes wrong is logged, and the server goes on as it was."""
        started = time.monotonic()
        log(logging.INFO, "reloading the configuration and the code")
        try:
            tried = await self._try(keep_fixed(old, read()))
        except ConfigError as error:
            for problem in error.problems:
                log(logging.ERROR, f"not reloaded: {problem}")
            log(logging.ERROR, "not reloaded: the server goes on with the configuration that it has")
            return
        except ReloadFailed as error:
            log(logging.ERROR, f"not reloaded, the server goes on as it was: {error}")
            for line in error.detail.strip("\n").splitlines()[-DETAIL_LINES:]:
                log(logging.ERROR, f"  {line}")
            return
        await self._replace(tried)
        removed = {name: self._pools.pop(name) for name in set(self._pools) - {o.name for o in tried.plan.pools}}
        self._adopt(tried)
        for pool in removed.values():
            self._let_go(pool, tried.config.server.drain_timeout_s)
        log(logging.INFO, f"reloaded after {time.monotonic() - started:.1f} s: {_summary(old, tried)}")

    async def _try(self, config: Config) -> Tried:
        """Try everything. Raises ReloadFailed or ConfigError; nothing has changed then."""
        importlib.invalidate_caches()
        planned = plan(config, self._apps, front_environ(), created=bool(self._created()))
        catalogues, new_pools = {}, {}
        try:
            for options in planned.pools:
                if options.name not in self._pools:
                    pool = new_pools[options.name] = self._make_pool(options, False)
                    catalogues[options.name] = await _first_catalogue(pool)
                elif _has_user_code(options):
                    catalogues[options.name] = await self._rehearse(options)
                else:
                    catalogues[options.name] = self._catalogues[options.name]
            snapshot = Registry(self._created()).merge(catalogues)
            routes = of_config(config, snapshot, catalogues)
            native = await asyncio.to_thread(_open_native, native_options(snapshot, config, front_environ()))
        except (StartFailed, LoadFailed, Conflict, RouteProblem) as error:
            await _stop_all(new_pools)
            raise ReloadFailed(str(error), getattr(error, "detail", "")) from None
        except (ReloadFailed, ConfigError, asyncio.CancelledError):
            await _stop_all(new_pools)
            raise
        return Tried(
            config=config, plan=planned, catalogues=catalogues, new_pools=new_pools, native=native, routes=routes
        )

    async def _rehearse(self, options: PoolOptions) -> Catalogue:
        """Start one worker with the new options and code, beside the pool; return what it serves, and end it."""
        alone = replace(options, name=f"{options.name}-trial", size=1, min_size=None, max_size=None, start="spawn")
        pool = self._make_pool(alone, True)
        try:
            return await _first_catalogue(pool)
        except StartFailed as error:
            message = f"a worker of pool '{options.name}' does not start: {error.cause}"
            raise ReloadFailed(message, error.detail) from None
        finally:
            await pool.stop()

    async def _replace(self, tried: Tried) -> None:
        """Replace the workers of all pools. One that fails although it was tried goes on as it was, and is told."""
        names = [options.name for options in tried.plan.pools if options.name in self._pools]
        options = {options.name: options for options in tried.plan.pools}
        reloads = (self._pools[name].reload(options[name]) for name in names)
        for name, result in zip(names, await asyncio.gather(*reloads, return_exceptions=True), strict=True):
            if isinstance(result, bytes):
                tried.catalogues[name] = msgspec.json.decode(result, type=Catalogue)
            elif isinstance(result, StartFailed):
                tried.catalogues[name] = self._catalogues[name]
                log(logging.ERROR, f"pool '{name}' goes on with the code and options that it had: {result}", pool=name)
            else:
                raise result
        self._pools.update(tried.new_pools)

    def _let_go(self, pool: Pool, timeout_s: float) -> None:
        async def leave() -> None:
            await pool.drain(timeout_s)
            await pool.stop()
            log(logging.INFO, "pool removed", pool=pool.options.name)

        task = asyncio.create_task(leave())
        self._leaving[task] = pool
        task.add_done_callback(lambda done: None if done.cancelled() else self._leaving.pop(done, None))

    async def stop(self) -> None:
        """End the pools that are still leaving."""
        leaving = dict(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        await _stop_all({pool.options.name: pool for task, pool in leaving.items() if task.cancelled()})


async def _first_catalogue(pool: Pool) -> Catalogue:
    """Start a pool, prove it, and return what it serves. Raises StartFailed or ReloadFailed."""
    catalogue = msgspec.json.decode(await pool.start(), type=Catalogue)
    if (failure := await pool.canary(pool.options.canary.timeout_s)) is not None:
        raise ReloadFailed(str(failure))
    return catalogue


async def _stop_all(pools: Mapping[str, Pool]) -> None:
    await asyncio.gather(*(pool.stop() for pool in pools.values()))


def _open_native(options: EntryOptions) -> Entry:
    """Open the native functions anew. Their imports may take long: run it in a thread, calls go on meanwhile."""
    if not options.modules:
        return Entry(options)
    with fresh_imports():
        return Entry(options)


def _has_user_code(options: PoolOptions) -> bool:
    return bool(msgspec.json.decode(options.entry_options, type=EntryOptions).modules)


def keep_fixed(old: Config, new: Config) -> Config:
    """Return the new settings with those of the old that need a restart; each that would change is logged."""
    for section, keys in FIXED:
        before, after = getattr(old, section), getattr(new, section)
        names = keys or tuple(type(before).model_fields)
        changed = {name: getattr(before, name) for name in names if getattr(before, name) != getattr(after, name)}
        for name in changed:
            log(logging.WARNING, f"{section}.{name} has changed: that needs a restart, the old value stays until then")
        new = new.model_copy(update={section: after.model_copy(update=changed)})
    return new


def changed_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted keys of settings that differ, never their values: some are secrets."""
    keys = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            keys += changed_keys(before, after, f"{prefix}{name}.")
        elif before != after:
            keys.append(f"{prefix}{name}")
    return keys


def _summary(old: Config, tried: Tried) -> str:
    keys = changed_keys(old.model_dump(), tried.config.model_dump())
    shown = ", ".join(keys[:SHOWN_KEYS]) + (f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else "")
    count = sum(len(catalogue.functions) for catalogue in tried.catalogues.values())
    return f"{count} functions in {len(tried.catalogues)} pools; settings changed: {shown or 'none'}"
