"""A worker's life as one pure table of states and events. Terminal states absorb every event.

The diagram in docs/explanation/pool.md is generated from `TRANSITIONS`; every change of state goes through `advance`.
"""

from enum import Enum


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    STOPPING = "stopping"
    DEAD = "dead"


class Event(Enum):
    """What can happen to a worker."""

    PROVED = "proved"
    """It has imported, warmed up and answered a canary."""
    DRAIN = "drain"
    """It is to finish its calls and take no more."""
    STOP = "stop"
    """It is to end now."""
    EXITED = "exited"
    """Its process has ended, for whatever reason."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.STARTING, Event.PROVED): State.READY,
    (State.STARTING, Event.DRAIN): State.STOPPING,
    (State.STARTING, Event.STOP): State.STOPPING,
    (State.STARTING, Event.EXITED): State.DEAD,
    (State.READY, Event.DRAIN): State.DRAINING,
    (State.READY, Event.STOP): State.STOPPING,
    (State.READY, Event.EXITED): State.DEAD,
    (State.DRAINING, Event.DRAIN): State.DRAINING,
    (State.DRAINING, Event.STOP): State.STOPPING,
    (State.DRAINING, Event.EXITED): State.DEAD,
    (State.STOPPING, Event.PROVED): State.STOPPING,
    (State.STOPPING, Event.DRAIN): State.STOPPING,
    (State.STOPPING, Event.STOP): State.STOPPING,
    (State.STOPPING, Event.EXITED): State.DEAD,
}


class IllegalTransition(Exception):
    """An event that can not happen in a state: a fault of the supervisor."""


def advance(state: State, event: Event) -> State:
    """Return the state after `event`. DEAD absorbs everything; any other gap in the table is a bug and raises."""
    if state is State.DEAD:
        return State.DEAD
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a worker that is {state.value} can not meet '{event.value}'") from None


def diagram() -> str:
    """Return the table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> starting: spawned"]
    lines += [
        f"    {old.value} --> {new.value}: {event.value}" for (old, event), new in TRANSITIONS.items() if old != new
    ]
    lines.append("    dead --> [*]")
    return "\n".join(lines)
