"""Which calls a trial's filter traps: all that its schedule, its scheduler or its roles need, and
no other. Pure."""

from __future__ import annotations

from functools import lru_cache

from .._kernel.bpf import ArgTest, Traps, program
from .._kernel.hypercall import NUMBER as HYPERCALL
from .._kernel.uapi import SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_SET_MODE_FILTER
from ..calls import BY_NR, NR, matching
from ..fault import HoldFault
from ..schedule import Schedule
from .init import HAND_OVER_FLAGS
from .weaknesses import ONLY_WATCHED

#: What roles are made of: new programs, and ends. Births too, in controlled mode; in free mode a
#: signal may arrive between the trap and its receipt and take the call back, and no program is
#: ready for a fork(2) that fails with EINTR, so there children are found when they first call. Ends
#: are taken all the same, though the same may befall them (docs/explanation/limits.md): when a
#: parent is gone, nothing tells whose its children were.
_LIFE = ("execve", "execveat", "exit", "exit_group")
#: A child gets its limits at its first trapped call: no call that a limit changes may come before.
_LIMITED = ("brk", "mmap", "mremap", "mlock", "getrlimit", "setrlimit", "prlimit64")

#: What the vDSO, once overwritten, does by call: the clock is read, random bytes are drawn;
#: and what else shows the time.
_HELD = ("clock_gettime", "gettimeofday", "time", "getrandom", "sysinfo", "times", "getrusage")

#: mmap(2) of memory that others may see: MAP_SHARED, or with more checks MAP_SHARED_VALIDATE
_SHARED = (ArgTest(3, "any", 1),)

#: The first calls of a new thread: it must stop before it does anything of its own.
_OF_THREADS = ("set_tid_address", "set_robust_list", "rseq")

_TESTS = {
    # init's hand-over of the listener must not wait for an answer by the one who waits for the
    # listener
    NR["sendmsg"]: (ArgTest(2, "ne", HAND_OVER_FLAGS),),
    # a subject that wants a listener of its own is refused by name; its ordinary filters are its
    # own affair
    NR["seccomp"]: (
        ArgTest(0, "eq", SECCOMP_SET_MODE_FILTER),
        ArgTest(1, "any", SECCOMP_FILTER_FLAG_NEW_LISTENER),
    ),
}


def filter_of(schedule: Schedule, *, watch_listen: bool) -> bytes:
    """The filter for trials of *schedule*: most schedules have the same, so it is built once."""
    return _program(frozenset(traps_of(schedule, watch_listen=watch_listen).items()))


@lru_cache(maxsize=64)
def _program(traps: frozenset[tuple[int, tuple[ArgTest, ...]]]) -> bytes:
    return program(dict(traps))


def traps_of(schedule: Schedule, *, watch_listen: bool) -> Traps:
    """Call number -> argument tests. Controlled mode traps by the call table, free mode what the
    faults name."""
    names = {name for at in schedule.faults for name in at.calls()}
    names |= {
        name
        for at in schedule.faults
        if isinstance(at.fault, HoldFault) and at.fault.until is not None
        for name in matching(at.fault.until.call)
    }
    every = schedule.mode == "controlled" or any(
        at.fault.kind == "crash-after" for at in schedule.faults
    )
    if schedule.limits:
        names.update(_LIMITED)
    if every or schedule.limits:  # crash-after kills at the next call, whichever that is
        names |= {call.name for call in BY_NR.values() if call.trapped}
    names.update(_LIFE)
    names.add("seccomp")
    if watch_listen:
        names.add("listen")
    traps = {NR[name]: _TESTS.get(NR[name], ()) for name in names}
    traps[HYPERCALL] = ()
    if schedule.mode == "controlled":
        traps |= {NR[name]: () for name in (*_HELD, *_OF_THREADS)}
        traps = {nr: _SHARED if nr == NR["mmap"] else () for nr in ONLY_WATCHED} | traps
    if "seccomp" in {name for at in schedule.faults for name in at.calls()}:
        traps[NR["seccomp"]] = ()
    return traps
