"""How the command line and the Python client get in: TLS, certificates of their own, keys by reference."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import bridge_client
import pytest
from bridge_client import CannotConnect, Tls, connect, connect_async


@pytest.fixture
def secured(start_server, authority, tmp_path, add_app, small_config):
    """A server with mTLS, and the files of a client that may come in."""
    files = authority.issue("bridge.example").write(tmp_path) | {"tls_client_ca": str(tmp_path / "ca.pem")}
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    lines = [f"{name} = {json.dumps(path)}" for name, path in files.items()]
    server = start_server(add_app, "\n".join(["[server]", *lines, small_config]))
    mine = authority.issue("app", client=True).write(tmp_path, "app")
    return server, {"ca": files["tls_client_ca"], "certificate": mine["tls_certificate"], "key": mine["tls_key"]}


def bridge(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", *arguments],
        env={**os.environ, "NO_COLOR": "1", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_commands_take_flags_or_variables(secured):
    server, files = secured
    flags = ["--tls-ca", files["ca"], "--tls-certificate", files["certificate"], "--tls-key", files["key"]]
    variables = {
        f"BRIDGE_TLS_{name}": path for name, path in zip(("CA", "CERTIFICATE", "KEY"), files.values(), strict=True)
    }

    done = bridge("call", "add", "a=2", "b=3", "--address", server.address, *flags)
    assert (done.returncode, done.stdout.strip()) == (0, "5"), done.stderr
    assert bridge("status", "--address", server.address, *flags).returncode == 0
    assert "add" in bridge("ls", BRIDGE_ADDRESS=server.address, **variables).stdout
    measured = bridge("bench", server.address, "-n", "1", "-d", "0.3", "--json", **variables)
    assert measured.returncode == 0, measured.stderr


@pytest.mark.parametrize(
    ("left_out", "exit_code", "words"),
    [
        ("all", 3, "it may take TLS alone (--tls-ca)"),
        ("certificate", 3, "or ask for a certificate (--tls-certificate and --tls-key)"),
        ("key", 2, "--tls-certificate and --tls-key go together"),
        ("ca", 2, "--tls-certificate needs TLS"),
    ],
)
def test_what_is_missing_is_said(secured, left_out, exit_code, words):
    server, files = secured
    flags = {
        "ca": ["--tls-ca", files["ca"]],
        "certificate": ["--tls-certificate", files["certificate"]],
        "key": ["--tls-key", files["key"]],
    }
    left = {"all": {"ca", "certificate", "key"}, "certificate": {"certificate", "key"}}.get(left_out, {left_out})
    given = [word for name, words in flags.items() if name not in left for word in words]

    done = bridge("call", "add", "a=2", "b=3", "--address", server.address, *given)

    assert done.returncode == exit_code, done.stderr
    assert words in done.stderr


def test_doctor_asks_a_running_server_over_tls(secured, tmp_path):
    server, files = secured
    flags = ["--tls-ca", files["ca"], "--tls-certificate", files["certificate"], "--tls-key", files["key"]]

    done = bridge("doctor", "--set", f"server.address={server.address}", "--json", *flags)

    titles = {item["title"]: item["detail"] for item in json.loads(done.stdout)["findings"]}
    assert titles["address"] == f"a bridge serves on {server.address}"


async def test_the_python_client_by_tls(secured):
    server, files = secured
    tls = Tls(**files)

    with connect(server.address, tls=tls) as client:
        assert client.call("add", a=2, b=3) == 5
    async with connect_async(server.address, tls=tls) as client:
        assert await client.call("add", a=2, b=3) == 5
    port = server.address.rpartition(":")[2]
    with connect(f"localhost:{port}", tls=tls) as client, pytest.raises(CannotConnect, match="certificate"):
        client.call("add", a=2, b=3)
    with connect(f"localhost:{port}", tls=Tls(**files, server_name="bridge.example")) as client:
        assert client.call("add", a=2, b=3) == 5


def test_the_python_client_says_what_to_do(secured, another_authority):
    server, files = secured
    with connect(server.address) as client, pytest.raises(CannotConnect, match="it may take TLS alone"):
        client.call("add", a=2, b=3)
    hints = {files["ca"]: "or ask for a certificate", another_authority.certificate: "give the CA that has signed it"}
    for ca, hint in hints.items():
        with connect(server.address, tls=Tls(ca=ca)) as client, pytest.raises(CannotConnect, match=hint):
            client.call("add", a=2, b=3)


def test_a_client_with_tls_at_a_plain_port(start_server, authority, add_app, small_config, tmp_path):
    server = start_server(add_app, small_config)
    (tmp_path / "ca.pem").write_bytes(authority.certificate)

    tls = Tls(ca=authority.certificate)
    with connect(server.address, tls=tls) as client, pytest.raises(CannotConnect, match="it takes no TLS"):
        client.call("add", a=2, b=3)
    done = bridge("ls", "--address", server.address, "--tls-ca", str(tmp_path / "ca.pem"))
    assert (done.returncode, "it takes no TLS: leave --tls-ca out" in done.stderr) == (3, True)


def test_options_that_can_not_be_used(tmp_path):
    (tmp_path / "not.pem").write_text("no certificate")
    with pytest.raises(ValueError, match="certificate and key together; key is missing"):
        Tls(certificate="app.pem")
    with pytest.raises(ValueError, match=r"expected ca in PEM.*not\.pem"):
        connect("127.0.0.1:1", tls=Tls(ca=tmp_path / "not.pem"))
    with pytest.raises(ValueError, match="a unix socket is not encrypted"):
        connect("unix:/run/bridge.sock", tls=Tls())
    with pytest.raises(ValueError, match="NO_SUCH_KEY, which is empty or not set"):
        connect("127.0.0.1:1", key="env:NO_SUCH_KEY")
    assert "app.key" not in repr(Tls(certificate="app.pem", key="app.key"))


@pytest.mark.parametrize("form", ["plain", "env", "file"])
def test_keys_by_reference(form, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "bk_a_b\n")
    (tmp_path / "key").write_text("bk_a_b\n")
    given = {"plain": "bk_a_b", "env": "env:MY_KEY", "file": f"file:{tmp_path / 'key'}"}[form]

    from bridge.cli.ways_in import WayIn

    assert WayIn(key=given).metadata() == (("authorization", "Bearer bk_a_b"),)
    with connect("127.0.0.1:1", key=given) as client:
        assert client._wire.options.key == "bk_a_b"
        assert "bk_a_b" not in repr(client._wire)
    assert "bk_a_b" not in repr(WayIn(key=given))


def test_tls_is_public():
    assert "Tls" in bridge_client.__all__
