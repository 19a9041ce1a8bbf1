"""`bridge ls` and `bridge describe`: what a server offers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from bridge.cli.arguments import command
from bridge.cli.calling import describe
from bridge.cli.connection import DEFAULT_ADDRESS, Connection
from bridge.cli.failures import ExitCode
from bridge.cli.messages import plain
from bridge.cli.output import Output, as_json, clean, table
from bridge.v1 import common_pb2, invoke_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

SUMMARY_WIDTH = 80


def run_list(prefix: str, address: str, output: Output) -> int:
    """List the functions of a server. Raises Failure."""
    with Connection(address) as connection:
        functions = list(_functions(connection, prefix))
    if output.machine:
        output.json({"functions": [_fields(info) for info in functions]})
    elif functions:
        rows = [(info.name, _kind(info), _where(info), _summary(info.doc)) for info in functions]
        output.show(table(("NAME", "KIND", "RUNS IN", "ABOUT"), rows))
        output.note("more about one: bridge describe NAME")
    else:
        output.note(f"no function starts with {prefix!r}" if prefix else "the server offers no function")
    return ExitCode.OK


def run_describe(name: str, address: str, output: Output) -> int:
    """Show one function with its schemas. Raises Failure."""
    with Connection(address) as connection:
        info = describe(connection, name)
    line = command(info.name, info.example, info.arguments_schema, address, DEFAULT_ADDRESS)
    if output.machine:
        schemas = {
            "arguments_schema": json.loads(info.arguments_schema or "{}"),
            "result_schema": json.loads(info.result_schema or "{}"),
            "example": json.loads(info.example or "{}"),
        }
        output.json({**_fields(info), **schemas, "command": line})
        return ExitCode.OK
    output.line(f"{clean(info.name)}: {_kind(info)}, runs in {_where(info)}")
    if info.doc:
        output.line(f"\n{clean(info.doc).strip()}")
    for route in ([info.route] if info.HasField("route") else []) + list(info.model_routes):
        _show_route(output, route)
    _schema(output, "arguments", info.arguments_schema)
    _schema(output, "each item" if info.streaming else "result", info.result_schema)
    output.line(f"\ncall it:\n  {clean(line)}")
    return ExitCode.OK


def _show_route(output: Output, route: common_pb2.RouteInfo) -> None:
    output.line(f"\nroute {clean(route.name)}, chosen by {route.choose}:")
    for one in route.alternatives:
        copies = f", copies of {one.shadow:.3g} of the calls" if one.shadow else ""
        output.line(f"  {clean(one.label)}  weight {one.weight:g}{copies}")
    if route.fallback:
        output.line(f"  then {', '.join(clean(name) for name in route.fallback)}")
    if route.attempts > 1:
        output.line(f"  up to {route.attempts} attempts")
    if route.hedged:
        output.line("  a second attempt starts beside one that takes long")


def _schema(output: Output, title: str, text: str) -> None:
    output.line(f"\n{title}:")
    output.line("  " + as_json(json.loads(text or "{}"), pretty=True).replace("\n", "\n  "))


def _functions(connection: Connection, prefix: str) -> Iterator[common_pb2.FunctionInfo]:
    token = ""
    while True:
        request = invoke_pb2.ListFunctionsRequest(prefix=prefix, page_size=1000, page_token=token)
        page = connection.ask("InvokeService/ListFunctions", request, invoke_pb2.ListFunctionsResponse)
        yield from page.functions
        token = page.next_page_token
        if not token:
            return


def _fields(info: common_pb2.FunctionInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "kind": _enum(common_pb2.FunctionKind.Name(info.kind), "FUNCTION_KIND_"),
        "doc": info.doc,
        "pool": info.pool,
        "placement": _enum(common_pb2.Placement.Name(info.placement), "PLACEMENT_"),
        "streaming": info.streaming,
        "idempotent": info.idempotent,
        "pure": info.pure,
        "thread_safe": info.thread_safe,
        "route": plain(info.route) if info.HasField("route") else None,
        "model_routes": [plain(route) for route in info.model_routes],
    }


def _kind(info: common_pb2.FunctionInfo) -> str:
    kind = _enum(common_pb2.FunctionKind.Name(info.kind), "FUNCTION_KIND_")
    return f"{kind}, streams" if info.streaming else kind


def _where(info: common_pb2.FunctionInfo) -> str:
    if info.placement == common_pb2.PLACEMENT_NATIVE:
        return "the front"
    pool = f"pool {clean(info.pool)}"
    return f"{pool} or the front" if info.placement == common_pb2.PLACEMENT_AUTO else pool


def _enum(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _summary(doc: str) -> str:
    """Return the first sentence of a documentation, or what fits of it."""
    paragraph = " ".join(doc.strip().partition("\n\n")[0].split())
    sentence = re.split(r"(?<=\w[.!?;]) ", paragraph, maxsplit=1)[0]
    return sentence if len(sentence) <= SUMMARY_WIDTH else sentence[: SUMMARY_WIDTH - 3] + "..."
