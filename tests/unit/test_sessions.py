"""Sessions on a clock that the test turns: opening, expiry, limits, and the epoch of a session that moves."""

import pytest

from bridge.errors import BridgeError, Code
from bridge.sessions import Sessions


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return Sessions(ttl_s=60.0, limit=3, now=clock)


def refused(action):
    with pytest.raises(BridgeError) as caught:
        action()
    return caught.value


def test_a_call_opens_a_session_and_counts(sessions):
    first = sessions.use("a")
    assert sessions.use("a") is first
    assert (first.calls, first.epoch, first.workers, len(sessions)) == (2, 0, {}, 1)


def test_an_opened_session_is_used_by_calls(sessions):
    opened = sessions.open("a", None)
    assert (opened.calls, opened.ttl_s) == (0, 60.0)
    assert sessions.use("a") is opened is sessions.get("a")


def test_an_id_is_made_where_none_is_given(sessions):
    first, second = sessions.open("", None), sessions.open("", 5.0)
    assert first.id != second.id
    assert len(first.id) >= 16
    assert second.ttl_s == 5.0
    assert sessions.get(first.id) is first


def test_the_epoch_rises_with_each_move_and_only_then(sessions):
    session = sessions.use("a")
    moves = [("general", "general-1", 0), ("general", "general-1", 0), ("general", "general-2", 1), ("llm", "llm-1", 1)]
    for pool, worker, epoch in [*moves, ("llm", "llm-2", 2), ("general", "general-1", 3)]:
        session.ran_on(pool, worker)
        assert session.epoch == epoch
    assert session.workers == {"general": "general-1", "llm": "llm-2"}


def test_it_ends_after_its_ttl_without_a_call(sessions, clock):
    first = sessions.use("a")
    clock.now += 60.0
    assert sessions.use("a") is first, "at its ttl it still lives, and a call renews it"
    clock.now += 60.0
    assert sessions.get("a") is first
    clock.now += 0.1
    assert refused(lambda: sessions.get("a")).reason == "UNKNOWN_SESSION"
    assert sessions.use("a") is not first


def test_looking_at_a_session_does_not_keep_it(sessions, clock):
    sessions.use("a")
    for _ in range(7):
        clock.now += 10.0
        if clock.now <= 1060.0:
            sessions.get("a")
    assert refused(lambda: sessions.get("a")).code is Code.NOT_FOUND


def test_each_session_has_its_own_ttl(sessions, clock):
    sessions.open("short", 5.0)
    sessions.open("long", 500.0)
    clock.now += 100.0
    assert sessions.get("long").ttl_s == 500.0
    assert refused(lambda: sessions.get("short")).reason == "UNKNOWN_SESSION"


def test_the_limit_counts_living_sessions_only(sessions, clock):
    for name in "abc":
        sessions.use(name)
    error = refused(lambda: sessions.use("d"))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "SESSION_LIMIT")
    assert error.metadata == {"limit": "3"}
    assert "sessions.max_sessions" in error.message
    assert refused(lambda: sessions.open("", None)).reason == "SESSION_LIMIT"
    assert sessions.use("a").calls == 2, "an open session goes on at the limit"
    clock.now += 61.0
    assert sessions.use("d").calls == 1
    assert len(sessions) == 1


def test_closing(sessions):
    sessions.use("a")
    sessions.close("a")
    assert len(sessions) == 0
    assert refused(lambda: sessions.close("a")).reason == "UNKNOWN_SESSION"
    assert sessions.use("a").calls == 1, "a closed id may be used again, as a new session"


def test_opening_what_is_open(sessions, clock):
    sessions.use("a")
    error = refused(lambda: sessions.open("a", None))
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "SESSION_EXISTS")
    clock.now += 61.0
    assert sessions.open("a", None).calls == 0


def test_sweeping_drops_only_what_has_expired(sessions, clock):
    sessions.use("old")
    clock.now += 40.0
    sessions.use("new")
    clock.now += 30.0
    sessions.sweep()
    assert len(sessions) == 1
    assert sessions.get("new").calls == 1


BAD_IDS = ["a/b", "../x", "a b", "'; drop", "<script>", "%2e%2e", "ä", "a\n", "x" * 129, "a\x00"]


@pytest.mark.parametrize("name", BAD_IDS)
def test_ids_follow_one_rule_however_they_come(sessions, name):
    error = refused(lambda: sessions.use(name))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_METADATA")
    assert error.violations[0][0] == "x-session-id"
    error = refused(lambda: sessions.open(name, None))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert error.violations[0][0] == "id"
    assert len(sessions) == 0


@pytest.mark.parametrize("name", ["a", "A-b_c.d:1", "x" * 128])
def test_good_ids(sessions, name):
    assert sessions.open(name, None).id == name
