"""The commands `bridge program ...`: names, flags and help; what they do is in `artefacts`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import ConfigFile, Json, finish

program_app = typer.Typer(
    help="Save, compare, promote and roll back versions of DSPy programs.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The program.")]
Store = Annotated[
    Path | None,
    typer.Option("--dir", "-d", metavar="DIR", help="The directory of artefacts, instead of programs.artefacts."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", "-a", metavar="HOST:PORT", help="A server, for a created program; else the directory is used."
    ),
]


@program_app.command("save")
def save(
    name: Name,
    app: Annotated[
        str | None, typer.Argument(metavar="[APP]", help="The file that defines it; none for a created program.")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="FILE", help="Take this state that DSPy's program.save has written."),
    ] = None,
    without_models: Annotated[
        bool, typer.Option("--without-models", help="Do not save which language model each predictor has.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write this file instead of a new version.")
    ] = None,
    store: Store = None,
    address: Address = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Save a program as JSON without secrets: a new version, or a file."""
    from bridge.cli import artefact_saving as command

    order = command.SaveOrder(name=name, app=app, state=state, models=not without_models, out=out)
    finish(as_json, lambda output: command.run_save(order, command.Place(store, address, config), output))


@program_app.command("load")
def load(
    file: Annotated[Path, typer.Argument(help="What `bridge program save --out` has written.")],
    app: Annotated[
        str | None, typer.Argument(metavar="[APP]", help="The file that defines the program, to check against.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Another name for a created program.")
    ] = None,
    store: Store = None,
    address: Address = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Take a saved program over: as a new version in a directory, or as a created program of a server."""
    from bridge.cli import artefact_saving as command

    finish(as_json, lambda output: command.run_load(file, app, name, command.Place(store, address, config), output))


@program_app.command("versions")
def versions(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The program; none for all of a directory.")
    ] = None,
    store: Store = None,
    address: Address = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """List the versions of a program, and which one serves."""
    from bridge.cli import artefacts as command

    finish(as_json, lambda output: command.run_versions(name, command.Place(store, address, config), output))


@program_app.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A file, NAME@VERSION, or NAME for the one that serves.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    breaking: Annotated[
        bool,
        typer.Option(
            "--breaking",
            help="Show what changes for callers; exit code 1 where something breaks. A and B may also be apps, "
            "HOST:PORT, or files of `bridge proto export`.",
        ),
    ] = False,
    store: Store = None,
    address: Address = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Show what differs between two saved programs, or between two states of an API."""
    from bridge.cli import artefacts as command

    if breaking:
        from bridge.cli import breaking as comparison

        finish(as_json, lambda output: comparison.run(before, after, command.Place(store, address, config), output))
    finish(as_json, lambda output: command.run_diff(before, after, command.Place(store, address, config), output))


@program_app.command("promote")
def promote(
    name: Name,
    version: Annotated[int, typer.Argument(min=0, help="The version; 0 for the program as its file has it.")],
    store: Store = None,
    address: Address = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Let a version serve: at once on a server, from its next start or reload on with a directory."""
    from bridge.cli import artefacts as command

    finish(as_json, lambda output: command.run_promote(name, version, command.Place(store, address, config), output))


@program_app.command("rollback")
def rollback(
    name: Name,
    store: Store = None,
    address: Address = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Let the version serve again that did before: on a server, the one before in number."""
    from bridge.cli import artefacts as command

    finish(as_json, lambda output: command.run_rollback(name, command.Place(store, address, config), output))
