"""The settings of what lets callers in: `[server]`, with its ports, TLS and unix socket, and `[keys]`.

Pure: whether files, users and addresses exist is seen where they are used.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from bridge.settings.fields import MIB, Flag, Int, Seconds, Section, Size, check_address

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_SOCKET_BYTES = 102
"""Linux's limit for the path of a unix socket is 107; the server may need five more for one of its own beside it."""


def _check_door_address(text: str) -> str:
    return check_address(text) if text else text


def _check_socket_path(text: str) -> str:
    if text.startswith("unix:") or "\0" in text or not text.strip():
        raise ValueError("expected the path of a socket file, such as '/run/bridge/bridge.sock'")
    if len(text.encode()) > MOST_SOCKET_BYTES:
        raise ValueError(
            f"the path of a socket file has at most {MOST_SOCKET_BYTES} bytes, this one {len(text.encode())}"
        )
    return text


def _check_key_text(text: str) -> str:
    if "\n" in text or not text.strip() or text.startswith("-----"):
        raise ValueError("expected the path of a PEM file or a reference to a secret, 'env:NAME' or 'file:PATH'")
    return text


def _user(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


DoorAddress = Annotated[str, AfterValidator(_check_door_address)]
SocketPath = Annotated[str, AfterValidator(_check_socket_path)]
FileName = Annotated[str, Field(min_length=1)]
KeyText = Annotated[str, AfterValidator(_check_key_text)]
User = Annotated[str, BeforeValidator(_user), Field(min_length=1)]


class ServerConfig(Section):
    """The gRPC server."""

    address: DoorAddress = Field(
        "127.0.0.1:50051",
        description="Where it listens, HOST:PORT. Port 0 takes a free port; empty: on `unix_socket` alone.",
    )
    tls_certificate: FileName | None = Field(
        None, description="A PEM file with the server's certificate and those between it and its CA; given: TLS."
    )
    tls_key: KeyText | None = Field(
        None, repr=False, description="The certificate's private key: a PEM file, or a reference to a secret."
    )
    tls_client_ca: FileName | None = Field(
        None, description="A PEM file with CAs; given: only clients with a certificate that one of them signed."
    )
    tls_reload_s: Seconds = Field(
        30.0, description="How often these files are looked at; new ones serve new connections without a restart."
    )
    unix_socket: SocketPath | None = Field(
        None, description="A unix socket that it listens on as well, for programs of this machine."
    )
    unix_users: tuple[User, ...] = Field(
        (), description="Names or ids of users that may connect to it, beside root and the server's own user."
    )
    insecure: Flag = Field(
        False, description="Whether an address that other machines reach may be served without TLS and keys."
    )
    fronts: Int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that take gRPC on the address; with more than one, each has a core's worth of "
        "connections, and all share the pools, sessions and limits.",
    )
    max_message_bytes: Size = Field(64 * MIB, description="The largest message that it receives or sends.")
    drain_timeout_s: Seconds = Field(30.0, description="How long running calls may take to end when the server stops.")
    default_timeout_s: Seconds = Field(60.0, description="The deadline of a call that brings none.")
    max_timeout_s: Seconds = Field(3600.0, description="The longest deadline; a longer one is cut to it.")
    slow_reader_timeout_s: Seconds = Field(
        60.0,
        description="How long a message of a stream may wait for a client that does not read; the stream ends then.",
    )
    keepalive_time_s: Seconds = Field(
        30.0, ge=1.0, description="A connection on which nothing has come for so long is asked whether it still lives."
    )
    keepalive_timeout_s: Seconds = Field(
        10.0, ge=1.0, description="How long that answer may take; then the connection and its calls end."
    )
    expose_tracebacks: Flag = Field(False, description="Whether callers get the Python traceback of user code.")
    cgroups: Literal["auto", "off"] = Field(
        "auto", description="Whether each worker gets a cgroup of its own, where the environment allows it."
    )
    reflection: Flag = Field(True, description="Whether tools may ask the server for its services and messages.")
    chaos: Flag = Field(
        False, description="Whether `bridge doctor --chaos` may break workers on purpose, to measure what follows."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.default_timeout_s > self.max_timeout_s:
            raise ValueError(
                f"default_timeout_s is {self.default_timeout_s:g}, more than max_timeout_s ({self.max_timeout_s:g}); "
                "lower the one or raise the other"
            )
        return self

    @model_validator(mode="after")
    def _check_doors(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            missing = "tls_certificate" if self.tls_key else "tls_key"
            raise ValueError(f"TLS needs a certificate and its key; {missing} is missing")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca needs TLS: tls_certificate and tls_key are missing")
        if self.unix_users and not self.unix_socket:
            raise ValueError("unix_users says who may connect to unix_socket, which is missing")
        if not self.address and self.fronts > 1:
            raise ValueError(f"fronts is {self.fronts}, and address is empty: fronts share an address")
        if not self.address and not self.unix_socket:
            raise ValueError("address is empty and there is no unix_socket: there is nothing to listen on")
        return self


class KeysConfig(Section):
    """API keys. `bridge keys create` makes them."""

    file: FileName | None = Field(
        None, description="The file that the keys stand in, hashed; given: every call but those of health needs a key."
    )


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach HOST:PORT, as far as the text tells."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def door_mistakes(server: ServerConfig, keys: KeysConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is missing before other machines may reach the server: the key, and the problem."""
    if server.insecure or not server.address or is_loopback(server.address):
        return
    missing = [] if server.tls_certificate else ["TLS (server.tls_certificate and server.tls_key)"]
    missing += [] if keys.file else ["keys (keys.file; `bridge keys create` makes one)"]
    if missing:
        yield (
            ("server", "address"),
            f"other machines can reach {server.address}, and there are no {' and no '.join(missing)}: whoever reaches "
            "it could run your functions; add what is missing, or take the risk with --insecure "
            "(server.insecure = true)",
        )
