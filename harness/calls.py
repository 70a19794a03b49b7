"""System calls, errno values and signals: names, numbers, and what is known of each call.

The table is data, syscalls.tsv beside this file, read once when this module is imported. Nothing
here asks the kernel: the same names mean the same on every machine. Numbers are x86-64's.

The columns of the table:

    arch      the machine whose number it is
    nr, name  <asm/unistd_64.h>, without the __NR_; an old kernel does not have all of them
    families  what it is about, for patterns; `-` is none
                io       moves data on a descriptor
                net      sockets, their data calls included
                fs       names and files, the data calls on files included
                process  tasks, credentials, signals, waiting, and what tasks talk through: pipes,
                         futexes, System V and POSIX message queues, semaphores, shared memory
                time     clocks, timers, sleeps and waits that take a time-out
    args      a letter for each argument, how it enters the trace; `.` is no argument at all
                f  descriptor             p  path, or another string that ends in a zero byte
                n  length or number       i  small signed number
                x  flags, in hex          o  mode, in octal
                s  signal                 h  what is to be done with a signal: `default`,
                                             `ignored`, `handled`, `restarts` (a handler with
                                             SA_RESTART); `-` when that is only asked
                -  left out: what may differ between equal runs, as pointers, ids of tasks,
                   contents and times do
    trapped   y: controlled mode traps it, because another task could notice it or it may wait
    restart   what the kernel answers when a signal interrupts it. Source: signal(7)
                sys      -ERESTARTSYS: carried out again when the handler has SA_RESTART, else EINTR
                nohand   EINTR whenever a handler runs
                no       never interrupted: the handler runs, then the call is carried out
    short     which way it moves bytes, where doing only some of them is allowed: in, out, copy;
              `-` is none
    blocks    y: it may sleep until another task does something, or until a time
"""

import errno
import os
import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Literal

from harness.errors import ScheduleError, quoted, unknown

Restart = Literal["sys", "nohand", "no"]
Short = Literal["in", "out", "copy", "-"]

