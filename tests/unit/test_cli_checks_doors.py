"""What `bridge doctor` finds of the doors."""

from __future__ import annotations

import socket

from bridge.cli.checks_doors import check_keys, check_open, check_socket, check_tls
from bridge.config import Config
from bridge.keys.key import make, revoked
from bridge.keys.key_file import changing


def config(**server):
    keys = {"file": "keys.json"} if server.pop("keys", False) else {}
    return Config.model_validate({"server": server, "keys": keys})


def test_who_can_reach_it():
    tls = {"tls_certificate": "a.pem", "tls_key": "a.key"}
    assert list(check_open(config())) == []
    (found,) = check_open(config(address="0.0.0.0:1", insecure=True))
    assert (found.level, "without TLS and keys" in found.detail) == ("note", True)
    (found,) = check_open(config(address="0.0.0.0:1", insecure=True, keys=True))
    assert "without TLS (" in found.detail
    (found,) = check_open(config(address="0.0.0.0:1", keys=True, **tls))
    assert found.level == "ok"


def test_files_that_can_not_be_used(tmp_path):
    (found,) = check_tls(config(tls_certificate=str(tmp_path / "a.pem"), tls_key="a.key").server)
    assert (found.level, "can not read" in found.detail) == ("problem", True)
    assert list(check_tls(config().server)) == []


def test_sockets(tmp_path):
    path = tmp_path / "b.sock"
    assert check_socket(str(path)).detail.endswith("is free")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert "the next one takes it over" in check_socket(str(path)).detail
        listening.listen()
        assert check_socket(str(path)).level == "problem"


def found_of_keys(path):
    (found,) = check_keys(Config.model_validate({"keys": {"file": str(path)}}).keys)
    return found


def test_keys(tmp_path):
    path = tmp_path / "keys.json"
    assert list(check_keys(Config().keys)) == []
    assert (found_of_keys(path).level, "there is no key file" in found_of_keys(path).detail) == ("problem", True)
    with changing(path) as keys:
        keys.append(revoked(make("old", ("admin",))[0], "2026-01-01T00:00:00Z"))
    assert found_of_keys(path).detail == "0 API keys may be used, 1 are revoked: nobody can call this server"
    with changing(path) as keys:
        keys.append(make("shop", ("call",))[0])
    assert "none has the role admin" in found_of_keys(path).detail
    with changing(path) as keys:
        keys.append(make("operator", ("admin",))[0])
    assert (found_of_keys(path).level, found_of_keys(path).detail) == ("ok", "2 API keys may be used, 1 are revoked")
    path.chmod(0o640)
    assert (found_of_keys(path).level, found_of_keys(path).fix) == ("note", f"chmod 600 {path}")
    path.chmod(0o666)
    assert found_of_keys(path).level == "problem"
