"""When calls that wait go, with a clock turned by hand: who waits for whom, how long at most, and who never does."""

import pytest

from bridge.batching.group import AHEAD_S, Group
from bridge.batching.members import Member
from bridge.call import Identity, new_call
from handlers.contract import BatchRule

WAIT_S = 0.005


class Played:
    """A group with a clock and one slot."""

    def __init__(self, slots=1, **rule):
        self.group = Group(BatchRule(max_wait_s=WAIT_S, **{"max_items": 8, **rule}))
        self.slots = slots
        self.now = 100.0
        self.running = []

    def come(self, count=1, size=10, timeout_s=60.0):
        for _ in range(count):
            call = new_call("InvokeService/Call", Identity("r"), b"x" * size, self.now + timeout_s)
            self.group.arrived(Member(call, self.group, None, self.now))
        return self.sent()

    def sent(self):
        """The sizes of the batches that go now."""
        sizes = []
        while members := self.group.due(self.now, self.slots):
            self.group.began()
            sizes.append(len(members))
        self.running += sizes
        return sizes

    def end(self, seconds=0.1, size=None):
        done = self.running.pop(0)
        self.now += seconds
        self.group.ended(done if size is None else size, seconds, self.now)
        return self.sent()

    def wait(self, seconds):
        self.now += seconds
        return self.sent()


def test_a_call_that_comes_alone_goes_at_once_again_and_again():
    played = Played()
    for _ in range(20):
        assert played.group.is_quiet(played.now, 1)
        assert played.come() == [1]
        assert played.end() == []
        assert played.wait(0.0) == []


def test_idle_workers_take_one_call_each_before_any_is_held_back():
    played = Played(slots=3)
    assert [played.come() for _ in range(4)] == [[1], [1], [1], []]


def test_calls_gather_while_the_worker_is_busy_and_go_when_as_many_have_come_as_there_were():
    played = Played()
    assert played.come() == [1]
    assert played.come(3) == []
    assert played.group.wake_at == pytest.approx(played.now + AHEAD_S)
    assert played.end() == [], "the one that has been answered may call again at once"
    assert played.come() == [4]


def test_the_wait_for_more_ends_after_max_wait():
    played = Played()
    played.come()
    played.come(3)
    played.end()
    assert played.group.wake_at == pytest.approx(played.now + WAIT_S)
    assert played.wait(WAIT_S * 0.9) == []
    assert played.wait(WAIT_S * 0.2) == [3]


def test_a_full_batch_waits_for_nobody_and_goes_ahead_once():
    played = Played(max_items=4)
    played.come()
    assert played.come(3) == []
    assert played.come() == [4], "it can grow no more, so it goes into the pool's queue"
    assert played.come(9) == [], "but only one for each worker"
    assert played.end() == [4]


def test_bytes_fill_a_batch_as_well():
    played = Played(max_bytes=100)
    played.come()
    assert played.come(2, size=40) == []
    assert played.come(1, size=40) == [2]


def test_requests_of_other_sizes_run_apart_unless_the_rule_says_otherwise():
    apart, mixed = Played(), Played(similar_sizes=False)
    for played in (apart, mixed):
        played.come()
        played.come(2, size=100)
        played.come(2, size=5000)
        played.end(size=0)
        played.wait(WAIT_S)
    assert apart.running == [2]
    assert apart.end(size=0) == [2]
    assert mixed.running == [4]


def test_who_has_waited_long_goes_into_the_pools_queue_though_all_are_busy():
    played = Played()
    played.come()
    assert played.come(2) == []
    assert played.wait(AHEAD_S / 2) == []
    assert played.wait(AHEAD_S) == [2]
    assert played.come(2) == []
    assert played.group.wake_at is None, "two batches for one worker: the next wait for an end"


def test_nobody_waits_for_more_beyond_what_his_deadline_allows():
    played = Played()
    played.come()
    played.come(2)
    played.come(1, timeout_s=0.103)
    assert played.end(seconds=0.1) == [3], "a batch takes time: this call has no more to give away"


def test_vain_waits_are_left_out_for_a_while_and_tried_again():
    played = Played()
    waited = 0
    played.come()
    for _ in range(40):
        played.come(2)
        if not played.end(size=1):
            waited += 1
            assert played.wait(WAIT_S) == [2]
    assert 3 <= waited <= 8


def test_a_wait_that_nobody_joined_and_nobody_sat_through_is_not_held_against_waits():
    played = Played()
    assert played.come(8) == [8]
    for _ in range(5):
        assert played.end() == []
        played.wait(1.0)
        assert played.come() == [1]
        played.come(3)
        assert played.end() == []
        assert played.come() == [4]


def test_callers_who_all_come_back_are_all_waited_for():
    """Four callers, each with one call at a time: after the first round they run together."""
    played = Played()
    assert played.come(1) == [1]
    assert played.come(3) == []
    assert played.end() == []
    assert played.come() == [4]
    for _ in range(10):
        assert played.end() == []
        assert played.come(3) == []
        played.wait(WAIT_S / 2)
        assert played.come() == [4]


def test_another_rule_keeps_those_that_wait():
    played = Played()
    played.come()
    played.come(5)
    played.group.renew(BatchRule(max_items=5))
    assert played.group.waiters.count == 5
    assert played.sent() == [5]
