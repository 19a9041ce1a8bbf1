"""Between the front's records and the API's messages: pure functions, one per pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bridge.conversion.routes import route_info
from bridge.routing.routes import RoutedSpec
from bridge.v1 import common_pb2, metric_pb2, program_pb2
from handlers.typed.names import module_name

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from handlers.contract import FunctionSpec

_KINDS = {
    "function": common_pb2.FUNCTION_KIND_FUNCTION,
    "program": common_pb2.FUNCTION_KIND_PROGRAM,
    "builtin": common_pb2.FUNCTION_KIND_BUILTIN,
}
PLACEMENTS = {
    "native": common_pb2.PLACEMENT_NATIVE,
    "pooled": common_pb2.PLACEMENT_POOLED,
    "auto": common_pb2.PLACEMENT_AUTO,
}


def function_info(spec: FunctionSpec, *, whole: bool) -> common_pb2.FunctionInfo:
    """Describe a function; without `whole` the schemas and the example are left out."""
    routed = spec if isinstance(spec, RoutedSpec) else None
    if routed is not None and routed.original is not None:
        spec = msgspec.structs.replace(routed.original, idempotent=routed.idempotent)
    info = common_pb2.FunctionInfo(
        name=spec.name,
        kind=_KINDS[spec.kind],
        doc=spec.doc,
        pool=spec.pool or "",
        placement=PLACEMENTS[spec.placement],
        streaming=spec.streaming,
        idempotent=spec.idempotent,
        pure=spec.pure,
        thread_safe=spec.thread_safe,
        module=module_name(spec.module),
    )
    if whole:
        info.arguments_schema = spec.arguments_schema
        info.result_schema = spec.result_schema
        info.example = spec.example
    if routed is not None:
        if routed.route is not None and routed.route.declared:
            info.route.CopyFrom(route_info(routed.route))
        info.model_routes.extend(route_info(routed.by_model[name]) for name in sorted(routed.by_model))
    return info


def program_info(spec: FunctionSpec, *, whole: bool) -> program_pb2.ProgramInfo:
    """Describe a program; without `whole` the schemas and the example are left out."""
    assert spec.program is not None
    info = program_pb2.ProgramInfo(
        name=spec.name,
        doc=spec.doc,
        signature=spec.program.signature,
        module=spec.program.module,
        pool=spec.pool or "",
        version=spec.program.version,
    )
    if whole:
        info.inputs_schema = spec.arguments_schema
        info.outputs_schema = spec.result_schema
        info.example = spec.example
    return info


def metric_info(
    name: str, doc: str, parameters_schema: str, placement: str, pool: str, missing_extra: str
) -> metric_pb2.MetricInfo:
    """Describe a metric; `missing_extra` is empty where it can be asked for."""
    return metric_pb2.MetricInfo(
        name=name,
        doc=doc,
        parameters_schema=parameters_schema,
        placement=PLACEMENTS[placement],
        pool=pool,
        available=not missing_extra,
        missing_extra=missing_extra,
    )


def set_duration(duration: Duration, seconds: float) -> None:
    """Write seconds into a duration."""
    duration.FromNanoseconds(int(seconds * 1e9))
