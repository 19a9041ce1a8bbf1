"""Metrics as Prometheus scrapes them: valid text with the promised figures, also while workers are replaced."""

import json
import signal
import urllib.error
import urllib.request

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

APP = """
import os, time
from bridge import function

def add(a: int, b: int) -> int:
    return a + b

def pid() -> int:
    return os.getpid()

@function(placement="native")
def block(seconds: float) -> str:
    time.sleep(seconds)
    return "done"
"""
CONFIG = """
[metrics]
address = "127.0.0.1:0"

[log]
format = "json"

[pools.general]
size = 2

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@pytest.fixture(scope="module")
def shared(start_shared_server):
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def rpc(shared, connect):
    return connect(shared.address)


def url(server):
    return json.loads(server.wait_for_log("metrics at http"))["message"].removeprefix("metrics at ")


def scrape(server, timeout=10.0):
    with urllib.request.urlopen(url(server), timeout=timeout) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain")
        text = reply.read().decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *sorted(sample.labels.items()))
            assert key not in samples, f"a series stands twice: {key}"
            samples[key] = sample.value
    return samples


def value(samples, name, **labels):
    return samples.get((name, *sorted(labels.items())))


def test_calls_are_counted_by_function_and_code(shared, rpc):
    before = value(scrape(shared), "bridge_calls_total", function="add", code="OK") or 0
    for _ in range(3):
        assert rpc.call("add", a=1, b=2).value == 3
    assert rpc.call("add", a="no", b=2).code is grpc.StatusCode.INVALID_ARGUMENT
    samples = scrape(shared)
    assert value(samples, "bridge_calls_total", function="add", code="OK") == before + 3
    assert value(samples, "bridge_calls_total", function="add", code="INVALID_ARGUMENT") >= 1


def test_names_that_do_not_exist_make_no_series(shared, rpc):
    for number in range(30):
        assert rpc.call(f'nonsense"{number}\n').code is grpc.StatusCode.NOT_FOUND
    assert not [key for key in scrape(shared) if "nonsense" in str(key)]


def test_pools_and_workers(shared, rpc):
    samples = scrape(shared)
    assert value(samples, "bridge_pool_workers", pool="general", state="ready") == 2
    assert value(samples, "bridge_pool_state", pool="general", state="ready") == 1
    assert value(samples, "bridge_pool_waiting_calls", pool="general") == 0
    assert 0 <= value(samples, "bridge_pool_proof_age_seconds", pool="general") < 60
    for worker in rpc.workers("general"):
        assert value(samples, "bridge_worker_rss_bytes", pool="general", worker=worker) > 10_000_000


def test_scrapes_while_workers_are_killed(shared, rpc, process, eventually):
    before = value(scrape(shared), "bridge_pool_restarts_total", pool="general")
    for count in range(1, 4):
        process(rpc.call("pid").value).send_signal(signal.SIGKILL)
        for _ in range(5):
            scrape(shared)
        eventually(
            lambda count=count: value(scrape(shared), "bridge_pool_restarts_total", pool="general") >= before + count,
            "the restart to be counted",
        )
    samples = scrape(shared)
    assert value(samples, "bridge_worker_exits_total", pool="general", cause="signal") >= 3


def test_a_blocked_event_loop_shows(shared, rpc):
    assert rpc.call("block", seconds=1.0).value == "done"
    assert value(scrape(shared), "bridge_loop_lag_seconds") >= 0.7
    shared.wait_for_log("the event loop stood still for")


def scrape_for_ever(server):
    while True:
        scrape(server, 8.0)


def test_a_stuck_event_loop_fails_the_scrape(shared, rpc):
    call = rpc.start("block", seconds=6.0)
    with pytest.raises(urllib.error.HTTPError) as caught:
        scrape_for_ever(shared)
    assert caught.value.code == 503
    assert "stuck" in caught.value.read().decode()
    assert call.outcome().value == "done"
    scrape(shared)


def test_other_paths(shared):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url(shared).replace("/metrics", "/other"), timeout=5)
    assert caught.value.code == 404


def test_a_port_in_use(shared, launch):
    taken = shared.address
    second = launch(APP, CONFIG.replace("127.0.0.1:0", taken))
    assert second.wait() == 1
    assert f"can not serve metrics on {taken}" in second.stderr
    assert "Traceback" not in second.stderr
    assert second.leftovers() == []


def test_without_the_extra(launch):
    hidden = "import sys; sys.modules['prometheus_client'] = None"
    server = launch(APP, CONFIG, before=hidden)
    assert server.wait() == 1
    assert "pip install 'polyglot-bridge[prometheus]'" in server.stderr
