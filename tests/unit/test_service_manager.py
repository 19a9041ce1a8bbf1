"""What a service manager hears, on real sockets, and that one who is not there disturbs nothing."""

import asyncio
import os
import socket

import pytest

from bridge.upkeep.loop_lag import LoopLag
from bridge.upkeep.service_manager import ServiceManager


@pytest.fixture
def manager_socket(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        listening.bind(str(tmp_path / "notify"))
        yield listening


def heard(listening):
    return listening.recv(4096).decode().splitlines()


def test_what_is_told(manager_socket):
    environ = {"NOTIFY_SOCKET": manager_socket.getsockname(), "HOME": "/"}
    manager = ServiceManager(environ)
    assert environ == {"HOME": "/"}, "workers must not speak for the server"
    manager.ready("serving")
    assert heard(manager_socket) == ["READY=1", "STATUS=serving"]
    manager.reloading()
    first, second, _ = heard(manager_socket)
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0
    manager.stopping()
    assert heard(manager_socket)[0] == "STOPPING=1"
    manager.close()


def test_a_name_in_the_abstract_space():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        listening.bind(f"\0bridge-test-{os.getpid()}")
        manager = ServiceManager({"NOTIFY_SOCKET": f"@bridge-test-{os.getpid()}"})
        manager.ready("x")
        assert heard(listening)[0] == "READY=1"
        manager.close()


@pytest.mark.parametrize("address", ["", "@", "relative", "/no/such/socket", "/dev/null", "/" + "x" * 200, "/a\0b"])
def test_nobody_listens(address):
    manager = ServiceManager({"NOTIFY_SOCKET": address} if address else {})
    manager.ready("x")
    manager.stopping()
    manager.close()
    manager.close()


def test_a_manager_that_does_not_read_stops_nobody(manager_socket):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname()})
    for _ in range(2000):
        manager.ready("x" * 500)
    manager.close()


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("2000000", "", 2.0),
        ("2000000", str(os.getpid()), 2.0),
        ("2000000", "1", None),
        ("x", "", None),
        ("0", "", None),
    ],
)
def test_whose_watchdog(usec, pid, expected):
    environ = {"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    manager = ServiceManager(environ)
    assert manager.watchdog_s == expected
    assert environ == {}


async def test_the_watchdog_is_fed_only_while_all_is_well(manager_socket):
    manager = ServiceManager({"NOTIFY_SOCKET": manager_socket.getsockname(), "WATCHDOG_USEC": "30000"})
    manager_socket.setblocking(False)
    loop = asyncio.get_running_loop()
    verdicts = iter([True, False, True])
    asked = asyncio.Event()

    def is_well():
        verdict = next(verdicts, None)
        if verdict is None:
            asked.set()
        return bool(verdict)

    task = asyncio.create_task(manager.feed_watchdog(is_well))
    await asyncio.wait_for(asked.wait(), 5)
    task.cancel()
    assert [await loop.sock_recv(manager_socket, 100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        manager_socket.recv(100)
    manager.close()


async def test_without_a_watchdog_there_is_nothing_to_feed():
    await asyncio.wait_for(ServiceManager({}).feed_watchdog(lambda: True), 5)


def test_loop_lag_is_the_worst_of_the_last_minutes(caplog):
    now = [0.0]
    lag = LoopLag(now=lambda: now[0])
    lag.note(0.01)
    assert lag.worst_s == 0.01
    with caplog.at_level("WARNING", "bridge"):
        lag.note(1.0)
    assert "stood still for 1.00 s" in caplog.text
    now[0] = 61.0
    lag.note(0.02)
    assert lag.worst_s == 1.0
    now[0] = 125.0
    lag.note(0.03)
    assert lag.worst_s == 0.03
    now[0] = 500.0
    assert lag.worst_s == 0.0


async def test_loop_lag_sees_a_loop_that_is_blocked():
    lag = LoopLag()
    task = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)
    deadline = asyncio.get_running_loop().time() + 0.6
    while asyncio.get_running_loop().time() < deadline:
        pass
    while lag.worst_s < 0.3:
        await asyncio.wait_for(asyncio.sleep(0.01), 5)
    task.cancel()
