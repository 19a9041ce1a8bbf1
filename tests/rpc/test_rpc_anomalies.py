"""A worker that gets slow, fails or leaks, and a queue that grows: found in a real server, told, and acted on.

Windows are short here, so that a test takes seconds where a server would take a minute.
"""

import json
import threading
import time
from contextlib import contextmanager

import grpc
import pytest

from bridge.v1 import pool_pb2

APP = """
import os, time

state = {"sleep": 0.003, "broken": False, "held": []}

def work(number: int) -> int:
    time.sleep(state["sleep"])
    if state["broken"]:
        raise RuntimeError("this worker is broken")
    return os.getpid()

def sicken(seconds: float) -> int:
    state["sleep"] = seconds
    return os.getpid()

def break_down() -> int:
    state["broken"] = True
    return os.getpid()

def leak(kibibytes: int) -> int:
    time.sleep(0.005)
    state["held"].append(bytearray(b"x" * (kibibytes << 10)))
    return os.getpid()

def hold(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()
"""
CONFIG = """
[log]
format = "json"

[anomalies]
interval_s = 0.1
window_s = 2.4
min_samples = 10
memory_lead_s = 2.5
cooldown_s = 600

[pools.llm]
size = 0

[pools.embeddings]
size = 0

[pools.general]
"""


