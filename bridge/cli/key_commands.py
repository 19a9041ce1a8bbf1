"""The commands `bridge keys ...`: names, flags and help; what they do is in `keys`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import ConfigFile, Json, finish

keys_app = typer.Typer(
    help="Make, list and revoke API keys, which a server with `keys.file` asks its callers for.",
    no_args_is_help=True,
)

File = Annotated[
    Path | None,
    typer.Option("--file", "-f", metavar="FILE", help="The key file; without it that of the configuration, keys.file."),
]


@keys_app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called in logs and receipts.")],
    roles: Annotated[
        list[str], typer.Option("--role", "-r", metavar="ROLE", help="call or admin; admin includes call.")
    ],
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="The only tenant that its callers are.")
    ] = None,
    file: File = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Make an API key and print it, once: only its hash is kept. A running server knows it within a second."""
    from bridge.cli import keys

    finish(as_json, lambda output: keys.run_create(name, roles, tenant, keys.place(file, config), output))


@keys_app.command("list")
def list_keys(file: File = None, config: ConfigFile = None, as_json: Json = False) -> None:
    """List the API keys, those that were revoked included."""
    from bridge.cli import keys

    finish(as_json, lambda output: keys.run_list(keys.place(file, config), output))


@keys_app.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME|ID", help="The key, as `bridge keys list` has it.")],
    file: File = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Revoke an API key: a running server refuses its calls and ends its streams within a second."""
    from bridge.cli import keys

    finish(as_json, lambda output: keys.run_revoke(name, keys.place(file, config), output))
