"""Every RPC that the front answers by itself, by path: the one list of what is not forwarded to a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bridge.servicers.breakers import BreakerServicer
from bridge.servicers.catalogue import CatalogueServicer
from bridge.servicers.forward import PACKAGE
from bridge.servicers.local import local, local_of_caller, local_of_tenant, local_stream
from bridge.servicers.models import ModelServicer
from bridge.servicers.pools import PoolServicer
from bridge.servicers.programs import ProgramServicer
from bridge.servicers.programs import rows as program_rows
from bridge.servicers.session import SessionServicer
from bridge.servicers.session import rows as session_rows
from bridge.v1 import embedding_pb2, invoke_pb2, metric_pb2, model_pb2, pool_pb2, program_pb2, session_pb2, tool_pb2

if TYPE_CHECKING:
    from bridge.dispatch import Dispatcher
    from bridge.fronts.front import Front
    from bridge.routing.explain import Explainer
    from bridge.routing.parts import RouteParts
    from bridge.server import Streaming, Unary
    from bridge.telemetry import Telemetry
    from bridge.upkeep.slow_readers import SlowReaders
    from handlers.contract import FunctionSpec
    from handlers.registry import Snapshot
    from pool.pool import Pool

_FILES = (embedding_pb2, invoke_pb2, metric_pb2, model_pb2, pool_pb2, program_pb2, session_pb2, tool_pb2)


def local_handlers(
    pools: Mapping[str, Pool],
    missing: Callable[[], Mapping[str, str]],
    snapshot: Callable[[], Snapshot],
    find: Callable[[str], FunctionSpec],
    explainer: Explainer,
    routes: RouteParts,
    session: SessionServicer,
    calls: Dispatcher,
    drain_timeout_s: Callable[[], float],
    telemetry: Telemetry,
    programs: ProgramServicer,
    fronts: Callable[[], Sequence[Front]] = tuple,
) -> dict[str, Unary]:
    """Return the handlers by path."""
    catalogue = CatalogueServicer(snapshot, find)
    breakers = BreakerServicer(routes)
    models = ModelServicer(routes.gateway, telemetry.tallies.costs)
    pool = PoolServicer(pools, missing, snapshot, calls, drain_timeout_s, telemetry.last_anomalies, fronts)
    rows = (
        ("InvokeService/ListFunctions", invoke_pb2.ListFunctionsRequest, catalogue.list_functions),
        ("InvokeService/DescribeFunction", invoke_pb2.DescribeFunctionRequest, catalogue.describe_function),
        ("ProgramService/List", program_pb2.ProgramServiceListRequest, catalogue.list_programs),
        *program_rows(programs),
        ("MetricService/ListMetrics", metric_pb2.ListMetricsRequest, catalogue.list_metrics),
        ("PoolService/List", pool_pb2.PoolServiceListRequest, breakers.beside(pool.list)),
        ("PoolService/Get", pool_pb2.PoolServiceGetRequest, pool.get),
        ("PoolService/Scale", pool_pb2.ScaleRequest, pool.scale),
        ("PoolService/Drain", pool_pb2.DrainRequest, pool.drain),
        ("PoolService/Resume", pool_pb2.ResumeRequest, pool.resume),
        ("PoolService/Restart", pool_pb2.RestartRequest, pool.restart),
        ("PoolService/Cancel", pool_pb2.CancelRequest, pool.cancel),
        ("PoolService/ReleaseInput", pool_pb2.ReleaseInputRequest, pool.release_input),
        ("PoolService/OpenBreaker", pool_pb2.OpenBreakerRequest, breakers.open),
        ("PoolService/CloseBreaker", pool_pb2.CloseBreakerRequest, breakers.close),
        ("ModelService/ListModels", model_pb2.ListModelsRequest, models.list_models),
    )
    handlers = {f"{PACKAGE}{name}": local(name, request, answer, telemetry) for name, request, answer in rows}  # type: ignore[arg-type]
    name = "InvokeService/Explain"
    handlers[PACKAGE + name] = local_of_caller(name, invoke_pb2.ExplainRequest, explainer.explain, telemetry)
    name = "ModelService/ListCosts"
    handlers[PACKAGE + name] = local_of_tenant(name, model_pb2.ListCostsRequest, models.list_costs, telemetry)
    for name, request, answer in session_rows(session):
        handlers[f"{PACKAGE}{name}"] = local_of_tenant(name, request, answer, telemetry)  # type: ignore[arg-type]
    return handlers


def local_streams(session: SessionServicer, readers: SlowReaders, telemetry: Telemetry) -> dict[str, Streaming]:
    """Return the handlers of streams by path."""
    name = "SessionService/Watch"
    request = session_pb2.SessionServiceWatchRequest
    return {f"{PACKAGE}{name}": local_stream(name, request, session.watch, readers, telemetry)}


def service_names() -> list[str]:
    """Return the full names of all services of the API, for reflection."""
    return [service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()]
