"""The command `bridge`: names, flags and help of its commands; what they do is in the modules beside this one.

Owns nothing. Imports nothing heavy, so that help and completion are quick: a command loads its own module when it runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.breaker_commands import breaker_app
from bridge.cli.client_commands import client_app
from bridge.cli.explaining import explain
from bridge.cli.failures import ExitCode
from bridge.cli.key_commands import keys_app
from bridge.cli.model_commands import model_app
from bridge.cli.options import DEFAULT_ADDRESS, Changes, ConfigFile, Json, Listen, Server, finish
from bridge.cli.pool_commands import pool_app
from bridge.cli.program_commands import program_app
from bridge.cli.proto_commands import proto_app
from bridge.cli.replaying import replay
from bridge.cli.serve_command import serve
from bridge.cli.ways_in import let_in, way_in_of

app = typer.Typer(
    help="Serve Python functions, DSPy programs and models to every language over gRPC.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 no connection, 4 deadline, 5 unhealthy, "
    "130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
config_app = typer.Typer(help="Show or check the configuration.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(pool_app, name="pool")
app.add_typer(breaker_app, name="breaker")
app.add_typer(keys_app, name="keys")
app.add_typer(program_app, name="program")
app.add_typer(model_app, name="model")
app.add_typer(proto_app, name="proto")
app.add_typer(client_app, name="client")


def _version(wanted: bool) -> None:
    if wanted:
        from bridge.cli.checks_packages import DISTRIBUTION, installed_version

        typer.echo(f"bridge {installed_version(DISTRIBUTION) or 'of a source tree, not installed'}")
        raise typer.Exit(int(ExitCode.OK))


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Stop after showing the call.")] = False,
    address: Listen = None,
    as_json: Json = False,
) -> None:
    """Serve a demo app and call its DSPy program; needs no key, GPU or network."""
    from bridge.cli import demo as command

    finish(as_json, lambda output: command.run(output, once=once, address=address))


app.command()(serve)


@app.command()
def call(
    name: Annotated[str, typer.Argument(help="The function or program to call.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=VALUE...", help="Arguments. NAME:=JSON takes JSON as it is, NAME=@FILE a file's content."
        ),
    ] = None,
    json_args: Annotated[
        str | None, typer.Option("--json-args", metavar="JSON|@FILE|-", help="The arguments as one JSON object.")
    ] = None,
    address: Server = DEFAULT_ADDRESS,
    timeout: Annotated[float | None, typer.Option("--timeout", "-t", metavar="SECONDS", help="The deadline.")] = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="Keep to this session's worker.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="The language model a program uses, by its name.")
    ] = None,
    budget: Annotated[
        list[str] | None,
        typer.Option("--budget", metavar="usd|tokens|calls=N", help="What the call may spend, with all that it calls."),
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print results as they come.")] = False,
    receipt: Annotated[bool, typer.Option("--receipt", help="Print what the call cost, to stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Call a function or program of a running server."""
    from bridge.cli import calling

    options = calling.CallOptions(
        name=name,
        pairs=tuple(arguments or ()),
        json_args=json_args,
        address=address,
        timeout_s=timeout,
        session=session,
        model=model,
        budget=tuple(budget or ()),
        stream=stream,
        receipt=receipt,
    )
    finish(as_json, lambda output: calling.run(options, output))


