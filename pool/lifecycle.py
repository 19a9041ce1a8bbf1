"""A worker's life as one pure table of states and events. Terminal states absorb every event.

The diagram in docs/explanation/pool.md is generated from `TRANSITIONS`; every change of state goes through `advance`.
"""

from enum import Enum


class State(Enum):
    """Where a worker is in its life."""

    STARTING = "starting"
    READY = "ready"
    SUSPENDED = "suspended"
    DRAINING = "draining"
    STOPPING = "stopping"
    DEAD = "dead"


class Event(Enum):
    """What can happen to a worker."""

    PROVED = "proved"
    """It has imported, warmed up and answered a canary."""
    SUSPEND = "suspend"
    """Its process is stopped, as by SIGSTOP: it is given no calls for now."""
    RESUME = "resume"
    """Its process goes on."""
    RETIRE = "retire"
    """Its replacement is ready: it is to finish its calls and take no more."""
    DRAIN = "drain"
    """It is to finish its calls and take no more, replaced or not."""
    STOP = "stop"
    """It is to end now."""
    EXITED = "exited"
    """Its process has ended, for whatever reason."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.STARTING, Event.PROVED): State.READY,
    (State.STARTING, Event.DRAIN): State.STOPPING,
    (State.STARTING, Event.STOP): State.STOPPING,
    (State.STARTING, Event.EXITED): State.DEAD,
    (State.READY, Event.SUSPEND): State.SUSPENDED,
    (State.READY, Event.RETIRE): State.DRAINING,
    (State.READY, Event.DRAIN): State.DRAINING,
    (State.READY, Event.STOP): State.STOPPING,
    (State.READY, Event.EXITED): State.DEAD,
    (State.SUSPENDED, Event.RESUME): State.READY,
    (State.SUSPENDED, Event.RETIRE): State.DRAINING,
    (State.SUSPENDED, Event.DRAIN): State.DRAINING,
    (State.SUSPENDED, Event.STOP): State.STOPPING,
    (State.SUSPENDED, Event.EXITED): State.DEAD,
    (State.DRAINING, Event.RETIRE): State.DRAINING,
    (State.DRAINING, Event.DRAIN): State.DRAINING,
    (State.DRAINING, Event.STOP): State.STOPPING,
    (State.DRAINING, Event.EXITED): State.DEAD,
    (State.STOPPING, Event.PROVED): State.STOPPING,
    (State.STOPPING, Event.RETIRE): State.STOPPING,
    (State.STOPPING, Event.DRAIN): State.STOPPING,
    (State.STOPPING, Event.STOP): State.STOPPING,
    (State.STOPPING, Event.EXITED): State.DEAD,
}
"""A worker whose order is to retire is READY until a spare is: `RETIRE` comes with the spare, never before."""


GOES_BACK = {(State.SUSPENDED, Event.RESUME)}
"""The only steps that lead back to a state before."""


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
