"""Inputs that kill workers: when they are suspected, refused, forgotten; and what that does to calls in the queue."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pool.admission import Admission
from pool.calls import Call
from pool.errors import Quarantined, WorkerLost
from pool.exits import Killed
from pool.frames import Reply
from pool.options import Canary, PoolOptions
from pool.quarantine import MOST, Quarantine, fingerprint_of
from pool.testing import ScriptedWorker

LOST = WorkerLost("p", "w", "f", "killed", signal="SIGKILL", exit_code=None, stderr="")


@pytest.fixture
def quarantine():
    return Quarantine("p", 2, 60.0, exempt="canary")


def test_the_second_death_makes_it_refused_for_a_while(quarantine):
    assert not quarantine.armed
    assert not quarantine.killed("f", b"bad", 10.0)
    assert quarantine.armed
    assert quarantine.check("f", b"bad", 11.0) is None, "it may have been chance"
    assert quarantine.killed("f", b"bad", 20.0)
    refused = quarantine.check("f", b"bad", 30.0)
    assert isinstance(refused, Quarantined)
    assert (refused.function, refused.deaths, refused.left_s) == ("f", 2, 50.0)
    assert refused.fingerprint in str(refused)
    assert [quarantine.check(*other, 30.0) for other in (("f", b"good"), ("g", b"bad"), ("f", b"badder"))] == [None] * 3
    assert quarantine.check("f", b"bad", 80.0) is None
    assert not quarantine.armed
    assert not quarantine.killed("f", b"bad", 81.0), "it starts anew"


def test_a_death_long_ago_does_not_count(quarantine):
    quarantine.killed("f", b"bad", 10.0)
    assert not quarantine.killed("f", b"bad", 70.0)


def test_an_input_that_is_answered_is_cleared(quarantine):
    """As where somebody kills workers that run the same harmless call all the time."""
    for now in range(10):
        assert not quarantine.killed("f", b"echo", float(now))
        quarantine.survived("f", b"good")
        assert quarantine.armed
        quarantine.survived("f", b"echo")
        assert not quarantine.armed


def test_an_operator_releases_it(quarantine):
    quarantine.killed("f", b"bad", 0.0)
    quarantine.killed("f", b"bad", 1.0)
    (shown,) = quarantine.refused(2.0)
    assert (shown.function, shown.deaths, shown.left_s) == ("f", 2, 59.0)
    assert shown.fingerprint == fingerprint_of("f", b"bad")
    assert not quarantine.release("0123456789abcdef")
    assert quarantine.release(shown.fingerprint)
    assert (quarantine.check("f", b"bad", 3.0), quarantine.armed, quarantine.refused(3.0)) == (None, False, ())


def test_other_code_is_another_matter(quarantine):
    quarantine.killed("f", b"bad", 0.0)
    quarantine.killed("f", b"bad", 0.0)
    quarantine.clear()
    assert (quarantine.check("f", b"bad", 1.0), quarantine.armed) == (None, False)


def test_the_canary_is_never_refused_and_0_refuses_nobody(quarantine):
    for _ in range(5):
        assert not quarantine.killed("canary", b"", 0.0)
    quarantine.configure(0, 60.0, "canary")
    for _ in range(5):
        assert not quarantine.killed("f", b"bad", 0.0)
    assert not quarantine.armed


def test_few_are_remembered_and_suspects_go_before_the_quarantined(quarantine):
    for _ in range(2):
        quarantine.killed("f", b"bad", 0.0)
    for number in range(3 * MOST):
        quarantine.killed("f", b"%d" % number, 1.0)
    assert len(quarantine._inputs) == MOST
    assert quarantine.check("f", b"bad", 2.0) is not None


def test_functions_and_bytes_do_not_run_together():
    assert fingerprint_of("f", b"ab") != fingerprint_of("fa", b"b")
    assert len(fingerprint_of("\ud800", b"")) == 16


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([b"", b"x", b"y", b"xx"]), st.integers(0, 30))))
def test_it_is_refused_exactly_while_enough_deaths_are_known(deaths):
    """Against a model that keeps every death."""
    quarantine, model, now = Quarantine("p", 2, 60.0), {}, 0.0
    for function, body, pause in deaths:
        now += pause
        count, until = model.get((function, body), (0, 0.0))
        count = count + 1 if now < until else 1
        model[function, body] = count, now + 60.0
        assert quarantine.killed(function, body, now) == (count >= 2)
        for (name, data), (known, left) in model.items():
            assert (quarantine.check(name, data, now) is not None) == (known >= 2 and now < left)
        live = [key for key, (_, left) in model.items() if now < left]
        assert quarantine.armed == bool(live) or quarantine.armed
        assert len(quarantine.refused(now)) == sum(model[key][0] >= 2 for key in live)
        assert quarantine.armed == bool(live)


@pytest.mark.parametrize(
    ("killed", "blamed"),
    [
        (Killed(why="over its limit", memory_bytes=5), True),
        (Killed(why="broke the frame protocol", protocol=True), True),
        (Killed(why="went on 1 s after its cancel or deadline"), False),
        (Killed(why="the server stopped", stopped=True), False),
    ],
)
def test_which_kills_are_the_inputs_fault(killed, blamed):
    assert killed.blamed == blamed


# -- in the queue -------------------------------------------------------------------------------------------------


class Rig:
    def __init__(self, loop, lookahead):
        self.loop = loop
        self.queue = Admission("p", 0, loop)
        canary = Canary(function="canary", meta=b"", body=b"")
        options = {"name": "p", "entry": "m:f", "entry_options": b"", "canary": canary}
        self.queue.configure(PoolOptions(**options, queue_limit=50, quarantine_after=2))
        self.workers = [ScriptedWorker(f"w{n}", "p", 1, self.queue.slot_free, lookahead) for n in range(2)]
        for worker in self.workers:
            self.queue.add(worker)

    def submit(self, body):
        call = Call("f", b"", body, None, self.loop.create_future())
        self.queue.submit(call)
        return call

    def die(self, worker):
        """As the supervisor buries a worker that died of the call that it ran."""
        self.queue.remove(worker)
        call = next(iter(worker.calls.values()))
        self.queue.buried([], call)
        worker.finish(call, LOST)
        fresh = ScriptedWorker(f"{worker.id}x", "p", 1, self.queue.slot_free, worker._lookahead)
        self.workers[self.workers.index(worker)] = fresh
        self.queue.add(fresh)


async def test_a_call_that_is_answered_clears_its_input():
    rig = Rig(asyncio.get_running_loop(), 0)
    for _ in range(5):
        rig.die(rig.submit(b"same").worker)
        assert rig.queue.quarantine.armed
        call = rig.submit(b"same")
        call.worker.finish(call, Reply(True, b"", b""))
        rig.queue.release(call)
        assert not rig.queue.quarantine.armed
    rig.queue.close()


@pytest.mark.parametrize("lookahead", [0, 4])
async def test_inputs_that_wait_when_they_are_quarantined_are_refused_too(lookahead):
    rig = Rig(asyncio.get_running_loop(), lookahead)
    running = [rig.submit(b"bad"), rig.submit(b"ok")]
    waiting = [rig.submit(body) for body in (b"bad", b"ok!", b"fine", b"bad", b"BAD")]
    assert rig.queue.waiting == 5
    rig.die(running[0].worker)
    assert not any(call.future.done() for call in waiting), "suspected, no more"
    bad = [call for call in [*running, *waiting] if call.body == b"bad" and not call.future.done()]
    while not any(call.id in worker.calls for worker in rig.workers for call in bad if call.worker is worker):
        call = next(call for worker in rig.workers for call in worker.calls.values() if call.body != b"bad")
        call.worker.finish(call, Reply(True, b"", b""))
    begun = next(call for call in bad if call.worker is not None and call.id in call.worker.calls)
    rig.die(begun.worker)
    last = next(call for call in bad if call is not begun)
    assert isinstance(last.future.exception(), Quarantined)
    assert last.worker is None, "it was not run"
    with pytest.raises(Quarantined):
        rig.submit(b"bad")
    assert rig.submit(b"new") is not None
    while calls := [call for worker in rig.workers for call in worker.calls.values()]:
        assert all(call.body != b"bad" for call in calls)
        calls[0].worker.finish(calls[0], Reply(True, b"", b""))
    assert rig.queue.waiting == 0
    (shown,) = rig.queue.quarantine.refused(rig.loop.time())
    assert rig.queue.quarantine.release(shown.fingerprint)
    assert rig.submit(b"bad").worker is not None
    rig.queue.close()