@app.command("ls")
def list_functions(
    prefix: Annotated[str, typer.Argument(help="Only names that start with this.")] = "",
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List what a running server offers."""
    from bridge.cli import catalogue

    finish(as_json, lambda output: catalogue.run_list(prefix, address, output))


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="The function or program.")],
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show the documentation, schemas and an example of a function."""
    from bridge.cli import catalogue

    finish(as_json, lambda output: catalogue.run_describe(name, address, output))


app.command()(explain)
app.command()(replay)


@app.command()
def status(
    address: Server = DEFAULT_ADDRESS,
    watch: Annotated[
        float | None, typer.Option("--watch", min=0.1, metavar="SECONDS", help="Show it again and again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the health, pools and workers of a running server; exit code 5 unless it is serving."""
    from bridge.cli import status as command

    finish(as_json, lambda output: command.run(address, watch, output))


@app.command()
def top(
    address: Server = DEFAULT_ADDRESS,
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.1, max=60, metavar="SECONDS", help="Time between refreshes.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table, measured over one interval, and end.")] = False,
    as_json: Json = False,
) -> None:
    """Watch the workers of a running server: calls per second, memory, state."""
    from bridge.cli import top as command

    finish(as_json, lambda output: command.run(address, interval, output, once=once))


@app.command()
def cancel(
    request_id: Annotated[str, typer.Argument(help="The request id, as in bridge status and in the log.")],
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """End a call that runs or waits, by its request id."""
    from bridge.cli import pools

    finish(as_json, lambda output: pools.run_cancel(request_id, address, output))


@app.command()
def doctor(
    config: ConfigFile = None,
    settings: Changes = None,
    chaos: Annotated[
        bool, typer.Option("--chaos", help="Break workers of a running server and measure what follows.")
    ] = False,
    address: Server = DEFAULT_ADDRESS,
    pool: Annotated[str, typer.Option("--pool", metavar="NAME", help="The pool to break.")] = "general",
    fault: Annotated[
        str, typer.Option("--fault", metavar="NAME,...", help="Only these: kill, stop, hang, memory, wedge.")
    ] = "kill,stop,hang,memory,wedge",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Break them without being asked.")] = False,
    as_json: Json = False,
) -> None:
    """Check this machine and the configuration; exit code 5 if something would stop a server."""
    from bridge.cli import chaos as breaking
    from bridge.cli import doctor as command
    from bridge.cli.settings import overrides

    faults = tuple(filter(None, fault.replace(" ", "").split(",")))
    if chaos:
        finish(as_json, lambda output: breaking.run(address, pool, faults, output, yes=yes))
    finish(as_json, lambda output: command.run(config, overrides(settings or (), (), None), output, way_in_of(address)))


@app.command()
def bench(
    target: Annotated[str, typer.Argument(metavar="ADDRESS|APP", help="HOST:PORT of a server, or a file to serve.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE...", help="Arguments, as `bridge call` takes them; else the example's."),
    ] = None,
    function: Annotated[
        str, typer.Option("--function", "-f", metavar="NAME", help="The function to call.")
    ] = "bridge.echo",
    json_args: Annotated[
        str | None, typer.Option("--json-args", metavar="JSON|@FILE|-", help="The arguments as one JSON object.")
    ] = None,
    raw_bytes: Annotated[
        int | None, typer.Option("--raw-bytes", min=0, metavar="N", help="Send N raw bytes instead of arguments.")
    ] = None,
    concurrency: Annotated[
        str | None,
        typer.Option(
            "--concurrency", "-n", metavar="N,...|N..", help="Calls at a time, one step each; N.. goes up from N (1..)."
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option("--rate", "-r", metavar="N,...|N..", help="Open loop: calls per second at random times."),
    ] = None,
    duration: Annotated[float, typer.Option("--duration", "-d", metavar="SECONDS", help="Of each step.")] = 3.0,
    timeout: Annotated[float, typer.Option("--timeout", "-t", metavar="SECONDS", help="Of each call.")] = 30.0,
    vs: Annotated[
        str | None, typer.Option("--vs", metavar="HOST:PORT", help="Measure another server in turn with this one.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a report with plots.")] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Measure calls per second, latencies and where the time goes; finds the point of saturation."""
    from bridge.cli import benchmark

    options = benchmark.BenchOptions(
        target=target,
        pairs=tuple(arguments or ()),
        json_args=json_args,
        function=function,
        raw_bytes=raw_bytes,
        concurrency=concurrency,
        rate=rate,
        duration_s=duration,
        timeout_s=timeout,
        vs=vs,
        html=html,
        config=config,
    )
    finish(as_json, lambda output: benchmark.run(options, output))


@app.command()
def profile(
    worker: Annotated[str, typer.Argument(metavar="WORKER|front", help="A worker, as `bridge status` names it.")],
    address: Server = DEFAULT_ADDRESS,
    seconds: Annotated[
        float, typer.Option("--duration", "-d", min=0.5, max=600, metavar="SECONDS", help="How long to look.")
    ] = 10.0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write it (WORKER.svg, WORKER.json).")
    ] = None,
    speedscope: Annotated[
        bool, typer.Option("--speedscope", help="Write for speedscope.app instead of a flame graph.")
    ] = False,
    native: Annotated[bool, typer.Option("--native", help="Also the frames of C code; slows the process.")] = False,
    gil: Annotated[
        bool,
        typer.Option("--gil", help="Only while Python runs: leaves out what waits, and C code that lets go of it."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a flame graph of a running worker or of the front; needs py-spy and a server on this machine."""
    from bridge.cli import profiling

    options = profiling.ProfileOptions(
        worker=worker, address=address, seconds=seconds, out=out, speedscope=speedscope, native=native, gil=gil
    )
    finish(as_json, lambda output: profiling.run(options, output))


@config_app.command("show")
def config_show(config: ConfigFile = None, settings: Changes = None, as_json: Json = False) -> None:
    """Print the settings in force, secrets as references."""
    from bridge.cli import config_commands
    from bridge.cli.settings import overrides

    finish(as_json, lambda output: config_commands.run_show(config, overrides(settings or (), (), None), output))


@config_app.command("check")
def config_check(config: ConfigFile = None, settings: Changes = None, as_json: Json = False) -> None:
    """Say whether the configuration can be used, with file, line and column of every mistake."""
    from bridge.cli import config_commands
    from bridge.cli.settings import overrides

    finish(as_json, lambda output: config_commands.run_check(config, overrides(settings or (), (), None), output))


let_in(app, {"serve": (), "demo": (), "bench": ("target", "vs")})


def main() -> None:
    """Run the command line; ends the process with one of `ExitCode`."""
    for number in range(3):  # a descriptor that was closed would be given to the next file or socket
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    app(prog_name="bridge")
