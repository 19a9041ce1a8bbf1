"""A front that can open no more files: it serves on, watches on, and is whole again when it can."""

import resource

import grpc
import pytest

APP = """
import os

def pid() -> int:
    return os.getpid()
"""
CONFIG = """
[pools.general]
size = 2
memory_limit = "1GiB"
memory_soft_limit = "900MiB"

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


def limit_files(pid, number):
    """Let a process open no file whose descriptor would be `number` or more; None for as many as ever."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard if number is None else number, hard))


def test_a_front_that_can_open_no_more_files(start_server, connect, eventually, process):
    server = start_server(APP, CONFIG)
    client = connect(server.address)
    workers = eventually(lambda: len(found := client.workers("general")) == 2 and found, "both workers", 30.0)
    limit_files(server.pid, 8)
    for _ in range(50):
        assert client.call("pid").value in workers.values()
    lost = client.call("pid").value
    process(lost).kill()
    eventually(lambda: lost not in client.workers("general").values(), "the death to be noticed")
    assert client.call("pid").value in set(workers.values()) - {lost}, "the other worker serves on"
    with grpc.insecure_channel(server.address) as another, pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(another).result(timeout=1.5)
    limit_files(server.pid, None)
    eventually(lambda: len(client.workers("general")) == 2, "a new worker", 30.0)
    again = connect(server.address)
    assert again.call("pid", timeout=20).value != lost
    logged = [line for line in server.stderr.text.splitlines() if "Too many open files" in line]
    assert len(logged) <= 20, logged
    assert "Traceback" not in server.stderr.text
