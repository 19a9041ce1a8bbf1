"""Sessions on a clock that the test turns: opening, expiry, tenants, limits, and what becomes of those that move."""

import tracemalloc

import pytest

from bridge.errors import BridgeError, Code
from bridge.sessions.record import SessionLimits
from bridge.sessions.sessions import Sessions


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
    return Sessions(SessionLimits(ttl_s=60.0, sessions=3), now=clock)


def call(sessions, session_id, **more):
    """A call of a session, from its begin to its end."""
    session = sessions.use(session_id, **more)
    sessions.left(session)
    return session


def refused(action):
    with pytest.raises(BridgeError) as caught:
        action()
    return caught.value


def test_a_call_opens_a_session_and_counts(sessions):
    first = call(sessions, "a")
    assert call(sessions, "a") is first
    assert (first.calls, first.epoch, first.workers, len(sessions)) == (2, 0, {}, 1)


def test_an_opened_session_is_used_by_calls(sessions):
    opened = sessions.open("a", None)
    assert (opened.calls, opened.ttl_s) == (0, 60.0)
    assert call(sessions, "a") is opened is sessions.get("a")


def test_an_id_is_made_where_none_is_given(sessions):
    first, second = sessions.open("", None), sessions.open("", 5.0)
    assert first.id != second.id
    assert len(first.id) >= 16
    assert second.ttl_s == 5.0
    assert sessions.get(first.id) is first


def test_the_epoch_rises_with_each_move_and_only_then(sessions):
    session = call(sessions, "a")
    moves = [("general", "general-1", 0), ("general", "general-1", 0), ("general", "general-2", 1), ("llm", "llm-1", 1)]
    for pool, worker, epoch in [*moves, ("llm", "llm-2", 2), ("general", "general-1", 3)]:
        session.ran_on(pool, worker)
        assert session.epoch == epoch
    assert session.workers == {"general": "general-1", "llm": "llm-2"}


def test_it_ends_after_its_ttl_without_a_call(sessions, clock):
    first = call(sessions, "a")
    clock.now += 60.0
    assert call(sessions, "a") is first, "at its ttl it still lives, and a call renews it"
    clock.now += 60.0
    assert sessions.get("a") is first
    clock.now += 0.1
    assert refused(lambda: sessions.get("a")).reason == "UNKNOWN_SESSION"
    assert call(sessions, "a") is not first


def test_looking_at_a_session_does_not_keep_it(sessions, clock):
    call(sessions, "a")
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
        call(sessions, name)
    error = refused(lambda: call(sessions, "d"))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "SESSION_LIMIT")
    assert error.metadata == {"limit": "3", "setting": "sessions.max_sessions"}
    assert "sessions.max_sessions" in error.message
    assert refused(lambda: sessions.open("", None)).reason == "SESSION_LIMIT"
    assert call(sessions, "a").calls == 2, "an open session goes on at the limit"
    clock.now += 61.0
    assert call(sessions, "d").calls == 1
    assert len(sessions) == 1


def test_closing(sessions):
    call(sessions, "a")
    sessions.close("a")
    assert len(sessions) == 0
    assert refused(lambda: sessions.close("a")).reason == "UNKNOWN_SESSION"
    assert call(sessions, "a").calls == 1, "a closed id may be used again, as a new session"


def test_opening_what_is_open(sessions, clock):
    call(sessions, "a")
    error = refused(lambda: sessions.open("a", None))
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "SESSION_EXISTS")
    clock.now += 61.0
    assert sessions.open("a", None).calls == 0


def test_sweeping_drops_only_what_has_expired(sessions, clock):
    call(sessions, "old")
    clock.now += 40.0
    call(sessions, "new")
    clock.now += 30.0
    sessions.sweep()
    assert len(sessions) == 1
    assert sessions.get("new").calls == 1


BAD_IDS = ["a/b", "../x", "a b", "'; drop", "<script>", "%2e%2e", "ä", "a\n", "x" * 129, "a\x00"]


@pytest.mark.parametrize("name", BAD_IDS)
def test_ids_follow_one_rule_however_they_come(sessions, name):
    error = refused(lambda: call(sessions, name))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_METADATA")
    assert error.violations[0][0] == "x-session-id"
    error = refused(lambda: sessions.open(name, None))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert error.violations[0][0] == "id"
    assert len(sessions) == 0


