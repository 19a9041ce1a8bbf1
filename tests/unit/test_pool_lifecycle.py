"""A worker's life: every pair of state and event, and the diagram drawn from the same table."""

import itertools

import pytest

from pool.lifecycle import GOES_BACK, TRANSITIONS, Event, IllegalTransition, State, advance, diagram

PAIRS = list(itertools.product(State, Event))
ORDER = [State.STARTING, State.READY, State.SUSPENDED, State.DRAINING, State.STOPPING, State.DEAD]


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda value: value.value)
def test_every_pair_leads_on_or_is_refused(state, event):
    if state is State.DEAD:
        assert advance(state, event) is State.DEAD
    elif (state, event) in TRANSITIONS:
        new = advance(state, event)
        back = ORDER.index(new) < ORDER.index(state)
        assert back == ((state, event) in GOES_BACK), "a life goes back only where a stopped process goes on"
    else:
        with pytest.raises(IllegalTransition, match=f"{state.value} can not meet '{event.value}'"):
            advance(state, event)


def test_what_is_refused_is_known():
    """A worker proves itself once, at its start; a proof that comes while it is stopped is late, not wrong."""
    refused = [pair for pair in PAIRS if pair[0] is not State.DEAD and pair not in TRANSITIONS]
    alive = {State.STARTING, State.READY, State.SUSPENDED, State.DRAINING, State.STOPPING}
    assert set(refused) == {
        *((state, Event.PROVED) for state in alive - {State.STARTING, State.STOPPING}),
        *((state, Event.SUSPEND) for state in alive - {State.READY}),
        *((state, Event.RESUME) for state in alive - {State.SUSPENDED}),
        (State.STARTING, Event.RETIRE),
    }


@pytest.mark.parametrize("state", State)
def test_stop_and_exit_work_in_every_state(state):
    assert advance(state, Event.STOP) in (State.STOPPING, State.DEAD)
    assert advance(state, Event.EXITED) is State.DEAD


def test_the_diagram_has_every_transition_once():
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    changes = [(old, event, new) for (old, event), new in TRANSITIONS.items() if old is not new]
    for old, event, new in changes:
        assert lines.count(f"    {old.value} --> {new.value}: {event.value}") == 1
    assert len(lines) == len(changes) + 3
