"""The settings of the doors: what belongs together, and what may be open to other machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.cli.config_commands import shown
from bridge.config import Config, ConfigError, load_config
from bridge.settings.door_tables import door_mistakes, is_loopback

TLS = {"server.tls_certificate": "server.pem", "server.tls_key": "server.key"}
OPEN = {"server.address": "0.0.0.0:50051"}


def load(overrides: dict[str, Any], environ: dict[str, str] | None = None) -> Config:
    return load_config(None, overrides=overrides, environ=environ or {})


def problem_of(overrides: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        load(overrides)
    return str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"server.tls_certificate": "server.pem"}, "tls_key is missing"),
        ({"server.tls_key": "server.key"}, "tls_certificate is missing"),
        ({"server.tls_client_ca": "ca.pem"}, "tls_certificate and tls_key are missing"),
        ({"server.unix_users": ["app"]}, "unix_socket, which is missing"),
        ({"server.address": ""}, "nothing to listen on"),
        ({"server.address": "", "server.unix_socket": "/run/b.sock", "server.fronts": 2}, "fronts share an address"),
        ({"server.unix_socket": "unix:/run/bridge.sock"}, "expected the path of a socket file"),
        ({"server.unix_socket": "/run/" + "a" * 103}, "has at most 102 bytes, this one 108"),
        ({**TLS, "server.tls_key": "-----BEGIN PRIVATE KEY-----"}, "expected the path of a PEM file"),
    ],
)
def test_what_does_not_fit_together_is_said(overrides: dict[str, Any], problem: str) -> None:
    text = problem_of(overrides)

    assert problem in text
    assert "BEGIN" not in text, "a key that was pasted is not printed"


def test_a_server_may_listen_on_a_unix_socket_alone() -> None:
    config = load({"server.address": "", "server.unix_socket": "/run/b.sock", "server.unix_users": [1000, "app"]})

    assert (config.server.address, config.server.unix_users) == ("", ("1000", "app"))


def test_the_key_may_be_a_reference_that_is_looked_up_and_never_shown(tmp_path: Path) -> None:
    assert "the environment variable MY_KEY is not set" in problem_of({**TLS, "server.tls_key": "env:MY_KEY"})

    config = load({**TLS, "server.tls_key": "literal:very secret"})

    assert shown(config)["server"]["tls_key"] == "literal:***"
    assert "very secret" not in repr(config)


def test_the_variables_of_clients_are_no_settings() -> None:
    names = ("BRIDGE_KEY", "BRIDGE_TLS_CA", "BRIDGE_TLS_CERTIFICATE", "BRIDGE_TLS_KEY")
    names += ("BRIDGE_ELIXIR_DEPS", "BRIDGE_ELIXIR_SERVER")

    assert load({}, dict.fromkeys(names, "x")) == load({})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *[(address, True) for address in ("127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1")],
        *[(address, False) for address in ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.org:1")],
    ],
)
def test_loopback_addresses(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    ("overrides", "missing"),
    [
        (OPEN, ["TLS", "keys", "--insecure"]),
        ({**OPEN, **TLS}, ["keys", "--insecure"]),
        ({**OPEN, "keys.file": "keys.toml"}, ["TLS", "--insecure"]),
        ({**OPEN, **TLS, "keys.file": "keys.toml"}, []),
        ({**OPEN, "server.insecure": True}, []),
        ({"server.address": "127.0.0.1:0"}, []),
        ({"server.address": "", "server.unix_socket": "/run/b.sock"}, []),
    ],
)
def test_what_other_machines_reach_needs_tls_and_keys(overrides: dict[str, Any], missing: list[str]) -> None:
    config = Config.model_validate(_nested(overrides))

    text = " ".join(message for _, message in door_mistakes(config.server, config.keys))

    assert bool(text) is bool(missing)
    assert all(word in text for word in missing)
    assert ("no TLS" in text, "no keys" in text) == ("TLS" in missing, "keys" in missing)


def _nested(overrides: dict[str, Any]) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        section, _, key = name.partition(".")
        tables.setdefault(section, {})[key] = value
    return tables