class Load:
    """Callers that go on calling a function until the block ends; what failed is theirs to keep."""

    def __init__(self, rpc, name, arguments):
        self._rpc, self._name, self._arguments = rpc, name, arguments
        self._on = True
        self._changed = threading.Condition()
        self.answered = 0
        self.failed = []

    def _call(self):
        while self._on:
            outcome = self._rpc.call(self._name, **self._arguments)
            with self._changed:
                if outcome.code is not grpc.StatusCode.OK:
                    self.failed.append(outcome)
                self.answered += 1
                self._changed.notify_all()

    @contextmanager
    def running(self, callers):
        threads = [threading.Thread(target=self._call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._on = False
            for thread in threads:
                thread.join()

    def until(self, condition, timeout_s=60.0):
        """Wait, looking again after each answer."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                assert time.monotonic() < until, f"waited for {timeout_s} s; {self.answered} calls were answered"
                self._changed.wait(1.0)


def past(seconds):
    """True once so much time has gone by: what a window needs before there is a past to compare with."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def worker_of(rpc, pid):
    return next(worker for worker, known in rpc.workers("general").items() if known == pid)


def told(server, text, timeout_s=40.0):
    return json.loads(server.wait_for_log(text, timeout_s))


@pytest.mark.slow
def test_a_slow_worker_is_replaced_and_the_event_names_it_and_the_numbers(start_server, connect, eventually):
    server = start_server(APP, CONFIG + 'size = 3\nanomalies = "act"')
    rpc = connect(server.address)
    with Load(rpc, "work", {"number": 1}).running(4) as load:
        load.until(past(6.0))
        sick = worker_of(rpc, rpc.call("sicken", seconds=0.05).value)
        event = told(server, "is slow")
        load.until(lambda: sick not in rpc.workers("general"))
        assert load.failed == []
    assert (event["anomaly"], event["action"], event["worker"]) == ("slow_worker", "recycle", sick)
    assert event["ratio"] >= 4
    assert event["median_s"] == pytest.approx(0.05, rel=0.4)
    assert event["calls"] >= 10
    assert f"worker {sick} is slow: its calls of 'work' take" in event["message"]
    replaced = told(server, "worker replaced by")
    assert replaced["worker"] == sick
    assert f"worker {sick} is slow: its calls of 'work' take" in replaced["message"]
    (anomaly,) = rpc.pool("general").anomalies
    assert anomaly.kind == pool_pb2.ANOMALY_KIND_SLOW_WORKER
    assert anomaly.action == pool_pb2.ANOMALY_ACTION_RECYCLE
    assert anomaly.acted
    assert anomaly.numbers["ratio"] == event["ratio"]
    eventually(lambda: len(rpc.workers("general")) == 3, "three workers")


def test_a_pool_that_is_observed_is_left_alone(start_server, connect, eventually):
    server = start_server(APP, CONFIG + "size = 3")
    rpc = connect(server.address)
    before = eventually(lambda: len(workers := rpc.workers("general")) == 3 and workers, "three workers")
    with Load(rpc, "work", {"number": 1}).running(4) as load:
        load.until(past(6.0))
        sick = worker_of(rpc, rpc.call("sicken", seconds=0.05).value)
        event = told(server, "is slow")
        load.until(past(1.0))
    assert (event["anomaly"], event["action"], event["worker"]) == ("slow_worker", "none", sick)
    assert "it would be replaced, but the pool is only observed" in event["message"]
    assert rpc.workers("general") == before
    (anomaly,) = rpc.pool("general").anomalies
    assert not anomaly.acted


def test_a_worker_that_fails_where_its_siblings_do_not_is_replaced(start_server, connect):
    server = start_server(APP, CONFIG + 'size = 3\nanomalies = "act"')
    rpc = connect(server.address)
    with Load(rpc, "work", {"number": 1}).running(4) as load:
        load.until(past(3.0))
        sick = worker_of(rpc, rpc.call("break_down").value)
        event = told(server, "failing_worker")
        load.until(lambda: sick not in rpc.workers("general"))
        failed = len(load.failed)
        answered = load.answered
        load.until(lambda: load.answered >= answered + 200)
    assert (event["anomaly"], event["action"], event["worker"]) == ("failing_worker", "recycle", sick)
    assert event["function"] == "work"
    assert event["error_rate"] >= 0.2
    assert failed >= 5
    assert all(worker_of_failure(outcome) == sick for outcome in load.failed), "no other worker failed"


def worker_of_failure(outcome):
    return outcome.trailers["bridge-worker"]


def test_a_worker_that_leaks_is_replaced_before_its_limit_and_no_call_fails(start_server, connect, eventually):
    server = start_server(APP, CONFIG + 'size = 2\nmemory_limit = "400MiB"\nanomalies = "act"')
    rpc = connect(server.address)
    with Load(rpc, "leak", {"kibibytes": 256}).running(2) as load:
        event = told(server, "is running out of memory", 60.0)
        load.until(lambda: event["worker"] not in rpc.workers("general"))
    assert load.failed == []
    assert (event["anomaly"], event["action"]) == ("memory_trend", "recycle")
    assert event["used_bytes"] < event["limit_bytes"] == 400 << 20
    assert event["function"] == "leak"
    assert "'leak' made workers grow most" in event["message"]
    ended = eventually(lambda: [one for one in rpc.pool("general").exits if one.worker == event["worker"]], "its end")
    assert ended[0].ordered
    assert "running out of memory" in ended[0].cause


def test_a_queue_that_grows_gets_workers_before_its_calls_have_waited(start_server, connect):
    """Each answer is followed by two more calls, for as long as the pool has one worker."""
    server = start_server(
        APP, CONFIG + 'size = 1\nmax_size = 4\nscale_up_wait_s = 5\nqueue_limit = 4000\nanomalies = "act"'
    )
    rpc = connect(server.address)
    calls, done = [], threading.Event()

    def start(_ended=None):
        if not done.is_set():
            for _ in range(2):
                calls.append(rpc.start("hold", seconds=0.03, timeout=60.0))
                calls[-1].future.add_done_callback(start)

    start()
    event = told(server, "rising_wait")
    done.set()
    scaled = told(server, "1 workers become")
    assert (event["anomaly"], event["action"]) == ("rising_wait", "scale_up")
    assert event["arrivals_per_s"] > event["served_per_s"] > 0
    assert event["wait_s"] >= 5
    assert "the queue grows" in scaled["message"], "it was not the usual rule, whose calls have waited"
    for call in calls:
        assert call.outcome(60.0).code is grpc.StatusCode.OK


def test_a_function_that_begins_to_fail_is_refused_until_it_is_mended(start_server, connect, tmp_path):
    """Its calls raise on every worker while a file exists; calls on trial fail like all others, until it is gone."""
    fault = tmp_path / "fault"
    app = APP + f"\ndef fragile(number: int) -> int:\n    if os.path.exists({str(fault)!r}):\n"
    app += "        raise RuntimeError('broken')\n    time.sleep(0.003)\n    return number\n"
    config = CONFIG.replace("[anomalies]", "[anomalies]\nbreaker_s = 0.5")
    server = start_server(app, config + 'size = 2\nanomalies = "act"')
    rpc = connect(server.address)
    with Load(rpc, "fragile", {"number": 1}).running(3) as load:
        load.until(past(4.0))
        fault.touch()
        event = told(server, "failing_function")
        opened = told(server, "circuit breaker opened")
        told(server, "a call on trial failed")
        load.until(lambda: any(outcome.reason == "BREAKER_OPEN" for outcome in list(load.failed)))
        assert rpc.call("work", number=1).code is grpc.StatusCode.OK, "other functions go on"
        fault.unlink()
        told(server, "circuit breaker closed")
        count = len(load.failed)
        load.until(lambda: rpc.call("fragile", number=2).code is grpc.StatusCode.OK)
        answered = load.answered
        load.until(lambda: load.answered >= answered + 50)
    assert (event["anomaly"], event["action"], event["function"]) == ("failing_function", "open_breaker", "fragile")
    assert opened["breaker"] == "function/fragile/pool/general"
    assert "function 'fragile' fails" in opened["message"]
    assert count > 0
    assert {outcome.reason for outcome in load.failed} == {"USER_EXCEPTION", "BREAKER_OPEN"}
    assert [anomaly.kind for anomaly in rpc.pool("general").anomalies] == [pool_pb2.ANOMALY_KIND_FAILING_FUNCTION]
