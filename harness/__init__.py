"""Run any Linux command as a trial: fail it at a chosen system call, record it, replay it exactly.

The public names are those below; everything else may change. Importing this package imports
nothing but itself: a name brings its module with it at its first use.

A map, top to bottom; a module imports only from rows above its own, or from earlier in its row:

    0  errors.py                      one tree of errors, named after who must act
    1  strict.py calls.py duration.py trigger.py fault.py schedule.py invariant.py
       trace.py history.py linearizability.py weakness.py verdict.py histories.py workload.py
       fingerprint.py recording.py
                                      values: frozen, checked when made, no input or output
    2  _kernel/                       the only place with ctypes: the kernel's calls and structures
       client.py                      what a workload is given
    3  _supervisor/                   answers the subject's system calls: a pure core, and a loop
    4  subject.py failures.py descriptors.py points.py excuses.py served.py oracle.py
                                      what is run, what can go wrong, and how it is judged
    5  _engine/                       a trial from start to verdict; replay, sweep, explore, shrink
    6  cli.py planning.py sweeping.py exploring.py shrinking.py console.py doctor.py probe.py
       report/ _pytest/ strategies.py stateful.py
                                      how a user reaches it; the last two are for Hypothesis
"""

__version__ = "0.1.0"

# Type checkers take this name as true. Not imported from typing: that alone costs milliseconds.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from harness.client import Client as Client
    from harness.errors import HarnessError as HarnessError
    from harness.errors import MachineError as MachineError
    from harness.errors import RecordingError as RecordingError
    from harness.errors import ReplayDiverged as ReplayDiverged
    from harness.errors import RunnerError as RunnerError
    from harness.errors import ScheduleError as ScheduleError
    from harness.errors import SubjectError as SubjectError
    from harness.errors import UsageError as UsageError
    from harness.fault import CrashAfterFault as CrashAfterFault
    from harness.fault import CrashFault as CrashFault
    from harness.fault import DelayFault as DelayFault
    from harness.fault import EofFault as EofFault
    from harness.fault import ErrnoFault as ErrnoFault
    from harness.fault import Fault as Fault
    from harness.fault import HoldFault as HoldFault
    from harness.fault import PauseFault as PauseFault
    from harness.fault import ResetFault as ResetFault
    from harness.fault import ShortFault as ShortFault
    from harness.fault import SignalFault as SignalFault
    from harness.history import Operation as Operation
    from harness.history import Reply as Reply
    from harness.invariant import Broken as Broken
    from harness.invariant import Invariant as Invariant
    from harness.linearizability import Model as Model
    from harness.recording import Recording as Recording
    from harness.schedule import FaultAt as FaultAt
    from harness.schedule import Limit as Limit
    from harness.schedule import Schedule as Schedule
    from harness.schedule import Switch as Switch
    from harness.subject import Subject as Subject
    from harness.subject import listening as listening
    from harness.trace import Event as Event
    from harness.trace import Trace as Trace
    from harness.trigger import Trigger as Trigger
    from harness.verdict import Finding as Finding
    from harness.verdict import Outcome as Outcome
    from harness.verdict import Verdict as Verdict

# Where each name lives. Only type checkers read the imports above; tests/tidy/ holds the two equal.
_HOME = {
    "Client": "client",
    "HarnessError": "errors",
    "MachineError": "errors",
    "RecordingError": "errors",
    "ReplayDiverged": "errors",
    "RunnerError": "errors",
    "ScheduleError": "errors",
    "SubjectError": "errors",
    "UsageError": "errors",
    "CrashAfterFault": "fault",
    "CrashFault": "fault",
    "DelayFault": "fault",
    "EofFault": "fault",
    "ErrnoFault": "fault",
    "Fault": "fault",
    "HoldFault": "fault",
    "PauseFault": "fault",
    "ResetFault": "fault",
    "ShortFault": "fault",
    "SignalFault": "fault",
    "Operation": "history",
    "Reply": "history",
    "Broken": "invariant",
    "Invariant": "invariant",
    "Model": "linearizability",
    "Recording": "recording",
    "FaultAt": "schedule",
    "Limit": "schedule",
    "Schedule": "schedule",
    "Switch": "schedule",
    "Subject": "subject",
    "listening": "subject",
    "Event": "trace",
    "Trace": "trace",
    "Trigger": "trigger",
    "Finding": "verdict",
    "Outcome": "verdict",
    "Verdict": "verdict",
}

# Hidden from type checkers, to which a module __getattr__ means that any name exists.
if not TYPE_CHECKING:

    def __getattr__(name):
        from importlib import import_module

        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'harness' has no attribute {name!r}")
        value = getattr(import_module(f"harness.{home}"), name)
        globals()[name] = value  # so that the next use does not come here
        return value

    def __dir__():
        return sorted({*globals(), *_HOME})
