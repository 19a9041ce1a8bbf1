"""docs/reference/events.md has every event of a pool and every kind of anomaly, and no others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from bridge.anomalies.records import KINDS
from pool.events import PoolEvent

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/events.md"


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def first_column(title: str) -> list[str]:
    return re.findall(r"^\| `(\w+)`", section(title), re.MULTILINE)


def test_every_event_of_a_pool_is_listed():
    assert sorted(first_column("Pools")) == sorted(event.__name__ for event in get_args(PoolEvent))


def test_every_kind_of_anomaly_is_listed():
    assert sorted(first_column("Anomalies")) == sorted(KINDS)


def test_every_kind_of_anomaly_is_explained():
    text = (PAGE.parents[1] / "explanation/anomalies.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []
