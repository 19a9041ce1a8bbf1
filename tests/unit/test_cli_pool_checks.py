"""What `bridge doctor` says of pools: of a server that runs, of a configuration, of this machine."""

import resource

import pytest

from bridge.cli import checks_pools
from bridge.config import Config
from bridge.v1 import pool_pb2


def findings(*pools):
    return list(checks_pools.check_running("127.0.0.1:1", list(pools)))


def test_a_pool_that_is_forked():
    _, found = findings(pool_pb2.Pool(name="general", size=1, start_kind="template", memory_limit_bytes=1 << 30))
    assert (found.level, found.title) == ("ok", "pool general")
    assert found.detail == "1 worker, forked from a template process that has imported the code; memory limit 1 GiB"


def test_a_pool_that_can_not_be_forked_has_a_fix():
    _, found = findings(pool_pb2.Pool(name="llm", size=2, start_kind="spawn", start_reason="a thread runs"))
    assert found.level == "note"
    assert "not forked: a thread runs" in found.detail
    assert "pools.llm.start" in found.fix


def test_a_pool_whose_extra_is_missing():
    assert findings(pool_pb2.Pool(name="llm", cause="needs the extra 'dspy'"))[1].detail == "needs the extra 'dspy'"


def test_what_is_configured():
    config = Config.model_validate(
        {
            "pools": {
                "general": {"size": 2, "max_size": 4, "start": "spawn", "memory_soft_limit": "1GiB"},
                "llm": {"size": 0},
            }
        }
    )
    found = {one.title: one.detail for one in checks_pools.check_configured(config)}
    assert found["pool general"].startswith("2 to 4 workers, started one by one")
    assert found["pool general"].endswith("soft limit 1 GiB")
    assert found["pool llm"] == "off: size 0"
    assert "1 worker, forked from a template where the imports allow it" in found["pool embeddings"]


def test_cgroups_can_be_switched_off():
    config = Config.model_validate({"server": {"cgroups": "off"}})
    assert "switched off" in checks_pools.check_cgroups(config).detail
    assert checks_pools.check_cgroups(None).level == "ok"


@pytest.mark.parametrize(("limit", "level"), [(100, "note"), (resource.RLIM_INFINITY, "ok"), (5000, "ok")])
def test_few_processes(monkeypatch, limit, level):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(checks_pools, "_pids_limit", lambda: None)
    found = {one.title: one for one in checks_pools.check_ends()}
    assert found["processes"].level == level
    assert bool(found["processes"].fix) == (level == "note")
    assert found["orphans"].level == "ok"
