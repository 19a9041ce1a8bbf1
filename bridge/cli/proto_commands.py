"""The commands `bridge proto ...`: names, flags and help; what they do is in `exporting`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_ADDRESS, ConfigFile, Json, Server, finish

proto_app = typer.Typer(help="Write .proto files of what a server offers.", no_args_is_help=True)

App = Annotated[
    str | None,
    typer.Argument(
        metavar="[APP]", help="A Python file, or the dotted name of a module; else the server at --address."
    ),
]
LockFile = Annotated[
    Path, typer.Option("--lock", metavar="FILE", help="Where the numbers of fields are kept; check it in.")
]
LOCK = Path("bridge.proto.lock")


@proto_app.command()
def export(
    app: App = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where to write.")] = Path("proto"),
    package: Annotated[
        str | None, typer.Option("--package", metavar="NAME", help="Such as shop.v1, at the first time.")
    ] = None,
    lock: LockFile = LOCK,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where something would be written.")
    ] = False,
    whole: Annotated[bool, typer.Option("--all", help="Also the .proto files of the bridge's own services.")] = False,
    config: ConfigFile = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Write a .proto file with a method for each function and program, its descriptors, and the lock file."""
    from bridge.cli import exporting

    options = exporting.ExportOptions(
        app=app, out=out, package=package, lock=lock, check=check, whole=whole, config=config, address=address
    )
    finish(as_json, lambda output: exporting.run(options, output))
