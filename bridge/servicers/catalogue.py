"""What is served: ListFunctions and DescribeFunction, List of programs, ListMetrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.conversion import calls as convert
from bridge.v1 import invoke_pb2, metric_pb2, program_pb2
from handlers.metrics import catalog

if TYPE_CHECKING:
    from handlers.contract import FunctionSpec
    from handlers.registry import Snapshot


class CatalogueServicer:
    """Answers from the current snapshot; `find` also knows why a built-in function is not there."""

    def __init__(self, snapshot: Callable[[], Snapshot], find: Callable[[str], FunctionSpec]) -> None:
        self._snapshot = snapshot
        self._find = find

    def list_functions(self, request: invoke_pb2.ListFunctionsRequest) -> invoke_pb2.ListFunctionsResponse:
        """Answer InvokeService.ListFunctions."""
        page, token = self._snapshot().page(request.prefix, request.page_size, request.page_token)
        infos = [convert.function_info(spec, whole=False) for spec in page]
        return invoke_pb2.ListFunctionsResponse(functions=infos, next_page_token=token)

    def describe_function(self, request: invoke_pb2.DescribeFunctionRequest) -> invoke_pb2.DescribeFunctionResponse:
        """Answer InvokeService.DescribeFunction."""
        spec = self._find(request.function)
        return invoke_pb2.DescribeFunctionResponse(function=convert.function_info(spec, whole=True))

    def list_programs(self, request: program_pb2.ProgramServiceListRequest) -> program_pb2.ProgramServiceListResponse:
        """Answer ProgramService.List."""
        page, token = self._snapshot().page_programs(request.page_size, request.page_token)
        infos = [convert.program_info(spec, whole=False) for spec in page]
        return program_pb2.ProgramServiceListResponse(programs=infos, next_page_token=token)

    def list_metrics(self, _request: metric_pb2.ListMetricsRequest) -> metric_pb2.ListMetricsResponse:
        """Answer MetricService.ListMetrics, with those whose extra is missing."""
        metrics = [
            convert.metric_info(
                entry.name,
                entry.doc,
                entry.parameters_schema,
                entry.placement,
                entry.pool,
                "" if entry.installed() else entry.extra,
            )
            for entry in sorted(catalog.METRICS, key=lambda entry: entry.name)
        ]
        return metric_pb2.ListMetricsResponse(metrics=metrics)
