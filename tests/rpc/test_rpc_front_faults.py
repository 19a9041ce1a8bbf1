"""The front when it is killed, stopped, signalled or in trouble: what it leaves behind, and what it goes on doing."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
APP = """
import os, socket, subprocess, time
from bridge import function

def leave(port: int) -> str:
    for away in (False, True):
        subprocess.Popen(["sleep", "300"], start_new_session=away)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"{os.getpid()}\\n".encode())
        connection.recv(1)
    return "released"

def pid() -> int:
    return os.getpid()

@function(placement="native")
def block_the_front(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
"""
LEAN = """
[pools.general]
size = {size}
grace_s = 0.3

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[health]
interval_s = 0.2
"""


def ended_within(processes, seconds):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive == []


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSEGV, marks=pytest.mark.long)])
def test_nothing_outlives_a_front_that_dies_and_its_port_is_free(start_server, connect, launch, gate, number):
    server = start_server(APP, LEAN.format(size=8))
    client = connect(server.address)
    calls = [client.start("leave", timeout=60, port=gate.port) for _ in range(8)]
    assert len({gate.entered().pid for _ in calls}) == 8
    processes = server.processes()
    assert len(processes) >= 1 + 8 + 16 + 1, "the front, its workers, what they have started, and the guard"
    server.process.send_signal(number)
    assert ended_within(processes, 2.0), [one for one in processes if one.is_running()]
    again = launch(APP, LEAN.format(size=1), "--address", server.address, "--json")
    assert '"ready"' in again.process.stdout.readline()
    assert connect(server.address).call("pid").value > 0


def test_signals_that_mean_nothing_change_nothing(start_server, connect, eventually):
    server = start_server(APP, LEAN.format(size=2))
    client = connect(server.address)
    eventually(lambda: len(client.workers("general")) == 2, "both workers")
    workers = client.workers("general")
    for _ in range(200):
        server.process.send_signal(signal.SIGCHLD)
        server.process.send_signal(signal.SIGPIPE)
        server.process.send_signal(signal.SIGWINCH)
    assert client.call("pid").value in workers.values()
    assert client.workers("general") == workers


def test_a_front_that_stands_still_says_so(start_server, connect):
    server = start_server(APP, LEAN.format(size=1))
    client = connect(server.address)
    assert client.call("block_the_front", seconds=1.0).value == 1.0
    assert "the event loop stood still for" in server.wait_for_log("stood still", 5.0)
    assert client.call("pid").value > 0


@pytest.mark.parametrize(
    "streams",
    [
        ">&- 2>&-",
        ">/dev/full 2>/dev/full",
        *(pytest.param(one, marks=pytest.mark.long) for one in (">&-", "2>&-", ">/dev/full", "2>/dev/full")),
    ],
)
def test_a_front_whose_outputs_are_closed_serves(tmp_path, connect, eventually, streams):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "bridge.toml").write_text(LEAN.format(size=1))
    start = "from bridge.cli.main import main; main()"
    command = [sys.executable, "-c", start, "serve", str(tmp_path / "app.py"), "--address", address]
    command += ["--config", str(tmp_path / "bridge.toml"), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(["/bin/sh", "-c", f'exec "$@" {streams}', "sh", *command], env=environment) as process:
        try:
            assert connect(address).call("pid", timeout=30).value > 0
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_no_home_and_no_folder_for_temporary_files(start_server, connect):
    nowhere = "/nonexistent/folder"
    server = start_server(APP, LEAN.format(size=1), {"HOME": nowhere, "TMPDIR": nowhere, "XDG_CACHE_HOME": nowhere})
    assert connect(server.address).call("pid").value > 0


def test_a_folder_for_temporary_files_that_goes_away(start_server, connect, tmp_path, process, eventually):
    folder = tmp_path / "temporary"
    folder.mkdir()
    client = connect(start_server(APP, LEAN.format(size=1), {"TMPDIR": str(folder)}).address)
    folder.rmdir()
    lost = client.call("pid").value
    process(lost).kill()
    eventually(lambda: client.workers("general") and lost not in client.workers("general").values(), "a new worker")
    assert client.call("pid").value != lost


@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed (Debian: apt-get install faketime)")
def test_a_clock_that_jumps_ends_nothing(start_server, connect, tmp_path, process):
    """Only the wall clock jumps; whatever waits or expires goes by the other one."""
    told = tmp_path / "time"
    told.write_text("+0")
    environment = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    server = start_server(APP, LEAN.format(size=2) + "\n[sessions]\nttl_s = 60\n", environment)
    client = connect(server.address)
    session = [("x-session-id", "one"), ("x-timeout-ms", "5000")]
    first = client.call("pid", metadata=session)
    watch = health_pb2_grpc.HealthStub(client.channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    for jump in ("+3600", "-3600", "+400d", "+0"):
        told.write_text(jump)
        again = client.call("pid", metadata=session)
        assert (again.value, again.receipt.session_epoch) == (first.value, first.receipt.session_epoch)
        assert again.receipt.total_us < 5_000_000
    assert client.pool("general").restarts == 0
    watch.cancel()


@pytest.mark.long
def test_a_machine_that_slept_kills_no_healthy_worker(start_server, connect):
    """Everything is stopped for longer than any check may take, as a suspended laptop or a frozen container is."""
    server = start_server(APP, LEAN.format(size=2))
    client = connect(server.address)
    workers = client.workers("general")
    assert client.call("pid").value in workers.values()
    processes = server.processes()
    for one in processes:
        one.suspend()
    time.sleep(6.0)  # longer than an interval and a check: nothing can tell when that is over
    for one in processes:
        one.resume()
    for _ in range(20):
        assert client.call("pid").value in workers.values()
        time.sleep(0.2)  # late judgements would come within the next interval
    assert client.workers("general") == workers
    assert client.pool("general").restarts == 0


@pytest.mark.long
def test_a_machine_without_processor_time_kills_no_healthy_worker(start_server, connect):
    """Eight processes per processor compete; answers come late, and all workers stay."""
    server = start_server(APP, LEAN.format(size=2))
    client = connect(server.address)
    workers = client.workers("general")
    spin = "import time\nend = time.monotonic() + 5\nwhile time.monotonic() < end: pass"
    crowd = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(8 * (os.cpu_count() or 1))]
    try:
        while crowd[0].poll() is None:
            assert client.call("pid", timeout=30).value in workers.values()
    finally:
        for one in crowd:
            one.kill()
            one.wait()
    assert client.workers("general") == workers
    assert client.pool("general").restarts == 0