ARCH = "x86_64"
FAMILIES: tuple[str, ...] = ("io", "net", "fs", "process", "time")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A row of the table; the columns are told at the head of this module."""

    nr: int
    name: str
    families: frozenset[str]
    args: str
    trapped: bool
    restart: Restart
    short: Short
    blocks: bool


def _table() -> list[Call]:
    """The rows of this machine. A wrong row is a bug of ours, and tests find it."""
    path = os.path.join(os.path.dirname(__file__), "syscalls.tsv")
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    # Most rows share their families, and one set made once is what keeps the import short.
    sets = {"-": frozenset[str]()}
    calls = []
    for line in lines[1:]:
        arch, nr, name, families, args, trapped, restart, short, blocks = line.split("\t")
        if arch != ARCH:
            continue
        if families not in sets:
            sets[families] = frozenset(families.split(","))
        call = Call(
            nr=int(nr),
            name=name,
            families=sets[families],
            args="" if args == "." else args,
            trapped=trapped == "y",
            restart=restart,  # type: ignore[arg-type] # a word of the file
            short=short,  # type: ignore[arg-type] # a word of the file
            blocks=blocks == "y",
        )
        calls.append(call)
    return calls


CALLS: dict[str, Call] = {call.name: call for call in _table()}
BY_NR: dict[int, Call] = {call.nr: call for call in CALLS.values()}
NR: dict[str, int] = {call.name: call.nr for call in CALLS.values()}
TRAPPED: frozenset[str] = frozenset(call.name for call in CALLS.values() if call.trapped)

# The C library's names for calls that the kernel has under one name only.
ALIASES: dict[str, str] = {
    "pread": "pread64",
    "pwrite": "pwrite64",
    "recv": "recvfrom",
    "send": "sendto",
}

# What people call a call, where the nearest word by spelling is another one. For errors only: which
# call a function makes is the C library's to change.
_KERNEL_NAME = {
    "aio_read": "pread64",
    "aio_write": "pwrite64",
    "execl": "execve",
    "execlp": "execve",
    "execv": "execve",
    "execvp": "execve",
    "fdopendir": "openat",
    "fopen": "openat",
    "fread": "read",
    "fstatat": "newfstatat",
    "fwrite": "write",
    "killpg": "kill",
    "lockf": "fcntl",
    "malloc": "brk",
    "mkfifo": "mknodat",
    "mkstemp": "openat",
    "mq_receive": "mq_timedreceive",
    "mq_send": "mq_timedsend",
    "open64": "openat",
    "opendir": "openat",
    "posix_fallocate": "fallocate",
    "posix_spawn": "clone3",
    "pselect": "pselect6",
    "pthread_create": "clone3",
    "raise": "tgkill",
    "readdir": "getdents64",
    "remove": "unlink",
    "sigaction": "rt_sigaction",
    "signal": "rt_sigaction",
    "sigprocmask": "rt_sigprocmask",
    "sigsuspend": "rt_sigsuspend",
    "sigtimedwait": "rt_sigtimedwait",
    "sleep": "clock_nanosleep",
    "umount": "umount2",
    "usleep": "clock_nanosleep",
    "wait": "wait4",
    "wait3": "wait4",
    "waitpid": "wait4",
}

_GLOB = re.compile(r"[*?\[]")
_SHOWN = "a kernel name, a glob, or one of io net fs process time"


def numbers(names: str) -> frozenset[int]:
    """The numbers of the calls in *names*, set apart by spaces; all of them must be known."""
    return frozenset(NR[name] for name in names.split())


@lru_cache(maxsize=1024)
def matching(pattern: str) -> frozenset[str]:
    """The names of the calls that *pattern* means: never none, ScheduleError instead.

    A family or a glob means the trapped calls of it, because the others could not be seen by any
    other task; a glob that has no trapped one means the others. An exact name means that call,
    trapped or not. `time` is the family; the call of that name, which no C library makes, is
    `[t]ime`.
    """
    if pattern in FAMILIES:
        return frozenset(name for name in TRAPPED if pattern in CALLS[name].families)
    name = ALIASES.get(pattern, pattern)
    if name in CALLS:
        return frozenset((name,))
    if pattern == "*":
        return TRAPPED
    if _GLOB.search(pattern):
        match = re.compile(translate(pattern)).match
        found = frozenset(name for name in CALLS if match(name))
        if found:
            return found & TRAPPED or found
    raise ScheduleError(_unknown_call(pattern))


def _unknown_call(pattern: str) -> str:
    """One line that names the nearest call."""
    if pattern in _KERNEL_NAME:
        return (
            f"unknown call {quoted(pattern)}: the kernel does not call it that; "
            f"did you mean {_KERNEL_NAME[pattern]!r}?"
        )
    message = unknown("call", pattern, [*CALLS, *ALIASES, *FAMILIES])
    return message if "did you mean" in message else f"{message}: it is {_SHOWN}"


_ERRNO: dict[str, int] = {name: nr for name, nr in vars(errno).items() if name[0] == "E"}


def errno_number(name: str) -> int:
    """The number of ENOSPC and its like. Source: errno(3)."""
    try:
        return _ERRNO[name]
    except KeyError:
        raise ScheduleError(_unknown_upper("errno", name, _ERRNO, "errno(3)")) from None


def errno_name(number: int) -> str:
    """The name of a positive errno number; the number itself where it has none."""
    return errno.errorcode.get(number, str(number))


# In the order of their numbers, from 1. Source: signal(7), x86.
_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT "
    "CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
# As the C library counts them: it keeps the kernel's first two, 32 and 33, for itself.
_RTMIN, _RTMAX = 34, 64
_SIGNAL_NAME: dict[int, str] = {
    **dict(enumerate(_SIGNALS.split(), 1)),
    **{nr: f"RTMIN{nr - _RTMIN:+d}" for nr in range(32, _RTMAX)},
    _RTMIN: "RTMIN",
    _RTMAX: "RTMAX",
}
_SIGNAL_NUMBER: dict[str, int] = {name: nr for nr, name in _SIGNAL_NAME.items()} | {
    "CLD": 17,
    "IOT": 6,
    "POLL": 29,
}


def signal_number(name: str) -> int:
    """The number of TERM or SIGTERM, and of RTMIN+1 and its like. Source: signal(7)."""
    try:
        return _SIGNAL_NUMBER[name.removeprefix("SIG")]
    except KeyError:
        message = _unknown_upper("signal", name, _SIGNAL_NUMBER, "signal(7)")
        raise ScheduleError(message) from None


def signal_name(number: int) -> str:
    """TERM for 15: without the SIG. What is no signal's number is shown as the number."""
    return _SIGNAL_NAME.get(number, str(number))


def _unknown_upper(what: str, word: str, words: dict[str, int], page: str) -> str:
    """One line that names the nearest of *words*, however *word* was typed."""
    upper = word.upper().removeprefix("SIG")
    message = unknown(what, upper, words).replace(quoted(upper), quoted(word), 1)
    return message if "did you mean" in message else f"{message}: see {page}"
