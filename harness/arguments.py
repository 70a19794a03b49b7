"""The arguments of the command line, and the texts that teach it. Parses; does nothing."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from . import __version__
from .calls import signal_number
from .errors import UsageError
from .subject import DEADLINE_S, STEP_LIMIT

Act = Callable[[argparse.Namespace], int]

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h|)")
_PORT = re.compile("[1-9][0-9]{0,4}")
_PORT_MAX = 65535
_DIGITS_MAX = 20
#: Of `harness explore`; the engine knows what they are.
STRATEGIES = ("mixed", "random", "pct", "pos", "bounded", "delay")
_SECONDS_MAX = 1e9  # as a recording holds
_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}

_TOP = """\
harness runs a command as a trial: in namespaces of its own, one task at a time, with faults at
chosen system calls, or at each of them in turn; and runs a recorded trial again, exactly.

  harness run --fault 'write#1=ENOSPC' -- sh -c 'echo hi'    what does it do when the disk is full?
  harness run --fault 'read#*=short(1)' -- gzip -c FILE      and when each read gives one byte?
  harness sweep -- sort -o FILE FILE                         which failure of a call is it blind to?
  harness explore -- ./script                                does its result depend on who is first?
  harness run --seed 7 --record r.json -- ./script           another interleaving, recorded
  harness replay r.json                                      the same again
  harness shrink r.json                                      with as little going wrong as will do
  harness doctor                                             what can this machine do?
