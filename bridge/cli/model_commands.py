"""The commands `bridge model ...`: names, flags and help; what they do is in `models`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_ADDRESS, Json, Server, finish

model_app = typer.Typer(
    help="Show the language models of a running server, and what was spent on them.",
    no_args_is_help=True,
)


@model_app.command("ls")
def list_models(address: Server = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the configured models with their limits, and how they stand."""
    from bridge.cli import models

    finish(as_json, lambda output: models.run_list(address, output))


@model_app.command("costs")
def list_costs(
    function: Annotated[
        str, typer.Option("--function", metavar="NAME", help="Only calls of this function or program.")
    ] = "",
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="Only what this tenant may see.")] = "",
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show what calls have used of models, by tenant, function and model, and what is left of budgets."""
    from bridge.cli import models

    finish(as_json, lambda output: models.run_costs(function, tenant, address, output))
