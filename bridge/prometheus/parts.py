"""Figures for Prometheus, where they are asked for: what is needed for them, and who serves them.

Owns the HTTP server of the metrics. It knows the parts that have figures only to ask them.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bridge.doors.failures import ListenFailed
from bridge.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client.core import Metric

    from bridge.listener import Listener
    from bridge.prometheus.server import MetricsServer
    from bridge.routing.parts import RouteParts
    from bridge.runners import Runners
    from bridge.telemetry import Telemetry
    from bridge.upkeep.loop_lag import LoopLag
    from pool.pool import Pool


class MetricsParts:
    """`check` before anything is started, `serve` once there are figures, `stop` last; without an address, nothing."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._server: MetricsServer | None = None

    def check(self) -> None:
        """Look for what the metrics need. Raises ListenFailed."""
        if self._address is not None and find_spec("prometheus_client") is None:
            raise ListenFailed(
                "[metrics] address needs the extra 'prometheus': pip install 'polyglot-bridge[prometheus]'"
            )

    def serve(
        self,
        pools: Mapping[str, Pool],
        telemetry: Telemetry,
        loop_lag: LoopLag,
        runners: Runners,
        routes: RouteParts,
        listener: Listener,
    ) -> None:
        """Serve the figures of these parts. Raises ListenFailed."""
        if self._address is None:
            return
        from bridge.prometheus.auto import auto_families
        from bridge.prometheus.families import families
        from bridge.prometheus.models import model_families
        from bridge.prometheus.routes import route_families

        batches, auto = runners.batched.counters, runners.placement.counters
        self._start(
            self._address,
            lambda: [
                *families(pools, telemetry, loop_lag.worst_s, batches),
                *auto_families(auto),
                *route_families(routes, telemetry.breakers),
                *model_families(routes.gateway, telemetry.tallies.costs),
                *listener.families(),
            ],
        )

    def _start(self, address: str, figures: Callable[[], list[Metric]]) -> None:
        from bridge.prometheus.server import MetricsServer

        self._server = MetricsServer(address, figures)
        try:
            told = self._server.start()
        except OSError as error:
            raise ListenFailed(
                f"can not serve metrics on {address}: {error.strerror or error}; set metrics.address"
            ) from None
        log(logging.INFO, f"metrics at http://{told}/metrics")

    async def stop(self) -> None:
        """Serve them no more."""
        if self._server is not None:
            await self._server.stop()
