"""Budgets as a share of recent calls."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.attempts.share import PARTS, WINDOW_S, RecentShare


class Clock:
    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


def test_it_grants_the_share_and_no_more():
    share = RecentShare(Clock(), 0.2, 0)
    for _ in range(100):
        share.count()
    assert sum(share.take() for _ in range(50)) == 20
    assert share.refused == 30


def test_a_quiet_server_has_its_reserve():
    share = RecentShare(Clock(), 0.2, 3)
    share.count()
    assert [share.take() for _ in range(5)] == [True, True, True, False, False]


def test_what_is_long_ago_counts_no_more():
    clock = Clock()
    share = RecentShare(clock, 0.5, 1)
    for _ in range(10):
        share.count()
    assert sum(share.take() for _ in range(10)) == 5
    clock.now += WINDOW_S
    assert [share.take(), share.take()] == [True, False]


STEPS = st.lists(
    st.one_of(st.just("count"), st.just("take"), st.floats(0.01, 12.0)),
    max_size=300,
)


@given(STEPS, st.floats(0.0, 2.0), st.integers(0, 4))
def test_in_no_window_is_more_taken_than_the_share_of_its_calls(steps, fraction, reserve):
    clock = Clock()
    share = RecentShare(clock, fraction, reserve)
    counted, taken = [], []
    for step in steps:
        if step == "count":
            share.count()
            counted.append(clock.now)
        elif step == "take":
            if share.take():
                taken.append(clock.now)
                # Parts of the window leave as a whole, so what counts may be as old as the window and one part younger.
                calls = sum(clock.now - at < WINDOW_S for at in counted)
                recent = sum(clock.now - at < WINDOW_S - WINDOW_S / PARTS for at in taken)
                assert recent <= max(reserve, fraction * calls)
        else:
            clock.now += step
    assert share.calls >= 0
    assert share.taken >= 0