@pytest.mark.parametrize("name", ["a", "A-b_c.d:1", "x" * 128])
def test_good_ids(sessions, name):
    assert sessions.open(name, None).id == name


# -- calls that run -----------------------------------------------------------------------------------------------


def test_a_session_does_not_expire_while_a_call_runs(sessions, clock):
    session = sessions.use("a")
    clock.now += 1000.0
    sessions.sweep()
    assert sessions.get("a") is session
    sessions.left(session)
    clock.now += 59.0
    sessions.sweep()
    assert sessions.get("a") is session, "its ttl counts from the end of its call"
    clock.now += 2.0
    sessions.sweep()
    assert len(sessions) == 0


def test_a_session_that_is_closed_while_a_call_runs_lets_it_end(sessions):
    session = sessions.use("a")
    sessions.close("a")
    other = sessions.use("a")
    sessions.left(session)
    assert (sessions.get("a"), other.running, session.ended) == (other, 1, "closed")
    assert refused(lambda: sessions.variables(session)).reason == "UNKNOWN_SESSION"


def test_one_session_has_so_many_calls_at_a_time(clock):
    sessions = Sessions(SessionLimits(calls=2), now=clock)
    session = sessions.use("hot")
    sessions.use("hot")
    error = refused(lambda: sessions.use("hot"))
    assert (error.code, error.reason, error.retry_after_s) == (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 0.2)
    assert "sessions.max_calls" in error.message
    assert sessions.use("other").running == 1, "others do not suffer"
    sessions.left(session)
    assert sessions.use("hot").running == 2


# -- tenants ------------------------------------------------------------------------------------------------------


def test_another_tenants_session_is_not_there(sessions):
    sessions.open("a", tenant="acme")
    for look in (sessions.get, sessions.close, sessions.use):
        error = refused(lambda look=look: look("a", "rival"))
        assert (error.code, error.reason) == (Code.NOT_FOUND, "UNKNOWN_SESSION")
        assert refused(lambda look=look: look("a")).reason == "UNKNOWN_SESSION", "to nobody in particular neither"
    unknown = refused(lambda: sessions.get("b", "rival"))
    assert unknown.message.replace("'b'", "'a'") == error.message, "nothing tells the one from the other"
    assert sessions.get("a", "acme").calls == 0


def test_a_tenant_has_so_many(clock):
    sessions = Sessions(SessionLimits(ttl_s=60.0, sessions=10, per_tenant=2), now=clock)
    for name in "ab":
        call(sessions, name, tenant="acme")
    error = refused(lambda: sessions.use("c", "acme"))
    assert (error.reason, error.metadata["setting"]) == ("SESSION_LIMIT", "sessions.max_per_tenant")
    assert call(sessions, "d", tenant="rival").tenant == "rival"
    sessions.close("a", "acme")
    assert call(sessions, "c", tenant="acme")
    clock.now += 61.0
    assert [call(sessions, name, tenant="acme").calls for name in "xy"] == [1, 1], "expired ones do not count"


# -- modes --------------------------------------------------------------------------------------------------------


def test_how_a_session_is_open_is_said_at_its_opening(sessions):
    session = sessions.open("a", mode="strict", ordered=True)
    assert (session.mode, session.ordered) == ("strict", True)
    assert call(sessions, "a") is session, "a call need not repeat it"
    assert call(sessions, "a", mode="strict", ordered=True) is session
    for more in ({"mode": "hint"}, {"ordered": False}):
        error = refused(lambda more=more: sessions.use("a", **more))
        assert (error.reason, "close it" in error.message) == ("BAD_METADATA", True)
    assert session.running == 0
    assert call(sessions, "b", mode="strict").mode == "strict", "the first call says it, too"
    assert (call(sessions, "c").mode, call(sessions, "c").ordered) == ("hint", False)


class Pools:
    """What a table of sessions tells of the workers that it is bound to."""

    def __init__(self, clock):
        self.held, self.ended = [], []
        self.sessions = Sessions(
            SessionLimits(ttl_s=60.0, sessions=10),
            now=clock,
            hold=lambda *place: self.held.append(place),
            on_end=lambda session, reason, bound: self.ended.append((session.id, reason, bound)),
        )


