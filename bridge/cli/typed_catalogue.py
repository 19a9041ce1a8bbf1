"""What a server offers, as typed services see it: asked of a running server, or of one that serves an app for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cli.apps import check_app
from bridge.cli.benchmark_target import served
from bridge.cli.calling import describe
from bridge.cli.connection import Connection
from bridge.v1 import common_pb2, invoke_pb2
from handlers.typed.reader import Function

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TYPED = (common_pb2.FUNCTION_KIND_FUNCTION, common_pb2.FUNCTION_KIND_PROGRAM)


def functions_of(app: str | None, config: Path | None, address: str) -> list[Function]:
    """Return the functions and programs of an app, or of the server at an address. Raises Failure."""
    if app is None:
        return _asked(address)
    check_app(app)
    with served(app, config, "typed.services=off") as started:
        return _asked(started)


def _asked(address: str) -> list[Function]:
    with Connection(address) as connection:
        return [_function(describe(connection, name)) for name in _names(connection)]


def _names(connection: Connection) -> Iterator[str]:
    token = ""
    while True:
        request = invoke_pb2.ListFunctionsRequest(page_size=1000, page_token=token)
        page = connection.ask("InvokeService/ListFunctions", request, invoke_pb2.ListFunctionsResponse)
        yield from (info.name for info in page.functions if info.kind in _TYPED)
        token = page.next_page_token
        if not token:
            return


def _function(info: common_pb2.FunctionInfo) -> Function:
    return Function(
        name=info.name,
        module=info.module,
        program=info.kind == common_pb2.FUNCTION_KIND_PROGRAM,
        streaming=info.streaming,
        doc=info.doc,
        arguments_schema=info.arguments_schema,
        result_schema=info.result_schema,
    )
