"""What is known of one trial while it runs: its tasks, its trace, and how it ended. Shared by
intake and answers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Sequence
from typing import Any

from .._kernel import process
from .._kernel.seccomp import Notification
from ..errors import SubjectError
from ..schedule import FRESH, RESTARTED, Schedule, role_matches
from ..trace import Event, Trace
from .core import Core, Role
from .decode import event
from .entropy import Entropy
from .execs import Execs
from .futexes import Futexes
from .launch import World
from .naming import Names
from .processor_time import ProcessorTime
from .randomness import Randomness, fraction_ns
from .tasks import PARKED, Task
from .timers import Answer, Timers
from .virtual_time import STEP_NS, VirtualTime
from .weaknesses import Weaknesses

_FAILED = 1 << 8  # a wait status
FOR_EVER = 1 << 62  # nanoseconds
_SETTLE_NS = 3600 * 10**9  # of the trial's time: who polls for ever is left running
#: An event before it is text. Of a call: role, nth, action, notification, paths; of what the trial
#: (role `-`) or a task says, which has no notification: role, nth, name, None, arguments.
RawEvent = tuple[str, int, str, Notification | None, tuple[Any, ...]]


class Trial:
    """One trial's tasks and trace, until `ended` says why it is over.

    *roots* are the roles of the commands in the order in which init was given them, *functions*
    those that are functions, which init forks for. *ready* is where the service must listen before
    the clients start, None when they need not wait. *own_network*: it has one to itself. A call
    takes *step_ns* of its time.
    """

    def __init__(
        self,
        world: World,
        core: Core,
        schedule: Schedule,
        roots: Sequence[str],
        ready: str | None,
        functions: Collection[str] = (),
        threads: Collection[str] = (),
        *,
        own_network: bool = True,
        step_ns: int = STEP_NS,
    ) -> None:
        self.world = world
        self.core = core
        self.schedule = schedule
        self.roots = tuple(roots)
        self.functions = frozenset(functions)
        #: Clients that are threads of the service's process.
        self.threads = frozenset(threads)
        self.idle: dict[str, Task] = {}
        self.gone: dict[str, int] = {}  # processes that have ended, with their wait statuses
        self.ready = ready
        self.is_ready = ready is None
        self.trace: list[RawEvent] = []
        self.init = Task(world.pid, world.pid, None)
        self.tasks: dict[int, Task] = {world.pid: self.init}
        self.parked: list[Task] = []
        #: Who computes beside the others, and is not waited for: see spinning.py.
        self.spinning: set[Task] = set()
        #: Every thread id ever met, with its role: also of those that are gone.
        self.known: dict[int, Role | None] = {world.pid: None}
        #: The one task whose clone(2) has been let through, until its child is known.
        self.cloning: Task | None = None
        self.threaded: set[int] = set()  # the processes that have, or had, threads
        self.clears = 0  # the word that the kernel clears when that child ends; 0 for none
        #: The task whose listen(2) makes the service ready, while it is under way.
        self.listening: Task | None = None
        #: Roles of commands that init has been told to start and that have no task yet.
        self.starting: list[str] = []
        self.started: set[str] = set()
        #: The time that the trial goes by, and what hangs on it; None in free mode.
        self.time: VirtualTime | None = None
        self.timers_set: Timers | None = None
        self.used: ProcessorTime | None = None
        #: Who answers a call in the kernel's place; nobody in free mode.
        self._own: dict[int, Callable[[Task], Answer]] = {}
        #: What is random in it; not used in free mode.
        self.entropy = Entropy(Randomness(schedule.seed))
        self.futexes: Futexes | None = None
        self.weaknesses = Weaknesses(lambda: len(self.trace))
        self.execs = Execs(self._executed, self.entropy.of_program, self.weaken)
        self.until = FOR_EVER  # the trial's time does not go further
        self.steps_before = 0  # the last time that time passed
        self.paused: dict[Task, int] = {}  # whose process we stopped, and until when
        #: Free mode's time, in nanoseconds.
        self.real_time: Callable[[], int] = lambda: 0
        self.in_real_time = False  # with the supervisor, on one processor
        self.moment = 0  # how many times everybody has stood still
        #: Who was answered last, and at which moment.
        self.turn: tuple[Task, int] | None = None
        self.disturbed = False  # something may have killed parked tasks: look at them too
        self.socket_timeouts = False  # a socket has been given a limit in time
        self.timers = False  # a timer may wake a task without anybody's call
        self.statuses: dict[str, int] = {}
        self.ended = ""  # or: exited, stuck, deadline, steps, refused, cancelled
        self.reason = ""
        self.refusal: SubjectError | None = None
        if schedule.mode == "controlled":
            self.time = VirtualTime(schedule.clock_start, fraction_ns(schedule.seed), step_ns)
            self.timers_set = Timers(self.time, self._give)
            self.used = ProcessorTime(self.time, self.timers_set.answer, self.tasks.values, step_ns)
            own: list[Timers | Entropy | Names | ProcessorTime] = [self.timers_set, self.entropy]
            own.append(self.used)
            if own_network:
                own.append(Names())
            for one in own:
                self._own |= dict.fromkeys(one.calls(), one.answer)
            self.futexes = Futexes(self.time)
        self._marks: dict[tuple[str, str], int] = {}

    def mark(self, name: str, *args: str) -> None:
        """Write a phase or a note into the trace."""
        self.tell("-", name, *args)

    def tell(self, role: str, name: str, *args: str) -> None:
        """Write into the trace what *role* says of itself."""
        self._marks[role, name] = nth = self._marks.get((role, name), 0) + 1
        self.trace.append((role, nth, name, None, args))

    def enter(self, phase: str) -> None:
        """Begin *phase*."""
        self.core.phase = phase
        self.mark("phase", phase)
        if phase == "settle" and self.time is not None:
            self.until = self.time.now + _SETTLE_NS

    def end(self, why: str, reason: str = "") -> None:
        """The trial is over; the first reason stands."""
        if not self.ended:
            self.ended, self.reason = why, reason

    def is_over(self) -> bool:
        """Whether the trial has ended, for whatever reason."""
        return bool(self.ended)

    def refuse(self, reason: str, status: int = 125) -> None:
        """The trial cannot go on: the subject does, or is, what cannot be held."""
        if not self.ended:
            self.refusal = SubjectError(reason, status)
            self.end("refused", reason)

    def start(self, role: str) -> None:
        """Have init start the command of *role*."""
        self.started.add(role)
        if role in self.threads:
            service = RESTARTED if role == FRESH and RESTARTED in self.started else self.roots[0]
            if service in self.gone:
                self.end_process(service, self.gone[service])
            self.begin_threads()
            return
        self.starting.append(role)
        self.world.send({"start": self.roots.index(role)})

    def begin_threads(self) -> None:
        """Of the threads that wait to be clients those that have been started, and whose process
        has made all of its threads, go on when it is their turn."""
        for role in self.roots:
            task = self.idle.get(role)
            if task is None or role not in self.started or not self._has_begun(task.tgid):
                continue
            assert task.call is not None
            task.role, task.begun, task.state = self.core.root(role), True, PARKED
            self.core.count(task.role, task.call[3])
            task.nth = task.total = 1
            self.parked.append(task)
            del self.idle[role]

    def _has_begun(self, pid: int) -> bool:
        first = self.tasks.get(pid)  # None when it has ended before its other threads
        return first is None or first.begun

    def end_role(self, role: str, status: int) -> int:
        """The function of *role* has ended, and says so, as its process lives on. How many clients
        the process has that have been started: it must not end before they have."""
        self.statuses.setdefault(role, status)
        return len(self._threads_of(role))

    def end_process(self, role: str, status: int) -> None:
        """The process of *role* has ended, and with it those of its threads that were clients: to
        be cut off, or never to begin, is no success."""
        self.gone[role] = status
        self.statuses.setdefault(role, status)
        for one in self._threads_of(role) if role in (self.roots[0], RESTARTED) else ():
            self.statuses.setdefault(one, status or _FAILED)

    def _threads_of(self, service: str) -> list[str]:
        """The clients that have been started as threads of the process of *service*."""
        return [
            role
            for role in self.roots
            if role in self.threads & self.started
            and (service == RESTARTED) == (role == FRESH and RESTARTED in self.started)
        ]

    def signal(self, role: str, number: int) -> None:
        """Send a signal to the process of *role*, if it still lives."""
        self.disturbed = True
        for task in self.tasks.values():
            if task.name == role and task.tgid == task.tid:
                process.kill(task.tgid, number)

    def alive(self) -> list[Task]:
        """The subject's and the clients' tasks, in order of birth."""
        return [task for task in self.tasks.values() if task.role is not None]

    def own_answer(self, task: Task) -> Answer:
        """What the trial itself answers to the call of *task*: its time, its chance, the names that
        it chooses. None when that is the kernel's to say, as all is in free mode."""
        assert task.call is not None
        make = self._own.get(task.call[3])
        return None if make is None else make(task)

    def now(self) -> int:
        """Nanoseconds of the trial's own time."""
        return self.real_time() if self.time is None else self.time.now

    def park(self, task: Task) -> None:
        """Keep the call of *task* parked, or park it again."""
        if task.state != PARKED:
            task.state = PARKED
            self.parked.append(task)

    def continue_paused(self, *, all_of_them: bool = False) -> None:
        """Continue the processes whose pause is over, or all that we stopped."""
        for task, until in list(self.paused.items()):
            if all_of_them or until <= self.now():
                del self.paused[task]
                if self.tasks.get(task.tid) is task:  # else its number may be another's
                    self.disturbed = True
                    process.kill(task.tgid, signal.SIGCONT)
            elif self.time is None and task.kernel_state() in "ZX":
                del self.paused[task]  # it was killed, which nothing tells us of in free mode

    def pass_time(self) -> bool:
        """Everybody waits: let time pass until the first of them need not wait any more; whether
        there is one, before `until`."""
        if self.time is None or self.timers_set is None:
            return False
        dues = [task.wait.deadline for task in self.parked if task.wait is not None]
        dues += [task.put_off.until for task in self.parked if task.put_off and task.put_off.until]
        dues += self.paused.values()
        if (timer := self.timers_set.next_due()) is not None:
            dues.append(timer)
        if not dues or min(dues) > self.until:
            return False
        self.time.jump(min(dues))
        self.steps_before = len(self.trace)  # who waits does not spin
        self.ring()
        self.continue_paused()
        return True

    def ring(self) -> None:
        """Let go off the timers that are due."""
        if self.timers_set is not None and self.timers_set.ring():
            self.disturbed = True  # a signal may have killed somebody

    def _executed(self, task: Task) -> None:
        task.clears = 0
        self.threaded.discard(task.tgid)
        if self.timers_set is not None:
            self.timers_set.executed(task)
        self.weaknesses.executed(task)

    def weaken(self, role: str, reason: str) -> None:
        """*role* (empty: the whole trial) does what cannot be held still. In free mode nothing is,
        and it is not said."""
        if self.time is not None:
            self.weaknesses.say(role, reason)

    def _give(self, task: Task, fd: int, cloexec: bool) -> None:
        assert task.call is not None
        self.world.listener.add_fd(task.call[0], fd, cloexec=cloexec, send=True)

    def limit(self, task: Task) -> None:
        """Set the schedule's resource limits on a task that has just been born. Source:
        prlimit(2)."""
        import resource

        for limit in self.schedule.limits:
            if role_matches(limit.role, task.name):
                kind = getattr(resource, f"RLIMIT_{limit.resource}")
                try:
                    resource.prlimit(task.tid, kind, (limit.value, limit.value))
                except ProcessLookupError:
                    return  # it died
                except OSError as error:
                    most = resource.getrlimit(kind)[1]
                    self.refuse(f"limit {limit}: {error.strerror}; here at most {most}")

    def forget(self, task: Task) -> None:
        """The task is gone."""
        if task.state == PARKED and task in self.parked:
            self.parked.remove(task)
        if self.futexes is not None:
            self.futexes.ended(task)
        if self.used is not None:
            self.used.ended(task)
        task.close()
        self.spinning.discard(task)
        self.paused.pop(task, None)
        self.tasks.pop(task.tid, None)
        if self.timers_set is not None and task.tid == task.tgid:
            self.timers_set.ended(task)  # its number may be somebody else's soon
            self.weaknesses.ended(task)
        if task is self.listening:
            self.listening = None
        for role, one in list(self.idle.items()):
            if one is task:
                del self.idle[role]
        if task is self.cloning:
            self.cloning = None

    def close(self) -> None:
        """Give up what is held of the tasks that are left. When PID 1 has been killed."""
        for task in self.tasks.values():
            task.close()
        if self.timers_set is not None:
            self.timers_set.close()

    def has_listened(self) -> None:
        """The listen(2) under way, if one is, has been passed: its caller goes on, or sleeps."""
        if self.listening is not None:
            self.is_ready, self.listening = True, None

    def text(self) -> Trace:
        """The trace, in its canonical form."""
        return Trace(events=tuple(_event(raw) for raw in self.trace))


def _event(raw: RawEvent) -> Event:
    role, nth, what, notif, rest = raw
    if notif is None:
        return Event(role=role, call=what, nth=nth, args=rest)
    return event(role, nth, what, notif, rest)
