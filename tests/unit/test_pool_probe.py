"""What the evidence about a worker means, with times and sights of our own."""

import pytest

from pool.probe import Patience, Probe, SeenTime, Sight, Verdict

PATIENCE = Patience(interval_s=2.0, timeout_s=2.0, concurrent=False)
MANY = Patience(interval_s=2.0, timeout_s=2.0, concurrent=True)
TICK = 0.25


def sight(answered=0, others=0, room=True, stopped=False, excused_s=0.0):
    return Sight(answered=answered, others=others, room=room, stopped=stopped, excused_s=excused_s)


class Watch:
    """A probe that is fed tick by tick, and sends the canaries that it asks for."""

    def __init__(self, patience=PATIENCE):
        self.probe = Probe(patience)
        self.at = 0.0

    def see(self, seconds, **seen):
        """Look for so long; what was called for, each with the time."""
        found = []
        for _ in range(round(seconds / TICK)):
            self.at += TICK
            verdict = self.probe.look(sight(**seen), TICK)
            if verdict is Verdict.ASK:
                self.probe.asked()
            if verdict is not Verdict.FINE:
                found.append((verdict, self.at))
        return found


def test_an_idle_worker_is_asked_after_the_interval_and_hung_after_the_timeout():
    assert Watch().see(4.0) == [(Verdict.ASK, 2.0), (Verdict.HUNG, 4.0)]


def test_a_canary_that_comes_back_starts_the_interval_anew():
    watch = Watch()
    watch.see(2.0)
    watch.probe.told()
    assert watch.see(1.75, answered=1) == []
    assert watch.see(0.25, answered=1) == [(Verdict.ASK, 4.0)]


def test_a_busy_worker_that_takes_one_call_is_left_to_its_deadline():
    assert Watch().see(600.0, others=1, room=False) == []


def test_an_answer_to_anything_is_an_answer():
    watch = Watch()
    for number in range(20):
        assert watch.see(1.0, answered=number) == []


def test_a_worker_with_many_calls_is_asked_while_they_run():
    assert Watch(MANY).see(4.0, others=3) == [(Verdict.ASK, 2.0), (Verdict.WEDGED, 4.0)]


def test_a_worker_with_many_calls_and_no_room_is_not_asked():
    assert Watch(MANY).see(60.0, others=3, room=False) == []


def test_answers_give_a_late_canary_its_time_anew():
    watch = Watch(MANY)
    watch.see(3.5, others=1)
    assert watch.see(1.75, answered=1, others=1) == []
    assert watch.see(0.5, answered=1, others=1)[0][0] is Verdict.WEDGED


def test_a_stopped_process_is_suspected_then_killed():
    watch = Watch()
    watch.see(1.0)
    assert watch.see(2.25, stopped=True) == [(Verdict.SUSPEND, 1.75), (Verdict.STOPPED, 3.25)]


def test_a_stopped_process_that_goes_on_is_fine_and_gets_its_time_anew():
    watch = Watch()
    watch.see(3.5)  # its canary is on the way
    assert watch.see(1.75, stopped=True)[0][0] is Verdict.SUSPEND
    assert watch.see(0.25) == [(Verdict.RESUME, 5.5)]
    assert watch.see(1.75) == [], "the time in which it was stopped is not held against its canary"
    assert watch.see(0.5)[0][0] is Verdict.HUNG


def test_a_process_that_was_stopped_for_a_moment_is_not_even_suspected():
    watch = Watch()
    for _ in range(20):
        assert watch.see(0.25, stopped=True) == []
        assert watch.see(0.25) == []


def test_time_without_a_processor_does_not_count():
    """At three times the usual latency, and at any other."""
    watch = Watch()
    watch.see(2.0)
    assert watch.see(60.0, excused_s=TICK) == []
    assert watch.see(2.25, excused_s=TICK / 2) == []
    assert watch.see(2.0)[0][0] is Verdict.HUNG


@pytest.mark.parametrize("stopped", [True, False])
def test_a_machine_that_was_suspended_blames_nobody(stopped):
    """A gap of an hour between two looks counts as two looks."""
    seen = SeenTime(0.0, TICK)
    watch = Probe(PATIENCE)
    looks = (0.25, 0.5, 3600.0, 3600.25)
    verdicts = [watch.look(sight(stopped=stopped and now > 0.25), seen.look(now)) for now in looks]
    assert Verdict.STOPPED not in verdicts
    assert Verdict.HUNG not in verdicts
    assert seen.seconds == pytest.approx(0.25 + 0.25 + 0.5 + 0.25)


def test_a_clock_that_goes_back_counts_for_nothing():
    seen = SeenTime(100.0, TICK)
    assert seen.look(50.0) == 0.0
    assert seen.look(50.25) == 0.25
