"""The commands `bridge program ...`: names, flags and help. Imports nothing heavy.

What they do is in `artefacts` for saved programs, in `program_creating` for created ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.options import DEFAULT_ADDRESS, ConfigFile, Json, Server, finish

if TYPE_CHECKING:
    from bridge.cli.program_creating import Source

program_app = typer.Typer(
    help="Create, save, compare, promote and roll back versions of DSPy programs.",
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


Signature = Annotated[str | None, typer.Argument(metavar="[SIGNATURE]", help="Such as 'question -> answer: float'.")]
Module = Annotated[
    str | None,
    typer.Option("--module", "-m", metavar="KIND", help="predict (the default), chain_of_thought, react, refine, ..."),
]
Instructions = Annotated[str | None, typer.Option("--instructions", help="What the language model is told to do.")]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="The language model, by its name on the server."),
]
Adapter = Annotated[
    str | None, typer.Option("--adapter", metavar="KIND", help="How it becomes a prompt: chat, json, xml or two_step.")
]
Tools = Annotated[
    list[str] | None, typer.Option("--tool", metavar="NAME", help="A function that it may call; may be repeated.")
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="What only its kind knows: max_iters=5; may be repeated."),
]
Demos = Annotated[Path | None, typer.Option("--demos", metavar="FILE", help="Worked examples: a JSON list of objects.")]
Doc = Annotated[str | None, typer.Option("--doc", help="What it is for, for people.")]
SourceFile = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="All of that as JSON, a ProgramSource; flags win over it."),
]


def _source(
    file: Path | None, signature: str | None, options: list[str] | None, demos: Path | None, **flags: object
) -> Source:
    from bridge.cli.program_creating import Source

    return Source(file, signature, flags, options or (), demos)


@program_app.command("create")
def create(
    name: Name,
    signature: Signature = None,
    module: Module = None,
    instructions: Instructions = None,
    model: Model = None,
    adapter: Adapter = None,
    tools: Tools = None,
    options: Options = None,
    demos: Demos = None,
    doc: Doc = None,
    file: SourceFile = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Create a program on a server, to be called like any other."""
    from bridge.cli import program_creating as command

    flags = {"module": module, "instructions": instructions, "model": model, "adapter": adapter}
    source = _source(file, signature, options, demos, tools=tools, doc=doc, **flags)
    finish(as_json, lambda output: command.run_create(name, source, address, output))


@program_app.command("update")
def update(
    name: Name,
    signature: Signature = None,
    module: Module = None,
    instructions: Instructions = None,
    model: Model = None,
    adapter: Adapter = None,
    tools: Tools = None,
    options: Options = None,
    demos: Demos = None,
    doc: Doc = None,
    file: SourceFile = None,
    expected_version: Annotated[
        int, typer.Option("--expected-version", min=0, help="Only if this version serves now; 0 for whichever does.")
    ] = 0,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Add a version of a created program, which serves at once; what it was made from before is not taken over."""
    from bridge.cli import program_creating as command

    flags = {"module": module, "instructions": instructions, "model": model, "adapter": adapter}
    source = _source(file, signature, options, demos, tools=tools, doc=doc, **flags)
    finish(as_json, lambda output: command.run_update(name, source, expected_version, address, output))


@program_app.command("delete")
def delete(name: Name, address: Server = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Remove a created program with all its versions."""
    from bridge.cli import program_creating as command

    finish(as_json, lambda output: command.run_delete(name, address, output))


@program_app.command("list")
def list_programs(address: Server = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the programs of a server, those of its app too."""
    from bridge.cli import program_creating as command

    finish(as_json, lambda output: command.run_list(address, output))


@program_app.command("check")
def check(
    signature: Annotated[str, typer.Argument(help="Such as 'question -> answer: float'.")],
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say what a signature means, or where it is wrong (exit code 1)."""
    from bridge.cli import program_creating as command

    finish(as_json, lambda output: command.run_check(signature, address, output))
