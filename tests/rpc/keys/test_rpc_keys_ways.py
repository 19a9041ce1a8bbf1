"""Keys beside other things: the figures, the command line, the Python client, functions that are reloaded, no keys."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import bridge_client
import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[3]
APP = "def add(a: int, b: int) -> int:\n    return a + b\n"
SMALL = """
[keys]
file = "{file}"
[metrics]
address = "127.0.0.1:0"
[log]
format = "json"
[typed]
services = "on"
package = "shop.v1"
[pools.general]
size = 1
[pools.llm]
size = 0
[pools.embeddings]
size = 0
"""
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def fronts():
    return 1


@pytest.fixture
def small(start_server, key_file):
    return start_server(APP, SMALL.format(file=key_file.path))


def cli(server, *words, **environ):
    return subprocess.run(
        [sys.executable, "-m", "bridge.cli", *words, "--address", server.address],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestFigures:
    def scrape(self, server):
        address = json.loads(server.wait_for_log("metrics at"))["message"].split()[-1]
        with urllib.request.urlopen(address, timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
        return {
            (one.name, *one.labels.values()): one.value for one in samples if "key" in one.name or "refused" in one.name
        }

    def test_refusals_are_counted_by_reason_and_no_further(self, small, sent_to):
        sent_to(small, "/bridge.v1.InvokeService/Call")
        sent_to(small, "/bridge.v1.InvokeService/Call", "nonsense")
        for name in ("a", "b", "c"):
            sent_to(small, f"/bridge.v1.{name}/{name}", "caller")
        sent_to(small, "/bridge.v1.PoolService/List", "old")
        figures = self.scrape(small)
        assert {key: value for key, value in figures.items() if key[0] == "bridge_requests_refused_total"} == {
            ("bridge_requests_refused_total", "CREDENTIALS_MISSING"): 1,
            ("bridge_requests_refused_total", "CREDENTIALS_INVALID"): 1,
            ("bridge_requests_refused_total", "CREDENTIALS_REVOKED"): 1,
            ("bridge_requests_refused_total", "ROLE_MISSING"): 3,
        }
        assert (figures["bridge_api_keys", "valid"], figures["bridge_api_keys", "revoked"]) == (3, 1)
        assert figures["bridge_api_keys_stale",] == 0

    def test_a_file_that_can_not_be_used_is_told(self, small, key_file, eventually):
        good = key_file.path.read_bytes()
        key_file.path.write_bytes(b"{")
        try:
            small.wait_for_log("keys_rejected")
            assert self.scrape(small)["bridge_api_keys_stale",] == 1
        finally:
            key_file.path.write_bytes(good)
        small.wait_for_log("keys_re")
        eventually(lambda: self.scrape(small)["bridge_api_keys_stale",] == 0, "the file to be good again")


class TestClients:
    def test_the_command_line(self, small, key_file):
        done = cli(small, "call", "add", "a=1", "b=2", "--receipt", BRIDGE_KEY=key_file.texts["caller"])
        assert (done.returncode, done.stdout.split()[0]) == (0, "3")
        assert ", key caller" in done.stdout + done.stderr
        refused = cli(small, "status", "--key", key_file.texts["caller"], "--json")
        assert refused.returncode == 1
        assert json.loads(refused.stderr)["error"]["reason"] == "ROLE_MISSING"
        assert cli(small, "status", "--key", key_file.texts["operator"]).returncode == 0
        told = cli(small, "ls").stderr
        assert "CREDENTIALS_MISSING" in told
        assert "give a key: --key" in told

    def test_the_python_client(self, small, key_file):
        receipts = []
        with bridge_client.connect(small.address, key=key_file.texts["caller"]) as bridge:
            assert bridge.with_options(on_receipt=receipts.append).call("add", a=1, b=2) == 3
            with pytest.raises(bridge_client.BridgeError) as error:
                bridge.programs.delete("nothing")
        assert [one.key_name for one in receipts] == ["caller"]
        assert error.value.reason == "ROLE_MISSING"


@pytest.mark.parametrize("fronts_of_it", [1, 2])
def test_a_unix_socket_asks_for_keys_too(start_server, key_file, tmp_path, sent_to, fronts_of_it):
    """With several fronts it is another server than that of the port."""
    path = tmp_path / "socket"
    more = f'[server]\nunix_socket = "{path}"\nfronts = {fronts_of_it}\n'
    start_server(APP, more + SMALL.format(file=key_file.path))
    here = SimpleNamespace(address=f"unix:{path}")
    assert sent_to(here, "/bridge.v1.InvokeService/Call").reason == "CREDENTIALS_MISSING"
    assert sent_to(here, "/bridge.v1.PoolService/List", "caller").reason == "ROLE_MISSING"
    assert sent_to(here, "/bridge.v1.PoolService/List", "operator").code is Code.OK
    assert sent_to(here, "/grpc.health.v1.Health/Check").code is Code.OK


def test_a_typed_method_that_a_reload_brings_is_behind_the_gate(start_server, key_file, sent_to):
    server = start_server(APP, SMALL.format(file=key_file.path))
    path = "/shop.v1.AppService/Sub"
    assert sent_to(server, path, "operator").code is Code.UNIMPLEMENTED
    app = server.config.with_name("app.py")
    app.write_text(APP + "\n\ndef sub(a: int, b: int) -> int:\n    return a - b\n")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for_log("reloaded", 60)
    assert sent_to(server, path).reason == "CREDENTIALS_MISSING"
    assert sent_to(server, path, "old").reason == "CREDENTIALS_REVOKED"
    assert sent_to(server, path, "caller").code is Code.OK
    assert sent_to(server, path, "operator").code is Code.OK


def test_without_keys_nobody_is_asked(start_server, sent_to):
    server = start_server(APP, SMALL.replace('file = "{file}"', ""))
    assert sent_to(server, "/bridge.v1.PoolService/List").code is Code.OK
    assert sent_to(server, "/bridge.v1.PoolService/List", "nonsense").code is Code.OK
    assert sent_to(server, "/bridge.v1.InvokeService/Nothing").code is Code.UNIMPLEMENTED


@pytest.mark.parametrize("kind", ["missing", "broken", "writable"])
def test_a_server_does_not_start_without_a_key_file_that_it_can_trust(tmp_path, kind):
    path = tmp_path / "keys.json"
    if kind != "missing":
        path.write_text("{" if kind == "broken" else '{"version": 1, "keys": []}')
        path.chmod(0o600 if kind == "broken" else 0o666)
    app = tmp_path / "app.py"
    app.write_text(APP)
    config = tmp_path / "bridge.toml"
    config.write_text(SMALL.format(file=path))
    done = subprocess.run(
        [sys.executable, "-m", "bridge.cli", "serve", str(app), "--config", str(config), "--address", "127.0.0.1:0"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    said = {"missing": "there is no key file", "broken": "bridge keys create", "writable": "chmod 600"}
    assert said[kind] in " ".join(done.stderr.split())


def test_the_doctor_knows_a_server_that_tells_it_nothing(small, key_file):
    config = small.config.with_name("doctor.toml")
    config.write_text(small.config.read_text() + f'[server]\naddress = "{small.address}"\n')

    def findings(*words):
        done = subprocess.run(
            [sys.executable, "-m", "bridge.cli", "doctor", "--config", str(config), "--json", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return {one["title"]: one for one in json.loads(done.stdout)["findings"]}

    known = findings("--key", key_file.texts["operator"])
    assert (known["address"]["level"], "pools" in known, "pool general" in known) == ("ok", False, True)
    for words in ((), ("--key", key_file.texts["caller"])):
        told = findings(*words)
        assert told["address"]["detail"] == f"a bridge serves on {small.address}"
        assert (told["pools"]["level"], told["pools"]["fix"]) == ("note", "give one: --key")
    assert told["keys"]["detail"] == "3 API keys may be used, 1 are revoked"
