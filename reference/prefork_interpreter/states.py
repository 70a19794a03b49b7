"""Every way that a launcher, a server and a monitor can go, as one table.

A row is (state, event) -> state. What is not in the table cannot happen: `after` says so, naming
both. Nothing here does input or output.
"""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """A state, with what it means. Names begin with whose state it is."""

    LAUNCHER_CONNECTING = "looks for a server that greets"
    LAUNCHER_LOCKING = "waits for the lock, to look again, and to start one if there is none"
    LAUNCHER_STARTING = "holds the lock; the script sets itself up"
    LAUNCHER_ASKING = "has been greeted; sends descriptors and message"
    LAUNCHER_WAITING = "waits for the status"
    LAUNCHER_ENDED = "has the status, or an error"

    SERVER_SERVING = "accepts calls"
    SERVER_FULL = "as many calls as it may have; the others wait"
    SERVER_BACKING_OFF = "accepting failed; it is left alone for a moment"
    SERVER_ENDED = "accepts no more; calls that run go on without it"

    MONITOR_SIGNALLED = "has greeted; the first byte is to come"
    MONITOR_STDIN = "the descriptor for standard input is to come"
    MONITOR_STDOUT = "the descriptor for standard output is to come"
    MONITOR_STDERR = "the descriptor for standard error is to come"
    MONITOR_SIZE = "the length of the message is to come"
    MONITOR_MESSAGE = "the message is to come"
    MONITOR_RUNNING = "the executor runs"
    MONITOR_REAPING = "SIGINT is sent to all that is left of the call; the executor is reaped"
    MONITOR_ENDED = "nothing is left to do"


class Event(Enum):
    """What makes a state change."""

    GREETED = "a monitor has greeted"
    NOBODY = "nobody is there, or whoever is leaves without a greeting"
    SENT = "the request is out"
    ANSWERED = "the status has come"
    FAILED = "it cannot go on"

    CALLED = "a call has begun, and there may be no more at once"
    REAPED = "a call has ended"
    ACCEPT_FAILED = "a call cannot be accepted, or no monitor be forked for it"
    AGAIN = "the moment is over"
    STOPPED = "idle, out of date, unreachable, or too many errors"

    BYTE = "the byte, or the length, has come"
    COMPLETE = "the request is complete"
    CALLER_LEFT = "the caller has gone"
    REFUSED = "what has come is no request, or it has not come in time"
    EXECUTOR_ENDED = "the executor has ended"


_S = State
_E = Event

_RECEIVING = (
    _S.MONITOR_SIGNALLED,
    _S.MONITOR_STDIN,
    _S.MONITOR_STDOUT,
    _S.MONITOR_STDERR,
    _S.MONITOR_SIZE,
    _S.MONITOR_MESSAGE,
)

TABLE: dict[tuple[State, Event], State] = {
    (_S.LAUNCHER_CONNECTING, _E.GREETED): _S.LAUNCHER_ASKING,
    (_S.LAUNCHER_CONNECTING, _E.NOBODY): _S.LAUNCHER_LOCKING,
    (_S.LAUNCHER_CONNECTING, _E.FAILED): _S.LAUNCHER_ENDED,
    (_S.LAUNCHER_LOCKING, _E.GREETED): _S.LAUNCHER_ASKING,
    (_S.LAUNCHER_LOCKING, _E.NOBODY): _S.LAUNCHER_STARTING,
    (_S.LAUNCHER_LOCKING, _E.FAILED): _S.LAUNCHER_ENDED,
    (_S.LAUNCHER_STARTING, _E.GREETED): _S.LAUNCHER_ASKING,
    (_S.LAUNCHER_STARTING, _E.FAILED): _S.LAUNCHER_ENDED,
    (_S.LAUNCHER_ASKING, _E.SENT): _S.LAUNCHER_WAITING,
    (_S.LAUNCHER_ASKING, _E.FAILED): _S.LAUNCHER_ENDED,
    (_S.LAUNCHER_WAITING, _E.ANSWERED): _S.LAUNCHER_ENDED,
    (_S.LAUNCHER_WAITING, _E.FAILED): _S.LAUNCHER_ENDED,
    #
    (_S.SERVER_SERVING, _E.CALLED): _S.SERVER_FULL,
    (_S.SERVER_SERVING, _E.REAPED): _S.SERVER_SERVING,
    (_S.SERVER_SERVING, _E.ACCEPT_FAILED): _S.SERVER_BACKING_OFF,
    (_S.SERVER_SERVING, _E.STOPPED): _S.SERVER_ENDED,
    (_S.SERVER_FULL, _E.REAPED): _S.SERVER_SERVING,
    (_S.SERVER_FULL, _E.STOPPED): _S.SERVER_ENDED,
    (_S.SERVER_BACKING_OFF, _E.REAPED): _S.SERVER_BACKING_OFF,
    (_S.SERVER_BACKING_OFF, _E.AGAIN): _S.SERVER_SERVING,
    (_S.SERVER_BACKING_OFF, _E.STOPPED): _S.SERVER_ENDED,
    #
    (_S.MONITOR_SIGNALLED, _E.BYTE): _S.MONITOR_STDIN,
    (_S.MONITOR_STDIN, _E.BYTE): _S.MONITOR_STDOUT,
    (_S.MONITOR_STDOUT, _E.BYTE): _S.MONITOR_STDERR,
    (_S.MONITOR_STDERR, _E.BYTE): _S.MONITOR_SIZE,
    (_S.MONITOR_SIZE, _E.BYTE): _S.MONITOR_MESSAGE,
    (_S.MONITOR_MESSAGE, _E.COMPLETE): _S.MONITOR_RUNNING,
    **{(state, _E.CALLER_LEFT): _S.MONITOR_ENDED for state in _RECEIVING},
    **{(state, _E.REFUSED): _S.MONITOR_ENDED for state in _RECEIVING},
    (_S.MONITOR_RUNNING, _E.EXECUTOR_ENDED): _S.MONITOR_REAPING,
    (_S.MONITOR_RUNNING, _E.CALLER_LEFT): _S.MONITOR_REAPING,
    (_S.MONITOR_RUNNING, _E.REFUSED): _S.MONITOR_ENDED,
    (_S.MONITOR_REAPING, _E.EXECUTOR_ENDED): _S.MONITOR_ENDED,
}


def after(state: State, event: Event) -> State:
    """The state after *event* in *state*. AssertionError where the table has no such row."""
    try:
        return TABLE[state, event]
    except KeyError:
        raise AssertionError(f"{state.name}: {event.name} cannot happen here") from None
