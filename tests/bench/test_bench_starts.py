"""The benchmark of starts, in small: what is asked of the figures is asked of fewer workers and fewer kills."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def bench():
    """The benchmark's names; it is run as a script, and so is no module."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("starts.py"))))


async def test_a_crash_costs_no_more_than_the_call_that_ran(bench, tmp_path):
    app = tmp_path / "small_app.py"
    app.write_text(bench.SMALL_APP)
    _, forked = await bench.with_server(
        bench.options_of(app, 2, "template", tmp_path), lambda server: bench.crashes(server, 6)
    )
    _, spawned = await bench.with_server(
        bench.options_of(app, 2, "spawn", tmp_path), lambda server: bench.crashes(server, 6)
    )
    assert forked["how"]["kind"] == "template"
    assert forked["lost_calls"] <= 6
    assert forked["p50_ms"] < spawned["p50_ms"], "a ratio, because a busy machine slows down both"


@pytest.mark.model
async def test_forked_workers_share_their_libraries_after_work(bench, tmp_path):
    """Four workers, template and all, against four times one that was spawned; with eight the ratio is lower still."""
    _, forked = await bench.with_server(
        bench.options_of(bench.LIBRARIES_APP, 4, "template", tmp_path), lambda server: bench.memory(server, 2)
    )
    _, spawned = await bench.with_server(
        bench.options_of(bench.LIBRARIES_APP, 1, "spawn", tmp_path), lambda server: bench.memory(server, 2)
    )
    assert (forked["count"], spawned["count"]) == (4, 1)
    assert forked["total_mib"] < 0.45 * 4 * spawned["total_mib"], (forked, spawned)
