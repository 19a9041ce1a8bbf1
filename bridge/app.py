"""The only place where the front's objects meet: made, started, drained and stopped in one order. `process` runs it.

Start: pools (each imports its modules and proves a worker), catalogue, native entry, transport. Stop: health says no,
new calls are refused, running ones end, workers end, the transport closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING

import msgspec

from bridge.anomalies.watch import AnomalyWatch
from bridge.doors.failures import ListenFailed
from bridge.errors import StoreError
from bridge.health import Health
from bridge.listener import Listener
from bridge.log_output import set_log
from bridge.multiplex.multiplexer import Multiplexer
from bridge.nested import NestedCalls
from bridge.pools import front_environ, native_options, plan
from bridge.programs.created import CreatedPrograms
from bridge.programs.resume import ResumableRuns
from bridge.prometheus.parts import MetricsParts
from bridge.ready import Ready
from bridge.reload import Reloader, Tried
from bridge.resolve import Resolver
from bridge.routing.explain import Explainer
from bridge.routing.parts import RouteParts
from bridge.routing.table import RouteProblem, of_config
from bridge.runners import Runners
from bridge.servicers.forward import Forwarder
from bridge.servicers.health import SERVICE as HEALTH_SERVICE
from bridge.servicers.health import HealthServicer
from bridge.servicers.programs import ProgramServicer
from bridge.servicers.table import local_handlers, local_streams, service_names
from bridge.sessions.parts import SessionParts
from bridge.telemetry import Telemetry, log
from bridge.tools.parts import ToolParts
from bridge.typed import TypedProblem, TypedServices
from bridge.upkeep.idle_memory import IdleMemory
from bridge.upkeep.loop_lag import LoopLag
from bridge.upkeep.slow_readers import SlowReaders
from handlers.contract import Catalogue
from handlers.entry import Entry
from handlers.loading import LoadFailed
from handlers.registry import Conflict, Registry
from pool.errors import StartFailed as PoolStartFailed
from pool.events import PoolEvent
from pool.guard import Guard
from pool.pool import Pool
from pool.template import TemplateSpawner

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.config import Config
    from bridge.pools import PoolPlan
    from handlers.registry import Snapshot
    from pool.options import PoolOptions


class StartFailed(Exception):
    """The server could not start. `detail` has what the user's code said, or nothing."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


def _fatal(error: BaseException) -> None:
    """End the process: a pool whose supervision has died must not look alive."""
    logging.getLogger("bridge").critical("supervision failed, the server ends", exc_info=error)
    logging.shutdown()
    os._exit(70)


