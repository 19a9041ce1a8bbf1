"""TLS and mTLS on the gRPC port, with one process that takes gRPC and with several, and certificates that change."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading

import grpc
import pytest
from bridge_client import Tls, Unauthenticated, connect
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

Code = grpc.StatusCode


@pytest.fixture(params=[1, 2], ids=["one process", "two fronts"])
def fronts(request):
    return request.param


@pytest.fixture
def serve(start_server, fronts, tmp_path, add_app, small_config):
    """`serve(pair, extra, env)` serves with these files; they are looked at often."""

    def start(pair, extra="", env=None):
        files = pair.write(tmp_path)
        lines = [f"{name} = {json.dumps(path)}" for name, path in files.items()]
        server = "\n".join(["[server]", f"fronts = {fronts}", "tls_reload_s = 0.1", *lines, extra])
        return start_server(add_app, f"{server}\n{small_config}", env)

    return start


def der(pair):
    return ssl.PEM_cert_to_DER_cert(pair.certificate.decode())


def test_clients_that_trust_the_ca_are_served_and_others_are_not(
    serve, authority, another_authority, open_channel, add_over
):
    server = serve(authority.issue())

    with open_channel(server.address, authority.certificate) as channel:
        assert add_over(channel) == 5
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        asked = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
        )
        names = {service.name for service in next(asked).list_services_response.service}
        assert "bridge.v1.InvokeService" in names
    for other in (another_authority.certificate, None):
        with open_channel(server.address, other) as channel, pytest.raises(grpc.RpcError) as refused:
            add_over(channel, 5)
        assert refused.value.code() is Code.UNAVAILABLE
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as refused:
        add_over(channel, 5)
    assert refused.value.code() is Code.UNAVAILABLE


def test_handshakes_that_fail_write_nothing_into_the_log(serve, authority, another_authority, open_channel, add_over):
    server = serve(authority.issue())
    host, _, port = server.address.rpartition(":")

    for _ in range(3):
        with socket.create_connection((host, int(port)), 5) as knocking:
            knocking.sendall(b"GET / HTTP/1.1\r\n\r\n")
            knocking.recv(1)
        with open_channel(server.address, another_authority.certificate) as channel, pytest.raises(grpc.RpcError):
            add_over(channel, 5)
    assert server.terminate() == 0

    messages = [json.loads(line)["message"] for line in server.stderr.text.splitlines()]
    assert not any("andshake" in message for message in messages), messages


def test_the_name_in_the_certificate_counts(serve, authority, open_channel, add_over):
    server = serve(authority.issue("bridge.example"))
    port = server.address.rpartition(":")[2]

    with open_channel(f"127.0.0.1:{port}", authority.certificate) as channel:
        assert add_over(channel) == 5, "the address is one of its names"
    with open_channel(f"localhost:{port}", authority.certificate) as channel, pytest.raises(grpc.RpcError):
        add_over(channel, 5)


def test_mtls_serves_only_clients_with_a_certificate_of_the_ca(
    serve, authority, another_authority, open_channel, add_over, tmp_path
):
    (tmp_path / "clients.pem").write_bytes(authority.certificate)
    server = serve(authority.issue(), f"tls_client_ca = {json.dumps(str(tmp_path / 'clients.pem'))}")
    ca = authority.certificate

    with open_channel(server.address, ca, authority.issue("app", client=True)) as channel:
        assert add_over(channel) == 5
    strangers = (None, another_authority.issue("app", client=True), authority.issue("app", days=-1, client=True))
    for stranger in strangers:
        with open_channel(server.address, ca, stranger) as channel, pytest.raises(grpc.RpcError) as refused:
            add_over(channel, 5)
        assert refused.value.code() is Code.UNAVAILABLE


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_2_and_newer_only(serve, authority, served_certificate):
    server = serve(authority.issue())

    def try_version(version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("ALL:@SECLEVEL=0")  # else OpenSSL itself would not offer the old versions
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        return served_certificate(server.address, context)

    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            try_version(version)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert try_version(version)


def test_a_new_certificate_is_served_without_a_restart(
    serve, authority, another_authority, open_channel, add_over, served_certificate, tmp_path, eventually
):
    old, new = authority.issue(), another_authority.issue()
    server = serve(old)

    with open_channel(server.address, authority.certificate) as standing:
        assert add_over(standing) == 5
        new.write(tmp_path)
        server.wait_for_log("new TLS certificate for localhost, 127.0.0.1, valid until")
        eventually(lambda: {served_certificate(server.address) for _ in range(8)} == {der(new)}, "it in each front")
        assert add_over(standing) == 5, "a connection that stands goes on"
    with open_channel(server.address, another_authority.certificate) as channel:
        assert add_over(channel) == 5
    with open_channel(server.address, authority.certificate) as channel, pytest.raises(grpc.RpcError):
        add_over(channel, 5)


def test_what_can_not_be_served_is_told_and_the_old_certificate_stays(
    serve, authority, served_certificate, tmp_path, eventually
):
    old, new = authority.issue(), authority.issue()
    server = serve(old)

    broken = {
        "expected a PEM file with '-----BEGIN CERTIFICATE-----'": type(old)(b"no certificate", new.key),
        "this is not the key of the certificate": type(old)(new.certificate, old.key),
        "has expired at": authority.issue(days=-1),
        "clients would refuse it": authority.issue(client=True),
        "gRPC takes no Ed25519 keys": authority.issue(edwards=True),
    }
    for words, pair in broken.items():
        pair.write(tmp_path)
        line = server.wait_for_log(words)
        assert "the new TLS certificate is not served, the one before it stays" in line
        assert served_certificate(server.address) == der(old)
    (tmp_path / "server.pem").unlink()
    server.wait_for_log("No such file")
    assert served_certificate(server.address) == der(old)

    new.write(tmp_path)
    eventually(lambda: served_certificate(server.address) == der(new), "the good certificate")
    assert "BEGIN" not in server.stderr.text.replace("'-----BEGIN CERTIFICATE-----'", ""), "no key in the log"


def test_doctor_sees_what_the_server_shows(serve, authority, tmp_path):
    server = serve(authority.issue(), "address = '127.0.0.1:1'")
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    ask = ("doctor", "--config", str(server.config), "--set", f"server.address={server.address}", "--json")
    ask += ("--tls-ca", str(tmp_path / "ca.pem"))

    def findings():
        return {item["title"]: item for item in json.loads(bridge(*ask).stdout)["findings"]}

    assert findings()["TLS shown"]["level"] == "ok"
    assert findings()["TLS"]["detail"].startswith("a certificate for localhost, 127.0.0.1 until")
    authority.issue(days=-1).write(tmp_path)
    server.wait_for_log("has expired at")
    found = findings()
    assert (found["TLS"]["level"], "has expired" in found["TLS"]["detail"]) == ("problem", True)
    assert (found["TLS shown"]["level"], "tls_rejected" in found["TLS shown"]["fix"]) == ("note", True)


def test_a_reload_looks_at_once_and_a_new_client_ca_counts(
    start_server,
    fronts,
    authority,
    another_authority,
    open_channel,
    add_over,
    tmp_path,
    add_app,
    small_config,
    eventually,
):
    def gets_in(client):
        with open_channel(server.address, authority.certificate, client) as channel:
            try:
                return add_over(channel, 5) == 5
            except grpc.RpcError:
                return False

    files = authority.issue().write(tmp_path) | {"tls_client_ca": str(tmp_path / "clients.pem")}
    (tmp_path / "clients.pem").write_bytes(authority.certificate)
    lines = [f"{name} = {json.dumps(path)}" for name, path in files.items()]
    server = start_server(add_app, "\n".join(["[server]", f"fronts = {fronts}", *lines, small_config]))
    was, now = authority.issue("app", client=True), another_authority.issue("app", client=True)
    assert gets_in(was)
    assert not gets_in(now)

    (tmp_path / "clients.pem").write_bytes(another_authority.certificate)
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for_log("new TLS certificate")

    # each front takes it over when its part of the news has arrived, a moment after the main process has told
    eventually(lambda: gets_in(now), "the other client to get in")
    eventually(lambda: not gets_in(was), "the first client to be kept out")


def test_a_key_from_the_environment(start_server, authority, open_channel, add_over, tmp_path, add_app, small_config):
    pair = authority.issue()
    path = pair.write(tmp_path)["tls_certificate"]
    (tmp_path / "server.key").unlink()
    config = f"[server]\ntls_certificate = {json.dumps(path)}\ntls_key = 'env:MY_TLS_KEY'\n{small_config}"

    server = start_server(add_app, config, {"MY_TLS_KEY": pair.key.decode()})

    with open_channel(server.address, authority.certificate) as channel:
        assert add_over(channel) == 5


def test_a_front_that_is_replaced_shows_the_newest_certificate(
    start_server, authority, served_certificate, tmp_path, add_app, small_config, eventually
):
    old, new = authority.issue(), authority.issue()
    lines = [f"{name} = {json.dumps(path)}" for name, path in old.write(tmp_path).items()]
    server = start_server(add_app, "\n".join(["[server]", "fronts = 2", "tls_reload_s = 0.1", *lines, small_config]))
    fronts = [process for process in server.processes() if "bridge.fronts.process" in process.cmdline()]
    assert len(fronts) == 2
    new.write(tmp_path)
    server.wait_for_log("new TLS certificate")

    for front in fronts:
        front.kill()
    server.wait_for_log("front serves")

    eventually(lambda: _ask(served_certificate, server.address) == der(new), "a front with the new certificate")


def _ask(served_certificate, address):
    try:
        return served_certificate(address)
    except (OSError, ssl.SSLError):
        return None  # no front listens yet


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"tls_certificate": "missing.pem"}, "server.tls_certificate: can not read missing.pem: No such file"),
        ({"tls_key": "server.pem"}, "server.tls_key: expected a PEM file with '-----BEGIN PRIVATE KEY-----'"),
        ({"tls_client_ca": "server.key"}, "server.tls_client_ca: expected a PEM file with certificates"),
    ],
)
def test_a_server_does_not_start_with_files_that_can_not_be_used(broken, words, authority, tmp_path, small_config):
    files = {"tls_certificate": "server.pem", "tls_key": "server.key"} | broken
    authority.issue().write(tmp_path)
    (tmp_path / "app.py").write_text("def one() -> int:\n    return 1\n")
    lines = [f"{name} = {json.dumps(path)}" for name, path in files.items()]
    (tmp_path / "bridge.toml").write_text("\n".join(["[server]", *lines, small_config]))

    ended = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "serve", "app.py", "--address", "127.0.0.1:0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert words in ended.stderr
    assert "PRIVATE KEY" not in ended.stderr.replace("'-----BEGIN PRIVATE KEY-----'", "")


def test_certificates_that_change_under_load_fail_no_call(serve, authority, add_over, open_channel, tmp_path):
    """Connections that stand go on, and every new one gets the old certificate or the new one, never none."""
    server = serve(authority.issue())
    ended, failures, made = threading.Event(), [], 0

    def keep_calling(fresh):
        while not ended.is_set():
            try:
                with open_channel(server.address, authority.certificate) as channel:
                    for _ in range(2 if fresh else 200):
                        add_over(channel)
            except grpc.RpcError as error:
                failures.append(error.details())

    callers = [threading.Thread(target=keep_calling, args=(fresh,)) for fresh in (True, True, False)]
    for caller in callers:
        caller.start()
    while made < 5:
        made += 1
        authority.issue(days=90 + made).write(tmp_path)
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=90 + made)
        server.wait_for_log(f"valid until {until:%Y-%m-%d}")
    ended.set()
    for caller in callers:
        caller.join(30)

    assert failures == []


def test_open_to_other_machines_with_tls_and_keys(
    launch, fronts, authority, open_channel, add_over, tmp_path, add_app, small_config
):
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    keys = tmp_path / "keys.json"
    made = bridge("keys", "create", "shop", "--role", "call", "--file", str(keys))
    key = made.stdout.strip().splitlines()[-1]
    assert key.startswith("bk_"), made.stderr
    lines = [f"{name} = {json.dumps(path)}" for name, path in authority.issue().write(tmp_path).items()]
    config = "\n".join(
        ["[server]", f"fronts = {fronts}", *lines, f"[keys]\nfile = {json.dumps(str(keys))}", small_config]
    )
    server = launch(add_app, config, "--address", "0.0.0.0:0", "--json")
    port = json.loads(server.process.stdout.readline())["address"].rpartition(":")[2]
    flags = ["--address", f"127.0.0.1:{port}", "--tls-ca", str(tmp_path / "ca.pem")]

    done = bridge("call", "add", "a=2", "b=3", "--key", key, *flags)
    assert (done.returncode, done.stdout.strip()) == (0, "5"), done.stderr
    refused = bridge("call", "add", "a=2", "b=3", *flags)
    assert (refused.returncode, "CREDENTIALS_MISSING" in refused.stderr) == (1, True), refused.stderr
    with open_channel(f"127.0.0.1:{port}", authority.certificate) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
    tls = Tls(ca=authority.certificate)
    with connect(f"127.0.0.1:{port}", key=key, tls=tls) as client:
        assert client.call("add", a=2, b=3) == 5
    with connect(f"127.0.0.1:{port}", tls=tls) as client, pytest.raises(Unauthenticated):
        client.call("add", a=2, b=3)
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0


def bridge(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", *arguments],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
