"""What standing budgets have spent over restarts: in a file that is whole at any moment."""

import asyncio
import json
import os

import pytest

from bridge.call import Identity
from bridge.config import Config
from bridge.errors import BridgeError, StoreError
from bridge.gateway import spent_file
from bridge.gateway.spent_file import SpentFile
from bridge.gateway.standing_budgets import StandingBudgets
from bridge.receipts.budgets import Amount

NOW = 1_773_840_600.0
MODELS = {"a": {"model": "bridge/test"}, "b": {"model": "bridge/test"}}
RULE = {"tokens": 100, "usd": 1.0, "requests": 10}


class Server:
    """Budgets with their file, as one server has them."""

    def __init__(self, path, now=NOW, **rules):
        self.budgets = StandingBudgets(lambda: now)
        self.budgets.renew(Config(models=MODELS, budgets=rules or {"daily": RULE}).budgets)
        self.file = SpentFile(path, lambda: list(self.budgets.records()))
        self.budgets.restore(self.file.read())
        self.budgets.changed = self.file.changed

    def spend(self, tokens, tenant="acme", usd=0.1):
        identity = Identity("r", tenant=tenant)
        reserved = self.budgets.reserve(identity, "a", "", tokens, usd)
        self.budgets.settle(reserved, Amount(1, tokens, round(usd * 10**12)))

    def spent(self):
        return {
            (name, holder): (account.budget.spent.calls, account.budget.spent.tokens, account.budget.spent.pico_usd)
            for name, holder, account in self.budgets.accounts()
        }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "spent.json"


async def test_a_restart_goes_on_from_what_was_spent(path):
    first = Server(path)
    first.spend(30)
    first.spend(20)
    first.spend(5, tenant="other")
    await first.file.close()
    second = Server(path)
    assert second.spent() == {("daily", "acme"): (2, 50, 2 * 10**11), ("daily", "other"): (1, 5, 10**11)}
    with pytest.raises(BridgeError, match="50 spent"):
        second.spend(51)
    second.spend(50)
    await second.file.close()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_it_is_written_a_moment_after_a_change_and_not_only_at_the_end(path, monkeypatch):
    monkeypatch.setattr(spent_file, "WRITE_S", 0.0)
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    write = spent_file.write_private

    def telling(*args):
        write(*args)
        loop.call_soon_threadsafe(written.set)

    monkeypatch.setattr(spent_file, "write_private", telling)
    crashed = Server(path)
    crashed.spend(30)
    await asyncio.wait_for(written.wait(), 10)
    os.close(crashed.file._lock)  # as the end of its process does
    crashed.file._lock = -1
    after = Server(path)
    assert after.spent() == {("daily", "acme"): (1, 30, 10**11)}
    await after.file.close()


async def test_reservations_that_are_under_way_are_not_spent(path):
    server = Server(path)
    server.budgets.reserve(Identity("r", tenant="acme"), "a", "", 40, 0.0)
    await server.file.close()
    after = Server(path)
    assert after.spent() == {}
    await after.file.close()


@pytest.mark.parametrize(
    ("rules", "now", "kept"),
    [
        ({"daily": RULE | {"tokens": 500}}, NOW, True),
        ({"daily": RULE | {"period": "week"}}, NOW, False),
        ({"daily": RULE | {"per": "model"}}, NOW, False),
        ({"daily": RULE | {"models": ("a",)}}, NOW, False),
        ({"other": RULE}, NOW, False),
        ({"daily": RULE}, NOW + 86400, False),
    ],
    ids=["other limits", "another period", "other holders", "other models", "another name", "the next day"],
)
async def test_what_counts_the_same_is_kept(path, rules, now, kept):
    server = Server(path)
    server.spend(30)
    await server.file.close()
    after = Server(path, now, **rules)
    assert bool(after.spent()) is kept
    await after.file.close()


@pytest.mark.parametrize(
    "text", ["", "{", '{"spent": [{"budget": 1}]}', '{"spent": [], "more": 1}', '{"spent": [], "version": 2}']
)
async def test_what_can_not_be_read_is_left_and_named(path, text):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(StoreError, match=r"spent\.json"):
        Server(path)
    assert path.read_text() == text


async def test_one_server_has_it_at_a_time(path):
    first = Server(path)
    with pytest.raises(StoreError, match="another server"):
        Server(path)
    await first.file.close()
    await Server(path).file.close()
    assert json.loads(path.read_text())["spent"] == []


async def test_a_disk_that_fails_is_told_of_once_and_the_budgets_go_on(path, monkeypatch, caplog):
    def failing(*_):
        raise OSError(28, "No space left on device")

    server = Server(path)
    monkeypatch.setattr(spent_file, "write_private", failing)
    server.spend(1)
    server.file._write(b"")
    await server.file.close()
    assert [record.message for record in caplog.records if "spending.file" in record.message] == [
        f"spending.file {path} can not be written (No space left on device): a restart would forget"
    ]
