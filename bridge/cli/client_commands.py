"""The commands `bridge client ...`: names, flags and help; what they do is in `generating`. Imports nothing heavy."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_ADDRESS, ConfigFile, Json, Server, finish
from bridge.cli.proto_commands import App

client_app = typer.Typer(help="Write typed clients of what a server offers.", no_args_is_help=True)


class Language(Enum):
    """The languages that there are."""

    PYTHON = "python"
    TYPESCRIPT = "typescript"
    GO = "go"
    ELIXIR = "elixir"


@client_app.command()
def gen(
    app: App = None,
    lang: Annotated[Language, typer.Option("--lang", "-l", help="The language.")] = Language.PYTHON,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where to write.")] = Path(),
    package: Annotated[
        str | None,
        typer.Option("--package", metavar="NAME", help="Such as shop.v1; without it, that of the lock file."),
    ] = None,
    lock: Annotated[Path, typer.Option("--lock", metavar="FILE", help="The lock file, if there is one.")] = Path(
        "bridge.proto.lock"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where something would be written.")
    ] = False,
    config: ConfigFile = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Write typed code that calls the functions and programs of an app, in the types of their signatures."""
    from bridge.cli import generating

    options = generating.GenerateOptions(
        app=app, lang=lang.value, out=out, package=package, lock=lock, check=check, config=config, address=address
    )
    finish(as_json, lambda output: generating.run(options, output))
