"""The command `bridge serve`: its flags. What it does is in `serving`, which loads when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from bridge.cli.options import Changes, ConfigFile, Json, Listen, PoolChanges, finish


def serve(
    apps: Annotated[
        list[str] | None, typer.Argument(metavar="APP...", help="A Python file or the dotted name of a module.")
    ] = None,
    config: ConfigFile = None,
    address: Listen = None,
    fronts: Annotated[
        int | None, typer.Option("--fronts", metavar="N", help="Processes that take gRPC on the address.")
    ] = None,
    unix: Annotated[
        str | None, typer.Option("--unix", metavar="PATH", help="A unix socket to listen on, beside the address.")
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option("--tls-certificate", metavar="FILE", help="The server's certificate, PEM: serves TLS.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key: a file or env:NAME.")
    ] = None,
    tls_client_ca: Annotated[
        str | None, typer.Option("--tls-client-ca", metavar="FILE", help="Clients need a certificate of this CA.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines reach the server without TLS and keys.")
    ] = False,
    exit_with_stdin: Annotated[
        bool, typer.Option("--exit-with-stdin", help="For a sidecar: drain and end when standard input ends.")
    ] = False,
    pool: PoolChanges = None,
    settings: Changes = None,
    as_json: Json = False,
) -> None:
    """Serve the public functions and DSPy programs of Python files."""
    from bridge.cli import serving

    options = serving.ServeOptions(
        apps=tuple(apps or ()),
        config=config,
        address=address,
        fronts=fronts,
        doors={
            "server.unix_socket": unix,
            "server.tls_certificate": tls_certificate,
            "server.tls_key": tls_key,
            "server.tls_client_ca": tls_client_ca,
            "server.insecure": "true" if insecure else None,
        },
        exit_with_stdin=exit_with_stdin,
        pools=tuple(pool or ()),
        settings=tuple(settings or ()),
    )
    finish(as_json, lambda output: serving.run(options, output))
