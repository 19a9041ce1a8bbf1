"""`bridge explain`: where a call would go and why, as a table of every way that it might. Nothing runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.options import DEFAULT_ADDRESS, Json, Server, finish

if TYPE_CHECKING:
    from bridge.cli.output import Output
    from bridge.v1.invoke_pb2 import Alternative, ExplainResponse, FrontLoad, MeasuredTimes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What was typed."""

    name: str
    pairs: tuple[str, ...]
    json_args: str | None
    size: int | None
    session: str | None
    address: str


def explain(
    name: Annotated[str, typer.Argument(help="The function or program that would be called.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE...", help="Arguments, as `bridge call` takes them. Only their size counts."),
    ] = None,
    json_args: Annotated[
        str | None, typer.Option("--json-args", metavar="JSON|@FILE|-", help="The arguments as one JSON object.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--bytes", min=1, metavar="N", help="The size of the request, instead of arguments.")
    ] = None,
    session: Annotated[str | None, typer.Option("--session", metavar="ID", help="The call's session.")] = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say where a call would go and why, with every alternative and the figures behind it; nothing runs."""
    options = ExplainOptions(
        name=name, pairs=tuple(arguments or ()), json_args=json_args, size=size, session=session, address=address
    )
    finish(as_json, lambda output: run(options, output))


def run(options: ExplainOptions, output: Output) -> int:
    """Ask for an explanation and print it. Raises Failure."""
    from bridge.cli.connection import ANSWER_TIMEOUT_S, Connection
    from bridge.cli.failures import ExitCode
    from bridge.cli.messages import plain
    from bridge.v1 import invoke_pb2

    with Connection(options.address) as connection:
        request = invoke_pb2.ExplainRequest(function=options.name, request_bytes=_request_bytes(connection, options))
        metadata = [("x-session-id", options.session)] if options.session else []
        answer, _ = connection.call(
            "InvokeService/Explain", request, invoke_pb2.ExplainResponse, ANSWER_TIMEOUT_S, metadata
        )
    if output.machine:
        output.json(plain(answer))
    else:
        _show(answer, output)
    return ExitCode.OK


def _request_bytes(connection: object, options: ExplainOptions) -> int:
    """Return the size of the request that the arguments make; 0 lets the server reckon with none."""
    from bridge.cli import arguments
    from bridge.cli.calling import describe
    from bridge.cli.failures import ExitCode, Failure
    from bridge.v1 import common_pb2, invoke_pb2

    if options.size is not None:
        if options.pairs or options.json_args is not None:
            raise Failure(ExitCode.USAGE, "--bytes stands for arguments; give one or the other")
        return options.size
    if not options.pairs and options.json_args is None:
        return 0
    info = describe(connection, options.name)  # type: ignore[arg-type]
    values = arguments.parse(options.pairs, options.json_args, json.loads(info.arguments_schema or "{}"))
    payload = common_pb2.Payload(json=json.dumps(values, ensure_ascii=True))
    return invoke_pb2.CallRequest(function=info.name, arguments=payload).ByteSize()


COLUMNS = ("", "WAY", "PREDICTED", "QUEUE", "TRANSFER", "RUN", "P50", "P99", "CALLS", "WHY NOT")


def _show(answer: ExplainResponse, output: Output) -> None:
    from bridge.cli.output import clean, size, table

    output.line(f"{clean(answer.function)}, a request of {size(answer.request_bytes)}: {clean(answer.reason)}")
    if any(one.label for one in answer.alternatives):
        output.show(table(ROUTE_COLUMNS, [_route_row(one) for one in answer.alternatives]))
    else:
        output.show(table(COLUMNS, [_row(one, answer.function) for one in answer.alternatives]))
    for one in {one.pool: one for one in answer.alternatives if one.HasField("load")}.values():
        workers = "1 worker" if one.load.workers == 1 else f"{one.load.workers} workers"
        waiting = f"{one.load.waiting} calls wait" if one.load.waiting else "no call waits"
        session = f", the session's is {clean(one.worker)}" if one.worker else ""
        output.line(f"pool {clean(one.pool)}: {workers}, {waiting}{session}")
    if answer.HasField("front"):
        output.line(_front(answer.front))


def _row(one: Alternative, asked: str) -> tuple[str, ...]:
    way = f"pool {one.pool}" if one.pool else "the front"
    if one.function != asked:
        way = f"{one.function} in {way}"
    known = one.HasField("prediction")
    predicted = one.prediction
    return (
        "*" if one.chosen else "",
        way,
        _us(predicted.total_us) if known else "not known",
        _us(predicted.queue_us) if known and one.pool else "",
        _us(predicted.transfer_us) if known and one.pool else "",
        _us(predicted.service_us) if known else "",
        *_times(one.service),
        one.excluded,
    )


ROUTE_COLUMNS = ("", "ALTERNATIVE", "RUNS IN", "LIKELY", "P50", "P99", "CALLS", "GO WELL", "COST", "BREAKER", "WHY NOT")


def _route_row(one: Alternative) -> tuple[str, ...]:
    """Return an alternative of a route."""
    return (
        "*" if one.chosen else "",
        one.label,
        f"pool {one.pool}" if one.pool else "the front",
        f"{one.weight:.3g}" if one.HasField("weight") else "",
        *_times(one.attempts),
        f"{1 - one.failure_rate:.1%}" if one.HasField("failure_rate") else "",
        f"${one.cost_usd:.4g}" if one.HasField("cost_usd") else "",
        one.breaker.replace("_", " "),
        one.excluded,
    )


def _times(times: MeasuredTimes) -> tuple[str, str, str]:
    if not times.samples:
        return "", "", "0"
    return _us(times.p50_us), _us(times.p99_us), f"{times.samples:.3g}"


def _front(front: FrontLoad) -> str:
    from bridge.cli.output import size

    return (
        f"the front: {front.busy:.0%} busy, {_us(front.lag_us)} late, {front.native_running} of {front.native_limit} "
        f"native calls run; requests up to {size(front.max_request_bytes)}, p99 up to {_us(front.max_p99_us)}"
    )


def _us(microseconds: int) -> str:
    from bridge.cli.output import duration

    return duration(microseconds / 1e6)