@pytest.fixture
def pools(clock):
    return Pools(clock)


@pytest.mark.parametrize(("moved", "reason"), [(False, "SESSION_LOST"), (True, "SESSION_MOVED")])
def test_a_strict_session_is_refused_once_its_worker_is_gone(pools, moved, reason):
    sessions = pools.sessions
    lost, other = sessions.open("lost", mode="strict"), sessions.open("other", mode="strict")
    sessions.bind(lost, "general", "general-1")
    sessions.bind(other, "general", "general-2")
    assert pools.held == [("general", "general-1"), ("general", "general-2")]
    assert sessions.worker_gone("general", "general-1", moved=moved) == [lost]
    assert (lost.lost, lost.workers, other.lost) == (reason, {}, "")
    error = lost.refusal()
    assert (error.code, error.reason, error.metadata["worker"]) == (Code.ABORTED, reason, "general-1")
    assert "open it anew" in error.message
    assert sessions.worker_gone("general", "general-1", moved=not moved) == [], "once"
    sessions.close("lost")
    assert sessions.open("lost", mode="strict").lost == "", "opened anew it knows nothing of it"


def test_who_hears_of_an_end_hears_what_it_was_bound_to(pools, clock):
    sessions = pools.sessions
    strict = sessions.open("strict", mode="strict")
    sessions.bind(strict, "general", "general-1")
    sessions.bind(strict, "llm", "llm-1")
    sessions.worker_gone("llm", "llm-1", moved=False)
    call(sessions, "hint").ran_on("general", "general-2")
    sessions.close("strict")
    clock.now += 61.0
    sessions.sweep()
    assert pools.ended == [("strict", "closed", [("general", "general-1")]), ("hint", "expired", [])]
    assert sessions._bound == {}


# -- eviction -----------------------------------------------------------------------------------------------------


def test_at_the_limit_the_longest_idle_makes_room(clock):
    ended = []
    limits = SessionLimits(ttl_s=600.0, sessions=3, evict_idle_s=30.0)
    sessions = Sessions(limits, now=clock, on_end=lambda session, reason, _bound: ended.append((session.id, reason)))
    running = sessions.use("running")
    call(sessions, "old")
    clock.now += 20.0
    call(sessions, "new")
    assert refused(lambda: sessions.use("more")).reason == "SESSION_LIMIT", "nobody is idle long enough"
    clock.now += 15.0
    call(sessions, "more")
    assert ended == [("old", "evicted")]
    assert refused(lambda: sessions.use("last")).reason == "SESSION_LIMIT"
    assert running.running == 1, "a session with a call is never evicted"


# -- pages and size -----------------------------------------------------------------------------------------------


def test_pages_are_in_the_order_of_opening(clock):
    sessions = Sessions(SessionLimits(), now=clock)
    for number in range(25):
        sessions.open(f"s{number}", tenant="even" if number % 2 == 0 else "odd")
    call(sessions, "s0", tenant="even")
    seen, after, pages = [], 0, 0
    while after or not pages:
        found, after = sessions.page("", 10, after)
        seen += [session.id for session in found]
        pages += 1
    assert (seen, pages) == ([f"s{number}" for number in range(25)], 3)
    assert [session.id for session in sessions.page("odd", 3, 0)[0]] == ["s1", "s3", "s5"]


def test_a_hundred_thousand_sessions_take_little_and_leave_nothing(clock):
    """Closing keeps no row: opened and closed again and again, the order of expiry does not grow."""
    count = 100_000
    sessions = Sessions(SessionLimits(sessions=count), now=clock)
    tracemalloc.start()
    try:
        for number in range(count):
            call(sessions, f"session-{number}").ran_on("general", "general-1")
        each = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert each < 1200, f"{each:.0f} bytes per session"
    for number in range(count):
        sessions.close(f"session-{number}")
    assert (len(sessions), len(sessions._tenants)) == (0, 0)
    for number in range(1000):
        sessions.open(f"again-{number}")
        sessions.close(f"again-{number}")
    assert len(sessions._expiry) < 200
