"""Who of those that wait goes next: sizes, bytes, tenants, priorities, age, and who gives way in a full queue."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bridge.batching.members import ACCOUNTS, AGE, Member, Waiters, gives_way, size_class
from bridge.call import Identity, new_call
from handlers.contract import BatchRule


def member(at=0.0, size=10, tenant="", priority=0):
    call = new_call("InvokeService/Call", Identity("r", tenant=tenant, priority=priority), b"x" * size, 1e9)
    return Member(call, None, None, at)


def waiting(*members, **rule):
    waiters = Waiters(BatchRule(**{"max_items": 4, **rule}))
    for one in members:
        waiters.add(one)
    return waiters


def tenants(members):
    return Counter(one.call.identity.tenant for one in members)


def test_sizes_within_a_power_of_four_are_alike():
    assert {size_class(size) for size in (0, 1, 256)} == {0}
    assert {size_class(size) for size in (257, 600, 1024)} == {1}
    assert [size_class(size) for size in (1025, 4097, 16385, 1 << 20)] == [2, 3, 4, 6]


def test_the_oldest_goes_with_those_of_its_size():
    long, *short = member(0.0, 5000), *(member(1.0 + index) for index in range(3))
    waiters = waiting(long, *short)
    assert waiters.take() == [long]
    assert waiters.take() == short


def test_a_tenant_with_many_calls_leaves_room_for_the_others():
    flood = [member(float(index), tenant="a") for index in range(100)]
    waiters = waiting(*flood, member(200.0, tenant="b"), member(201.0, tenant="c"), max_items=8)
    taken = waiters.take()
    assert tenants(taken) == {"a": 6, "b": 1, "c": 1}
    assert taken[:6] == flood[:6], "of each tenant the oldest"


def test_two_busy_tenants_share_evenly():
    members = [member(float(index), tenant="a") for index in range(50)]
    members += [member(50.0 + index, tenant="b") for index in range(50)]
    waiters = waiting(*members, max_items=8)
    assert [tenants(waiters.take()) for _ in range(5)] == [{"a": 4, "b": 4}] * 5


def test_a_flood_of_one_size_does_not_hold_up_another_tenant_of_another_size():
    flood = [member(float(index), tenant="a") for index in range(100)]
    large = member(200.0, 5000, tenant="b")
    waiters = waiting(*flood, large)
    assert [large in waiters.take() for _ in range(2)] == [False, True]


def test_turns_go_on_from_batch_to_batch():
    """A tenant with large calls and one with small ones get the same bytes, not the same number of batches."""
    members = [member(float(index), 4096, tenant="large") for index in range(40)]
    members += [member(40.0 + index, 1024, tenant="small") for index in range(40)]
    waiters = waiting(*members, max_items=4)
    taken = [tenants(waiters.take()) for _ in range(10)]
    assert taken.count({"large": 4}) == 2
    assert taken.count({"small": 4}) == 8


def test_who_comes_late_has_saved_nothing_up():
    busy = [member(float(index), tenant="a") for index in range(40)]
    waiters = waiting(*busy)
    for _ in range(5):
        waiters.take()
    for index in range(20):
        waiters.add(member(100.0 + index, tenant="b"))
    assert [tenants(waiters.take()) for _ in range(3)] == [{"a": 2, "b": 2}] * 3


def test_who_has_had_much_does_not_begin_anew_when_none_of_his_calls_wait():
    waiters = waiting(*(member(float(index), tenant="a") for index in range(4)))
    assert tenants(waiters.take()) == {"a": 4}
    other = member(10.0, 5000, tenant="b")
    for one in (member(5.0, tenant="a"), other):
        waiters.add(one)
    assert waiters.take() == [other]


def test_tenants_that_have_gone_are_forgotten_in_the_end():
    waiters = waiting()
    for number in range(3 * ACCOUNTS):
        waiters.add(member(tenant=str(number)))
        waiters.take()
    assert len(waiters._had) <= ACCOUNTS + 2


def test_many_that_wait_do_not_make_the_high_priority_wait():
    """However long low calls have waited, one of them may go before a high one, not all of them."""
    waiters = waiting(*(member(float(index)) for index in range(100)), max_items=2)
    for _ in range(2 * AGE):
        waiters.take()
    high = member(200.0, priority=1)
    waiters.add(high)
    assert high in waiters.take()


def test_a_priority_that_is_due_begins_one_batch_of_any_size():
    low = [member(float(index), 5000, priority=-1) for index in range(3)]
    waiters = waiting(*low, max_items=2)
    for turn in range(AGE):
        waiters.add(member(10.0 + turn, priority=1))
        assert low[0] not in waiters.take()
    high = member(100.0, priority=1)
    waiters.add(high)
    assert waiters.take() == low[:2]
    assert waiters.take() == [high]
    assert waiters.take() == low[2:]


def test_a_high_priority_goes_first_and_a_low_one_is_due_in_the_end():
    low = member(0.0, priority=-1)
    waiters = waiting(low, max_items=2)
    for turn in range(AGE):
        for _ in range(2):
            waiters.add(member(1.0 + turn, priority=1))
        assert low not in waiters.take()
    high = [member(100.0, priority=1) for _ in range(2)]
    for one in high:
        waiters.add(one)
    assert waiters.take() == [low, high[0]]


def test_bytes_bound_a_batch_but_never_hold_up_the_first():
    big = [member(0.0, 90), member(1.0, 90), member(2.0, 5)]
    waiters = waiting(*big, max_bytes=100)
    assert waiters.take() == [big[0], big[2]]
    assert waiters.take() == [big[1]]


def test_who_leaves_is_not_counted_any_more():
    one, other = member(size=10), member(size=20)
    waiters = waiting(one, other)
    waiters.leave(one)
    assert (waiters.count, waiters.size, list(waiters)) == (1, 20, [other])
    assert not one.waits


def test_in_a_full_queue_the_lowest_priority_gives_way_the_newest_first():
    low = [member(float(index), priority=-1) for index in range(3)]
    newcomer = member(priority=0).call
    assert gives_way(newcomer, [waiting(member(9.0)), waiting(*low)]) is low[-1]
    assert gives_way(member(priority=-1).call, [waiting(member(9.0), *low)]) is None


def test_in_a_full_queue_a_tenant_without_calls_gets_the_room_of_the_one_with_most():
    flood = [member(float(index), tenant="a") for index in range(10)]
    assert gives_way(member(tenant="b").call, [waiting(*flood[5:]), waiting(*flood[:5])]) is flood[-1]
    assert gives_way(member(tenant="a").call, [waiting(*flood)]) is None
    assert gives_way(member().call, []) is None


made = st.builds(
    member,
    at=st.floats(0, 100),
    size=st.integers(0, 5000),
    tenant=st.sampled_from("abc"),
    priority=st.sampled_from([-1, 0, 1]),
)


@given(st.lists(made, max_size=60), st.integers(2, 10), st.integers(1, 9000), st.booleans())
def test_everybody_goes_once_within_the_limits(members, most, room, similar):
    waiters = waiting(*members, max_items=most, max_bytes=room, similar_sizes=similar)
    seen = []
    while waiters.count:
        taken = waiters.take()
        assert 1 <= len(taken) <= most
        assert len(taken) == 1 or sum(one.size for one in taken) <= room
        assert not similar or len({size_class(one.size) for one in taken}) == 1
        seen += taken
    assert len(seen) == len(members) == len(set(seen))
    assert (waiters.size, list(waiters)) == (0, [])
    assert not waiters.tenants
    assert not waiters.priorities
