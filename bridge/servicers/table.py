"""Every RPC that the front answers by itself, by path: the one list of what is not forwarded to a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bridge.servicers.catalogue import CatalogueServicer
from bridge.servicers.local import local
from bridge.servicers.pools import PoolServicer
from bridge.servicers.session import SessionServicer
from bridge.v1 import embedding_pb2, invoke_pb2, metric_pb2, model_pb2, pool_pb2, program_pb2, session_pb2

if TYPE_CHECKING:
    from bridge.server import Unary
    from bridge.sessions import Sessions
    from bridge.telemetry import Telemetry
    from handlers.contract import FunctionSpec
    from handlers.registry import Snapshot
    from pool.pool import Pool

_FILES = (embedding_pb2, invoke_pb2, metric_pb2, model_pb2, pool_pb2, program_pb2, session_pb2)


def local_handlers(
    pools: Mapping[str, Pool],
    missing: Mapping[str, str],
    snapshot: Callable[[], Snapshot],
    find: Callable[[str], FunctionSpec],
    sessions: Sessions,
    cancel: Callable[[str], int],
    drain_timeout_s: Callable[[], float],
    telemetry: Telemetry,
) -> dict[str, Unary]:
    """Return the handlers by path."""
    catalogue = CatalogueServicer(snapshot, find)
    session = SessionServicer(sessions)
    pool = PoolServicer(pools, missing, snapshot, cancel, drain_timeout_s)
    rows = (
        ("InvokeService/ListFunctions", invoke_pb2.ListFunctionsRequest, catalogue.list_functions),
        ("InvokeService/DescribeFunction", invoke_pb2.DescribeFunctionRequest, catalogue.describe_function),
        ("ProgramService/List", program_pb2.ProgramServiceListRequest, catalogue.list_programs),
        ("ProgramService/Describe", program_pb2.ProgramServiceDescribeRequest, catalogue.describe_program),
        ("MetricService/ListMetrics", metric_pb2.ListMetricsRequest, catalogue.list_metrics),
        ("SessionService/Open", session_pb2.OpenRequest, session.open),
        ("SessionService/Get", session_pb2.SessionServiceGetRequest, session.get),
        ("SessionService/Close", session_pb2.CloseRequest, session.close),
        ("PoolService/List", pool_pb2.PoolServiceListRequest, pool.list),
        ("PoolService/Get", pool_pb2.PoolServiceGetRequest, pool.get),
        ("PoolService/Scale", pool_pb2.ScaleRequest, pool.scale),
        ("PoolService/Drain", pool_pb2.DrainRequest, pool.drain),
        ("PoolService/Resume", pool_pb2.ResumeRequest, pool.resume),
        ("PoolService/Restart", pool_pb2.RestartRequest, pool.restart),
        ("PoolService/Cancel", pool_pb2.CancelRequest, pool.cancel),
    )
    return {f"/bridge.v1.{name}": local(name, request, answer, telemetry) for name, request, answer in rows}  # type: ignore[arg-type]


def service_names() -> list[str]:
    """Return the full names of all services of the API, for reflection."""
    return [service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()]