class App:
    """One server. `start` once, then `drain`, then `stop`; `stop` alone is always safe."""

    def __init__(self, config: Config, apps: tuple[str, ...]) -> None:
        self._config = config
        self._apps = apps
        self._telemetry = Telemetry()
        self._guard = Guard()  # one for all pools
        self._pools: dict[str, Pool] = {}
        self._sessions = SessionParts(config.sessions, self._pools)
        self._registry = Registry()
        self._routes = RouteParts(config, self._registry, self._telemetry)
        self._tools = ToolParts(config, self._telemetry)
        self._created = self._open_created()
        self._plan: PoolPlan = plan(config, apps, front_environ(), created=self._created.any)
        self._anomalies = AnomalyWatch(self._pools, self._telemetry, config, self._routes.breakers.open)
        self._pools |= {options.name: self._make_pool(options) for options in self._plan.pools}
        self._catalogues: dict[str, Catalogue] = {}
        self._reloader = Reloader(
            apps, self._pools, self._catalogues, self._make_pool, self._adopt, self._created.specs
        )
        self._health = Health(self._pools, config.health)
        self._readers = SlowReaders(config.server.slow_reader_timeout_s)
        self._loop_lag = LoopLag()
        self._metrics = MetricsParts(config.metrics.address)
        self._listener = Listener(config, self._telemetry, _fatal)
        self._runners: Runners | None = None
        self._multiplexer: Multiplexer | None = None
        self._nested: NestedCalls | None = None
        self._typed: TypedServices | None = None
        self._renewed: tuple[Resolver, Forwarder] | None = None
        """What a reload gives something new to, beside the runners."""
        self._tasks: list[asyncio.Task[None]] = []

    def _open_created(self) -> CreatedPrograms:
        try:
            self._routes.open()
            return CreatedPrograms(
                self._config.programs, self._registry, self._routes.catalogue_changed, lambda: self._plan
            )
        except StoreError as error:
            raise StartFailed(str(error)) from None

    def _make_pool(self, options: PoolOptions, trial: bool = False) -> Pool:
        """Make a pool; one for a trial tells of its workers' output alone."""
        listener = self._telemetry.trial_event if trial else self._pool_event
        ask = self._sessions.asks.of_worker
        spawner = TemplateSpawner(options, listener, self._guard)
        return Pool(options, listener=listener, fatal=_fatal, spawner=spawner, on_ask=ask)

    def _pool_event(self, event: PoolEvent) -> None:
        self._sessions.pool_event(event)
        self._telemetry.pool_event(event)
        self._anomalies.pool_event(event)
        self._health.pool_event(event)

    async def start(self) -> Ready:
        """Start everything; returns when the server answers. Raises StartFailed; call `stop` then."""
        try:
            return await self._start()
        except ListenFailed as error:
            raise StartFailed(str(error)) from None

    async def _start(self) -> Ready:
        started = time.monotonic()
        self._metrics.check()
        self._listener.start()
        snapshot = await self._catalogue()
        served = {spec.module for spec in snapshot.functions}
        for app in self._apps:
            if app not in served:
                log(logging.WARNING, f"{app} has no public function or program that could be served")
        native = self._native_entry(snapshot)
        address = await self._listen(native)
        assert self._runners is not None
        parts = self._runners, self._routes, self._listener
        self._metrics.serve(self._pools, self._telemetry, self._loop_lag, *parts)
        self._tasks += [asyncio.create_task(self._sessions.sweep()), asyncio.create_task(self._loop_lag.watch())]
        self._tasks += [asyncio.create_task(self._readers.watch()), asyncio.create_task(self._anomalies.run())]
        self._tasks.append(asyncio.create_task(IdleMemory(self._runners.dispatcher).watch()))
        for task in self._tasks:
            task.add_done_callback(_end_on_bug)
        states = [(name, f"{pool.ready_workers} of {pool.options.size} ready") for name, pool in self._pools.items()]
        states += [(name, f"not installed: extra '{extra}'") for name, extra in self._plan.missing.items()]
        states += [(name, "off: size 0") for name in self._plan.off]
        return Ready(
            address=address,
            functions=snapshot.functions,
            pools=tuple(sorted(states)),
            seconds=time.monotonic() - started,
            fronts=self._config.server.fronts,
            unix=self._config.server.unix_socket,
            wants_key=self._config.keys.file is not None,
            tls=self._config.server.tls_certificate is not None,
        )

    async def _catalogue(self) -> Snapshot:
        """Start the pools, wait for what each serves, prove each, and merge."""
        starts = {name: asyncio.ensure_future(pool.start()) for name, pool in self._pools.items()}
        try:
            reports = dict(zip(starts, await asyncio.gather(*starts.values()), strict=True))
        except PoolStartFailed as error:
            raise StartFailed(str(error), error.detail) from None
        for pool in self._pools.values():
            if (failure := await pool.canary(pool.options.canary.timeout_s)) is not None:
                raise StartFailed(str(failure))
        self._catalogues |= {name: msgspec.json.decode(report, type=Catalogue) for name, report in reports.items()}
        self._sessions.catalogues(self._catalogues)
        try:
            snapshot = self._registry.merge(self._catalogues)
            self._routes.serve(self._config, of_config(self._config, snapshot, self._catalogues))
        except (Conflict, RouteProblem) as error:
            raise StartFailed(str(error)) from None
        self._created.tell()
        return snapshot

    def _native_entry(self, snapshot: Snapshot) -> Entry:
        """Open the front's own entry."""
        options = native_options(snapshot, self._config, front_environ())
        try:
            return Entry(options)
        except LoadFailed as error:
            message = f"{error} (in the front process, which imports it for its native functions)"
            raise StartFailed(message, error.detail) from None

    async def _listen(self, native: Entry) -> str:
        config, registry = self._config, self._registry
        sessions = self._sessions
        resolver = Resolver(registry, self._plan)
        runners = self._runners = Runners(
            config, self._pools, sessions, resolver, native, self._routes, self._created.choose
        )
        dispatcher = runners.dispatcher
        nested = self._nested = NestedCalls(dispatcher, self._telemetry, config.server.max_message_bytes)
        sessions.asks.add(nested.asks() | self._tools.answers(resolver.find), self._created.asks())
        sessions.asks.add(*self._routes.gateway.asks())
        forwarder = Forwarder(dispatcher, self._telemetry, config.server, self._readers)
        multiplexer = Multiplexer(dispatcher, self._pools, self._telemetry, config, self._readers)
        self._multiplexer = multiplexer
        self._renewed = (resolver, forwarder)
        unary, streaming = forwarder.handlers()
        unary |= local_handlers(
            self._pools,
            lambda: self._plan.missing,
            lambda: registry.snapshot,
            resolver.find,
            Explainer(resolver.find, runners, self._pools, sessions.sessions, self._routes),
            self._routes,
            self._sessions.servicer,
            dispatcher,
            lambda: self._config.server.drain_timeout_s,
            self._telemetry,
            ProgramServicer(self._created, lambda: registry.snapshot, lambda: self._config, lambda: self._plan),
            self._listener.processes,
        )
        kept = ResumableRuns(forwarder.begin, dispatcher, self._telemetry, self._readers, lambda: self._config.programs)
        streaming |= kept.streams(streaming) | local_streams(self._sessions.servicer, self._readers, self._telemetry)
        health_unary, health_streaming = HealthServicer(self._health).handlers()
        try:
            typed = self._typed = TypedServices(forwarder, config.typed, registry.snapshot.functions)
        except TypedProblem as error:
            raise StartFailed(str(error)) from None
        self._routes.told.append(lambda: typed.adopt(self._config.typed, registry.snapshot.functions, self._listener))
        typed_unary, typed_streaming = typed.handlers()
        return await self._listener.serve(
            unary | kept.unary() | self._tools.unary() | health_unary | typed_unary,
            streaming | health_streaming | typed_streaming,
            multiplexer.handlers() | self._tools.conversations(self._readers),
            [*service_names(), HEALTH_SERVICE, *typed.names],
            typed.files,
        )

    async def reload(self, read: Callable[[], Config]) -> None:
        """Take over what `read` and the code say now; where that can not be served, log why and go on as before."""
        self._listener.look()
        await self._reloader.reload(self._config, read)

    def _adopt(self, tried: Tried) -> None:
        """Take over what a reload has tried, once the pools are what they are to be."""
        config = self._config = tried.config
        self._plan = tried.plan
        self._catalogues.clear()
        self._catalogues |= tried.catalogues
        self._sessions.catalogues(self._catalogues)
        try:
            self._registry.merge(self._catalogues)
        except Conflict as error:  # only where a pool went on with its old code although the new had been tried
            log(logging.ERROR, f"the catalogue stays as it was: {error}")
        self._created.tell()
        assert self._renewed is not None
        assert self._runners is not None
        resolver, forwarder = self._renewed
        resolver.renew(tried.plan)
        self._runners.renew(config, tried.native)
        self._routes.serve(config, tried.routes)
        forwarder.renew(config.server)
        if self._multiplexer is not None:
            self._multiplexer.renew(config)
        if self._nested is not None:
            self._nested.renew(config.server.max_message_bytes)
        self._health.renew(config.health)
        self._readers.renew(config.server.slow_reader_timeout_s)
        self._listener.renew(config)
        if self._typed is not None:
            self._typed.adopt(config.typed, self._registry.snapshot.functions, self._listener)
        set_log(config.log.level, config.log.format)
        self._telemetry.level_changed()
        self._anomalies.renew(config)
        self._tools.renew(config)

    @property
    def is_well(self) -> bool:
        """Whether every pool serves that an operator has not drained."""
        return self._health.is_well

    async def drain(self) -> bool:
        """Say NOT_SERVING, take no new calls, let the running ones end; return whether all did in time."""
        self._health.drain()
        self._listener.drain()
        self._readers.drain()
        self._sessions.sessions.stop()
        timeout_s = self._config.server.drain_timeout_s
        log(logging.INFO, f"draining: no new calls, at most {timeout_s:g} s for the running ones")
        self._routes.drain()
        self._tools.drain()
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        waits = [] if self._runners is None else [self._runners.dispatcher.drain(timeout_s)]
        if self._multiplexer is not None:
            waits.append(self._multiplexer.drain(timeout_s))
        drained = all(await asyncio.gather(*waits))
        left_s = max(0.0, ends - loop.time())  # the pools last: calls that run may call other functions
        drained = all(await asyncio.gather(*(pool.drain(left_s) for pool in self._pools.values()))) and drained
        if not drained:
            log(logging.WARNING, f"calls were still running after {timeout_s:g} s; they are cancelled")
        return drained

    async def stop(self) -> None:
        """End the tasks, the workers and the transport, in this order: calls that are cut short hear why."""
        for task in self._tasks:
            task.cancel()
        if self._runners is not None:
            await self._runners.dispatcher.drain(0.0)
        await asyncio.gather(self._reloader.stop(), *(pool.stop() for pool in self._pools.values()))
        self._health.close()
        if self._runners is not None:
            self._runners.close()
        if self._multiplexer is not None:
            self._multiplexer.close()
        self._tools.close()
        await asyncio.gather(self._metrics.stop(), self._routes.close())
        await self._listener.stop()
        self._created.close()
        log(logging.INFO, "stopped")


def _end_on_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _fatal(error)
