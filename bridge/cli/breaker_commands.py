"""The commands `bridge breaker ...`: names, flags and help; what they do is in `breakers`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_ADDRESS, Json, Server, finish

breaker_app = typer.Typer(
    help="Show, open and close circuit breakers of a running server.",
    no_args_is_help=True,
)

Key = Annotated[
    str,
    typer.Argument(
        metavar="BREAKER", help="Its name: function/ROUTE/ALTERNATIVE, function/NAME/pool/POOL or provider/NAME."
    ),
]


@breaker_app.command("ls")
def list_breakers(address: Server = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the circuit breakers that calls have met, with their state and why they are not closed."""
    from bridge.cli import breakers

    finish(as_json, lambda output: breakers.run_list(address, output))


@breaker_app.command("open")
def open_breaker(
    key: Key,
    seconds: Annotated[
        float, typer.Option("--for", min=0.001, metavar="SECONDS", help="How long it refuses calls.")
    ] = 60.0,
    cause: Annotated[str, typer.Option("--cause", metavar="TEXT", help="Why; the log and callers get it.")] = "",
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Let a circuit breaker refuse calls for a while, to take what it guards out of service."""
    from bridge.cli import breakers

    finish(as_json, lambda output: breakers.run_open(key, seconds, cause, address, output))


@breaker_app.command("close")
def close_breaker(key: Key, address: Server = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Let a circuit breaker let all calls through again."""
    from bridge.cli import breakers

    finish(as_json, lambda output: breakers.run_close(key, address, output))
