"""The commands `bridge pool ...`: names, flags and help; what they do is in `pools`. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_ADDRESS, Json, Server, finish

pool_app = typer.Typer(
    help="Give orders to a pool of a running server. What they change lasts until the server ends or reloads.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(metavar="POOL", help="The pool's name, as in bridge status.")]


@pool_app.command()
def scale(
    name: Name,
    size: Annotated[int | None, typer.Argument(min=1, metavar="SIZE", help="So many workers, and no scaling.")] = None,
    least: Annotated[int | None, typer.Option("--min", min=1, help="The fewest workers that scaling leaves.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="The most workers that scaling starts.")] = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Set how many workers a pool has, or between which bounds it scales itself."""
    from bridge.cli import pools

    finish(as_json, lambda output: pools.run_scale(name, size, least, most, address, output))


@pool_app.command()
def drain(
    name: Name,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", "-t", min=0, metavar="SECONDS", help="How long running calls may take to end."),
    ] = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Let a pool take no more calls; exit code 5 if some still run when the time is up."""
    from bridge.cli import pools

    finish(as_json, lambda output: pools.run_drain(name, timeout, address, output))


@pool_app.command()
def resume(name: Name, address: Server = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Let a drained pool take calls again."""
    from bridge.cli import pools

    finish(as_json, lambda output: pools.run_resume(name, address, output))


@pool_app.command()
def restart(
    name: Name,
    worker: Annotated[str | None, typer.Option("--worker", "-w", metavar="ID", help="Only this worker.")] = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Replace the workers of a pool by new ones that import the code anew; no call fails."""
    from bridge.cli import pools

    finish(as_json, lambda output: pools.run_restart(name, worker, address, output))


@pool_app.command()
def release(
    name: Name,
    fingerprint: Annotated[
        str | None, typer.Argument(help="The input's fingerprint, as in bridge status; without it all of the pool.")
    ] = None,
    address: Server = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Let an input run again that is refused because it killed workers."""
    from bridge.cli import pools

    finish(as_json, lambda output: pools.run_release(name, fingerprint, address, output))
