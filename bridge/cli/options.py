"""Flags that several commands share, and how every command ends. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.cli.output import Output

DEFAULT_ADDRESS = "127.0.0.1:50051"

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Server = Annotated[
    str,
    typer.Option(
        "--address", "-a", envvar="BRIDGE_ADDRESS", metavar="ADDRESS", help="The server: HOST:PORT or unix:PATH."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", envvar="BRIDGE_CONFIG", metavar="FILE", help="The file to read instead of ./bridge.toml."
    ),
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, such as log.level=debug.")
]
PoolChanges = Annotated[
    list[str] | None, typer.Option("--pool", metavar="NAME.KEY=VALUE", help="Change a pool, such as general.size=4.")
]
Listen = Annotated[
    str | None,
    typer.Option("--address", "-a", metavar="HOST:PORT", help="Where to listen; port 0 takes a free port."),
]


def finish(machine: bool, action: Callable[[Output], int]) -> None:
    """Run a command's action and end the process with its exit code."""
    from bridge.cli.output import Output

    output = Output(machine=machine)
    try:
        code = action(output)
    except Failure as failure:
        output.failure(failure)
        code = failure.code
    raise typer.Exit(int(code))
