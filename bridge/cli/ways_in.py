"""What lets a command into a server: an API key and TLS, beside the address; and the flags that say so.

Owns nothing. Reads the files that the flags name when a connection is made.
"""

from __future__ import annotations

import functools
import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.failures import ExitCode, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

UNIX = "unix:"
SYSTEM = "system"
"""Given as a CA: those that gRPC comes with."""

_FLAGS: dict[str, Any] = {
    "way_in_key": Annotated[
        str | None,
        typer.Option("--key", envvar="BRIDGE_KEY", metavar="KEY", help="An API key, or env:NAME or file:PATH of one."),
    ],
    "way_in_ca": Annotated[
        str | None,
        typer.Option(
            "--tls-ca", envvar="BRIDGE_TLS_CA", metavar="FILE", help="The server's CA, PEM, or 'system': use TLS."
        ),
    ],
    "way_in_certificate": Annotated[
        str | None,
        typer.Option(
            "--tls-certificate", envvar="BRIDGE_TLS_CERTIFICATE", metavar="FILE", help="A certificate (mTLS)."
        ),
    ],
    "way_in_certificate_key": Annotated[
        str | None, typer.Option("--tls-key", envvar="BRIDGE_TLS_KEY", metavar="FILE", help="The certificate's key.")
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """What was given beside an address."""

    key: str | None = field(default=None, repr=False)
    ca: str | None = None
    certificate: str | None = None
    certificate_key: str | None = None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return what goes with every call. Raises Failure."""
        return () if self.key is None else (("authorization", f"Bearer {_read_key(self.key)}"),)

    def credentials(self) -> Any:
        """Return gRPC's credentials for TLS; None for plain text. Raises Failure."""
        if (self.certificate is None) != (self.certificate_key is None):
            raise Failure(ExitCode.USAGE, "--tls-certificate and --tls-key go together; one of them is missing")
        if self.ca is None:
            if self.certificate is not None:
                raise Failure(ExitCode.USAGE, "--tls-certificate needs TLS: give the server's CA with --tls-ca")
            return None
        import grpc

        return grpc.ssl_channel_credentials(
            None if self.ca == SYSTEM else _read_pem("--tls-ca", self.ca, b"CERTIFICATE-----"),
            _read_pem("--tls-key", self.certificate_key, b"PRIVATE KEY-----"),
            _read_pem("--tls-certificate", self.certificate, b"CERTIFICATE-----"),
        )


class Target(str):
    """An address, HOST:PORT or unix:PATH, that knows the way in; an address like any other where it is shown."""

    __slots__ = ("way_in",)

    way_in: WayIn

    def __new__(cls, address: str, way_in: WayIn) -> Target:
        """Make it."""
        made = super().__new__(cls, address)
        made.way_in = way_in
        return made


def way_in_of(address: str) -> WayIn:
    """Return what was given beside an address."""
    return address.way_in if isinstance(address, Target) else WayIn()


def reaching(command: Callable[..., None], *addresses: str) -> Callable[..., None]:
    """Give a command the flags of the way in; its parameters `addresses` become `Target`s."""
    signature = inspect.signature(command, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    flags = [inspect.Parameter(name, kind, default=None, annotation=flag) for name, flag in _FLAGS.items()]
    given = [parameter.replace(kind=kind) for parameter in signature.parameters.values()]
    parameters = [*given[:-1], *flags, given[-1]] if given and given[-1].name == "as_json" else [*given, *flags]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        key, ca, certificate, certificate_key = (values.pop(name) for name in _FLAGS)
        way_in = WayIn(key=key, ca=ca, certificate=certificate, certificate_key=certificate_key)
        values |= {name: Target(values[name], way_in) for name in addresses if values[name] is not None}
        command(**values)

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def let_in(app: typer.Typer, others: Mapping[str, Sequence[str]]) -> None:
    """Give the flags to every command below `app` that has a parameter `address`.

    `others` names, by the name of a function, parameters that are the addresses instead; none for no flags.
    """
    for command in app.registered_commands:
        assert command.callback is not None
        parameters = inspect.signature(command.callback).parameters
        names = others.get(command.callback.__name__, ("address",) if "address" in parameters else ())
        if names:
            command.callback = reaching(command.callback, *names)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            let_in(group.typer_instance, others)


def handshake_hint(cause: str) -> str:
    """Return what to do about a connection that was refused although somebody listens; empty where nothing is known."""
    if "CERTIFICATE_VERIFY_FAILED" in cause:
        return "its certificate is not trusted: name the CA that has signed it with --tls-ca"
    if "WRONG_VERSION_NUMBER" in cause:
        return "it takes no TLS: leave --tls-ca out"
    if "Peer name" in cause:
        return "its certificate has other names: use one of them in the address"
    if "Socket closed" in cause:
        return "it may take TLS alone (--tls-ca), or ask for a certificate (--tls-certificate and --tls-key)"
    return ""


def _read_key(given: str) -> str:
    kind, _, name = given.partition(":")
    if kind == "env" and name:
        key = os.environ.get(name, "").strip()
        if not key:
            raise Failure(ExitCode.USAGE, f"--key: the environment variable {name} is empty or not set")
        return key
    if kind == "file" and name:
        try:
            return Path(name).expanduser().read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(ExitCode.USAGE, f"--key: can not read {name}: {error}") from None
    if not (given.isascii() and given.isprintable() and given.strip() == given):
        raise Failure(ExitCode.USAGE, "--key: expected a key, env:NAME or file:PATH, got other text")
    return given


def _read_pem(flag: str, name: str | None, mark: bytes) -> bytes | None:
    if name is None:
        return None
    try:
        data = Path(name).expanduser().read_bytes()
    except OSError as error:
        raise Failure(ExitCode.USAGE, f"{flag}: can not read {name}: {error.strerror or error}") from None
    if mark not in data:
        raise Failure(ExitCode.USAGE, f"{flag}: expected a PEM file with '-----BEGIN {mark.decode()}', got {name}")
    return data