"""

_RUN = """\
Run CMD as a trial. What it writes never reaches this machine (except through --write); its output
does. A fault is [ROLE:]CALL[#N][@PHASE]=FAULT:

  ROLE   main, the command itself (service, when there are clients); main/0 its first child,
         main/0/2 that one's third; main#1 its first thread; client/0 ...
         A pattern: * within a level, ** across levels
  CALL   a system call by its kernel name, a glob, or a family: io net fs process time
  N      the first (default), 2 the second, * every one, 3+ from the third; counted within the
         role from its first call on, in whatever phase
  PHASE  start, work (default), stop, settle
  FAULT  ENOSPC or any other errno   the call fails
         short(N)                    it moves N bytes only
         eof, reset                  the other end of the socket or pipe has ended, or reset it
         delay(2s), pause(2s)        it is made later; the process is stopped there for a while
         hold                        it never returns
         hold(until=ROLE:CALL#N)     it is made when that has happened
         crash, crash(SEGV)          the process is killed at the call
         crash-after                 it is killed when the call is done
         signal(TERM)                the signal arrives at the call
         short(1)+delay(2s)          delay, pause and hold(until=...) go with another

exit status: the command's own, 128+N when signal N killed it (with clients: of service and clients
the first that failed); 1 it exits 0, but an invariant was broken; 3 a fault did not fire, or an
invariant means nobody; 124 it did not end (deadline, stuck, step limit); 125 harness could not run
it, or not pass its output on; 126 not executable; 127 not found.
"""


_SWEEP = """\
Run CMD once for each thing that can go wrong at each system call that it makes, and judge each run
against one in which nothing does: it must give the same result, or be seen to fail; and it must
end, and leave nothing running. What is found is recorded in .harness/ and can be replayed.

KINDS, separated by commas:
  errno         each failure that the manual page has for the call, and that a correct program must
                expect; or a part of them by its cause: space device descriptors processes memory
                peer interrupted permission; or one of them: ENOSPC
  short         each transfer moves one byte only; short(N): N bytes
  crash         the task is killed at the call, where it does more than look; crash(SEGV)
  crash-after   it is killed when the call is done
  eof, reset    the other end of what is read or written has ended, or reset the connection
  delay, pause  the call is made 2 s later, the process stopped for 2 s; delay(5m), pause(5m)
  hold          the call never returns; hold(until=ROLE:CALL#N): until that has happened
  signal(TERM)  the signal arrives at the call

exit status: 0 nothing found; 1 a finding; 2 usage, or it cannot run; 3 a trial said nothing.
"""


_EXPLORE = """\
Run CMD again and again, each time with another order of what its tasks do, and judge each run
against the ordinary one: the result must not depend on who goes first. What is found is shrunk to
the fewest faults and switches that do it, recorded in .harness/, and can be replayed.

STRATEGY:
  mixed    random, pos, pct, bounded, and orders like those that did something new, in turn
  random   who goes next is drawn at each step
  pct      by priorities that change at one or two steps (d = 2, 3)
  pos      by priorities that are drawn again where calls conflict
  bounded  each order with at most N preemptions, the fewest first; says when it has had them all
  delay    each order with at most N deviations from the default order, likewise

exit status: 0 nothing found; 1 a finding; 2 usage, or it cannot run; 3 a trial said nothing, or a
fault did not fire.
"""


class _Parser(argparse.ArgumentParser):
    """Argument errors as ours: one line, and the exit status of the subcommand."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)  # a script means what it says

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parser(acts: Mapping[str, Act]) -> argparse.ArgumentParser:
    """The whole command line; *acts* has the function for each subcommand by its name."""
    raw = argparse.RawDescriptionHelpFormatter
    top = _Parser(prog="harness", description=_TOP, formatter_class=raw)
    top.add_argument("--version", action="version", version=f"harness {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="run a command under faults, as a trial",
        usage="harness run [OPTION ...] -- CMD [ARG ...]",
        description=_RUN,
        formatter_class=raw,
    )
    add = run.add_argument
    add(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="a fault (repeatable), as above",
    )
    add(
        "--schedule",
        type=_file,
        metavar="FILE",
        help="faults, switches and limits from a JSON file",
    )
    add(
        "--seed",
        type=int,
        metavar="N",
        help="draw from N what is random, and which task goes next at each step",
    )
    add(
        "--mode",
        choices=("controlled", "free"),
        help="controlled (default): one task at a time; free: faults only, all at once",
    )
    add(
        "--record",
        type=_file,
        metavar="FILE",
        help="write a recording, for harness replay; it holds the files that the trial read, so "
        "only you may read it",
    )
    _add_common(add)
    _add_debug(add)
    add(
        "--write",
        type=_file,
        action="append",
        default=[],
        metavar="PATH",
        help="let what it writes below PATH through",
    )
    add("-q", "--quiet", action="store_true", help="do not say how it ended")
    run.set_defaults(act=acts["run"])

    _add_sweep(commands, acts["sweep"])

    _add_explore(commands, acts["explore"])
    _add_shrink(commands, acts["shrink"])

    again = commands.add_parser(
        "replay",
        help="run recorded trials again",
        usage="harness replay [OPTION ...] [ID | FILE | DIR | latest]",
        description=(
            "Run a recording again and judge it: REPRODUCED, FIXED, CHANGED or INCONCLUSIVE. "
            "Where it goes another way, the first event that differs is shown, and what has "
            "changed since: programs, libraries, the kernel. "
            "Without a name: every recording in .harness/. Data files are as they were recorded; "
            "the program is the one that is here now. "
            "Exit status: 0 nothing found or fixed; 1 a finding; 2 usage; 3 it cannot be said."
        ),
    )
    again.add_argument(
        "--times", type=_positive, default=1, metavar="N", help="run it N times, and count"
    )
    again.add_argument(
        "--exact",
        action="store_true",
        help="what goes another way than the recorded run is DIVERGED (3), whatever is found",
    )
    _add_debug(again.add_argument)
    again.add_argument(
        "--coverage",
        metavar="DIR",
        help="measure which lines its functions run; then: coverage combine DIR",
    )
    _add_oracle(again.add_argument)
    again.add_argument(
        "name",
        type=_file,
        nargs="?",
        metavar="ID|FILE|DIR|latest",
        help="default: all in .harness/",
    )
    again.set_defaults(act=acts["replay"])

    show = commands.add_parser(
        "show",
        help="show a recording",
        description="Show a recording: what was run, what went wrong, and the events around it.",
    )
    show.add_argument("--text", action="store_true", help="as text (the default)")
    show.add_argument(
        "--all", action="store_true", help="every event, not only those around the fault"
    )
    show.add_argument("name", type=_file, metavar="ID|FILE|latest")
    show.set_defaults(act=acts["show"])

    doctor = commands.add_parser(
        "doctor",
        help="what this machine can do",
        description="Try what trials need, and name the command that gives what is missing.",
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(act=acts["doctor"])
    return top


def _add_debug(add: Any) -> None:
    add(
        "--debug",
        action="store_true",
        help="in the foreground, for pdb and breakpoint(): all of its programs read what is typed "
        "here, and no deadline or count of calls ends it",
    )


def _add_sweep(commands: Any, act: Act) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="let each call of a command fail in turn",
        usage="harness sweep [OPTION ...] -- CMD [ARG ...]",
        description=_SWEEP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = sweep.add_argument
    add(
        "--faults",
        type=_words,
        metavar="KINDS",
        help="what goes wrong (default errno,short,crash,crash-after)",
    )
    add(
        "--roles",
        metavar="GLOB",
        help="for whom: service** (default: the command and its descendants, not the clients)",
    )
    add("--calls", default="*", metavar="GLOB", help="at which calls: a name, a glob or a family")
    add(
        "--lasting",
        action="store_true",
        help="let what can last also go wrong from each call on: write#3+=ENOSPC",
    )
    add(
        "--pairs",
        action="store_true",
        help="let a second thing go wrong at each call that is made only after the first",
    )
    add(
        "--prune",
        action="store_true",
        help="of calls after which it goes on alike do not try all; without it, each is tried",
    )
    _add_oracle(add)
    _add_may_differ(add)
    add("-x", "--exitfirst", action="store_true", help="end with the first finding")
    add("--budget", type=_duration, metavar="TIME", help="end after this time, with what was found")
    _add_jobs(add)
    add("--format", choices=("text", "json"), default="text", help="json: for programs")
    add("-q", "--quiet", action="store_true", help="do not say how far it is")
    _add_common(add)
    sweep.set_defaults(act=act)


def _add_explore(commands: Any, act: Act) -> None:
    explore = commands.add_parser(
        "explore",
        help="run a command in other and other orders of events",
        usage="harness explore [OPTION ...] -- CMD [ARG ...]",
        description=_EXPLORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = explore.add_argument
    add(
        "--strategy",
        choices=STRATEGIES,
        default=STRATEGIES[0],
        metavar="STRATEGY",
        help="which orders, as above (default mixed)",
    )
    add(
        "--bound",
        type=_whole,
        metavar="N",
        help="how many preemptions or delays: bounded, delay, mixed (default 2)",
    )
    add("--seed", type=_whole, default=0, metavar="N", help="what is drawn is drawn from N")
    add(
        "--fault",
        action="append",
        default=[],
        metavar="FAULT",
        help="in each trial, as for run (repeatable)",
    )
    add(
        "--faults",
        type=_words,
        default=(),
        metavar="KINDS",
        help="draw up to two faults of these kinds for each trial, as for sweep",
    )
    _add_oracle(add)
    _add_may_differ(add)
    add(
        "--trials",
        type=_positive,
        metavar="N",
        help="end after N trials (default 1000, unless there is a budget)",
    )
    add("--budget", type=_duration, metavar="TIME", help="end after this time")
    _add_jobs(add)
    add("--format", choices=("text", "json"), default="text", help="json: for programs")
    add("-q", "--quiet", action="store_true", help="do not say how far it is")
    _add_common(add)
    explore.set_defaults(act=act)


def _add_shrink(commands: Any, act: Act) -> None:
    shrink = commands.add_parser(
        "shrink",
        help="find a simpler schedule that has the same finding",
        usage="harness shrink [OPTION ...] ID | FILE | latest",
        description=(
            "Find the simplest schedule that still has the finding of a recording: fewer faults, "
            "fewer switches, gentler kinds, earlier calls. No single fault or switch of it can be "
            "left out. It becomes a recording of its own. "
            "Exit status: 0 the finding is gone; 1 it is there; 2 usage; 3 it cannot be said."
        ),
    )
    add = shrink.add_argument
    add("--budget", type=_duration, metavar="TIME", help="end after this time with the best so far")
    _add_oracle(add)
    _add_jobs(add)
    add("-q", "--quiet", action="store_true", help="do not say how far it is")
    add("name", type=_file, metavar="ID|FILE|latest")
    shrink.set_defaults(act=act)


def _add_may_differ(add: Callable[..., Any]) -> None:
    add(
        "--may-differ",
        action="append",
        default=[],
        metavar="REGEX",
        help="what matches it, in a line of its output and files or in a name, is not compared "
        "(repeatable); a line that it matches whole need not be there",
    )


def _add_jobs(add: Callable[..., Any]) -> None:
    add(
        "-j",
        "--jobs",
        type=_positive,
        metavar="N",
        help="how many trials at once (default: one a processor)",
    )


def _add_oracle(add: Callable[..., Any]) -> None:
    add(
        "--oracle",
        action="append",
        default=[],
        metavar="MOD:FN",
        help="a function of yours that judges too: FN(outcome, golden) gives what is wrong",
    )


def _add_common(add: Callable[..., Any]) -> None:
    """What each command that makes trials of its own has."""
    add(
        "--limit",
        action="append",
        default=[],
        metavar="[ROLE:]RES=N",
        help="a resource limit: NOFILE NPROC AS FSIZE STACK",
    )
    add(
        "--invariant",
        action="append",
        default=[],
        metavar="TEXT",
        help="what must hold at every moment (repeatable): descriptors(ROLE) <= N, "
        "zombies(ROLE) <= N, waits(ROLE) <= TIME",
    )
    add(
        "--client",
        action="append",
        default=[],
        metavar="[NAME=]CMD",
        help="run CMD beside it, as role client/NAME (repeatable)",
    )
    add(
        "--ready",
        type=_ready,
        metavar="PATH|:PORT",
        help="start the clients when the service listens there",
    )
    add(
        "--stop",
        type=_signal,
        default="TERM",
        metavar="SIG",
        help="how a service is stopped after its clients (default TERM)",
    )
    add(
        "--stdin",
        type=_file,
        metavar="FILE",
        help="what it reads (default: harness's own standard input)",
    )
    add(
        "--env",
        action="append",
        default=[],
        metavar="K[=V]",
        help="a variable; without V: as it is here (default: PATH as here, LANG=C.UTF-8, "
        "HOME={dir}, PYTHONHASHSEED=0)",
    )
    add(
        "--deadline",
        type=_duration,
        default=DEADLINE_S,
        metavar="TIME",
        help=f"when it must have ended (default {DEADLINE_S:g}s)",
    )
    add(
        "--steps",
        type=_positive,
        default=STEP_LIMIT,
        metavar="N",
        help=f"how many calls it may make (default {STEP_LIMIT})",
    )
    add(
        "--bind",
        type=_file,
        action="append",
        default=[],
        metavar="PATH",
        help="show a path that the trial's own /tmp, /run or /trial hides",
    )
    add("--net", choices=("own", "host"), default="own", help="host: share this machine's network")
    add(
        "command",
        nargs=argparse.REMAINDER,
        metavar="-- CMD ...",
        help="the command and its arguments",
    )


def _duration(text: str) -> float:
    form = _DURATION.fullmatch(text)
    seconds = float(form["number"]) * _UNITS[form["unit"]] if form else 0.0
    if not 0 < seconds < _SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: 500ms, 10s, 2m")
    return seconds


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _file(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of a file is empty")
    return text


def _ready(text: str) -> str:
    port = text[1:] if text.startswith(":") else None
    if port is not None and not (_PORT.fullmatch(port) and int(port) <= _PORT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: :1 to :65535, in digits")
    return _file(text)


def _signal(text: str) -> str:
    try:
        signal_number(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < _DIGITS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)
