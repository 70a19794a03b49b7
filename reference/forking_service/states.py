"""Every way that a connection, a child and the service itself can go, as one table.

A row is (state, event) -> state. What is not in the table cannot happen: `after` says so, naming
both. Nothing here does input or output.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """A state, with what it means. Names begin with whose state it is."""

    CONNECTION_READING = "its request is not complete"
    CONNECTION_FORKED = "a child was forked for it, and it will hear of that child's end"
    CONNECTION_ANSWERED = "its last reply is being sent"
    CONNECTION_LINGERING = "all is sent; what the client still sends is thrown away"
    CONNECTION_CLOSED = "closed"

    CHILD_PREPARING = "forked; its client has heard nothing"
    CHILD_AWAITED = "ready, and its client has been told; it waits for its FIFOs to be opened"
    CHILD_RUNNING = "it runs its command"
    CHILD_ENDED = "reaped"

    SERVICE_SERVING = "listening"
    SERVICE_WAITING = "no longer listening; children may take their time"
    SERVICE_INTERRUPTING = "children have got SIGINT"
    SERVICE_KILLING = "children have got SIGKILL"
    SERVICE_ENDED = "nothing is left to wait for"


class Event(Enum):
    """What makes a state change."""

    FORKED = "a child was forked"
    ANSWERED = "the last reply was decided"
    SENT = "the last reply is out"
    SENT_EARLY = "the last reply is out while the client is still sending"
    CLOSED = "closed, for whatever reason"

    READY = "the child says that it is ready"
    CONNECTED = "the child says that its FIFOs are open"
    DIED = "the child was reaped"

    STOP = "told to stop"
    STOP_NOW = "told to stop without waiting"
    TIME_UP = "the time for this state is over"
    ALL_DONE = "no child runs and no reply is on its way"


_S = State
_E = Event

TABLE: dict[tuple[State, Event], State] = {
    (_S.CONNECTION_READING, _E.FORKED): _S.CONNECTION_FORKED,
    (_S.CONNECTION_READING, _E.ANSWERED): _S.CONNECTION_ANSWERED,
    (_S.CONNECTION_READING, _E.CLOSED): _S.CONNECTION_CLOSED,
    (_S.CONNECTION_FORKED, _E.ANSWERED): _S.CONNECTION_ANSWERED,
    (_S.CONNECTION_FORKED, _E.CLOSED): _S.CONNECTION_CLOSED,
    (_S.CONNECTION_ANSWERED, _E.SENT): _S.CONNECTION_CLOSED,
    (_S.CONNECTION_ANSWERED, _E.SENT_EARLY): _S.CONNECTION_LINGERING,
    (_S.CONNECTION_ANSWERED, _E.CLOSED): _S.CONNECTION_CLOSED,
    (_S.CONNECTION_LINGERING, _E.CLOSED): _S.CONNECTION_CLOSED,
    (_S.CONNECTION_CLOSED, _E.CLOSED): _S.CONNECTION_CLOSED,
    #
    (_S.CHILD_PREPARING, _E.READY): _S.CHILD_AWAITED,
    (_S.CHILD_PREPARING, _E.DIED): _S.CHILD_ENDED,
    (_S.CHILD_AWAITED, _E.CONNECTED): _S.CHILD_RUNNING,
    (_S.CHILD_AWAITED, _E.DIED): _S.CHILD_ENDED,
    (_S.CHILD_RUNNING, _E.DIED): _S.CHILD_ENDED,
    #
    (_S.SERVICE_SERVING, _E.STOP): _S.SERVICE_WAITING,
    (_S.SERVICE_SERVING, _E.STOP_NOW): _S.SERVICE_KILLING,
    (_S.SERVICE_WAITING, _E.STOP): _S.SERVICE_WAITING,
    (_S.SERVICE_WAITING, _E.STOP_NOW): _S.SERVICE_KILLING,
    (_S.SERVICE_WAITING, _E.TIME_UP): _S.SERVICE_INTERRUPTING,
    (_S.SERVICE_WAITING, _E.ALL_DONE): _S.SERVICE_ENDED,
    (_S.SERVICE_INTERRUPTING, _E.STOP): _S.SERVICE_INTERRUPTING,
    (_S.SERVICE_INTERRUPTING, _E.STOP_NOW): _S.SERVICE_KILLING,
    (_S.SERVICE_INTERRUPTING, _E.TIME_UP): _S.SERVICE_KILLING,
    (_S.SERVICE_INTERRUPTING, _E.ALL_DONE): _S.SERVICE_ENDED,
    (_S.SERVICE_KILLING, _E.STOP): _S.SERVICE_KILLING,
    (_S.SERVICE_KILLING, _E.STOP_NOW): _S.SERVICE_KILLING,
    (_S.SERVICE_KILLING, _E.TIME_UP): _S.SERVICE_ENDED,
    (_S.SERVICE_KILLING, _E.ALL_DONE): _S.SERVICE_ENDED,
}


def after(state: State, event: Event) -> State:
    """The state after *event* in *state*. AssertionError where the table has no such row."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise AssertionError(f"{state.name}: {event.name} cannot happen here") from None
