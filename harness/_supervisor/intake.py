"""What comes in: notifications become parked tasks, init's packets become statuses, outputs are
drained.

Every notification is attributed to a task; a task that is not known yet is the child of the one
whose clone is under way.
"""

from __future__ import annotations

import errno
import select
import signal
from collections.abc import Callable

from .._kernel import process
from .._kernel.hypercall import NUMBER as HYPERCALL
from .._kernel.seccomp import ARGS, Notification
from .._kernel.uapi import AUDIT_ARCH_X86_64
from ..calls import NR, numbers
from .core import Role
from .entropy import GETRANDOM
from .outputs import Outputs
from .postponed import Interrupted
from .spinning import stops_spinning
from .state import Trial
from .tasks import FREE, IDLE, PARKED, Task, children_of, kinship_of
from .weaknesses import ONLY_WATCHED

CLONES = numbers("clone clone3 fork vfork")
EXECS = numbers("execve execveat")
ENDS = numbers("exit exit_group")
#: Calls that nobody else can notice, and that the trial answers: no events, unless a fault asks.
QUIET = numbers("clock_gettime gettimeofday time getrandom sysinfo times getrusage")
#: The first calls of a thread that the C library has made, and of a program.
OF_THREADS = numbers("set_tid_address set_robust_list rseq")
_SET_TID_ADDRESS = NR["set_tid_address"]


class Intake:
    """Receives for one trial. Owns no descriptor."""

    #: Who is told of each call at once, instead of finding it parked; for free mode.
    at_once: Callable[[Task], None] | None = None

    def __init__(self, trial: Trial, outputs: Outputs) -> None:
        self._trial = trial
        self._listener = trial.world.listener
        self._outputs = outputs
        self._poll = select.poll()
        self._sources: dict[int, Callable[[], None]] = {}
        self._vital = (self._listener.fd, trial.world.control.fileno())
        self._add(self._listener.fd, self._receive)
        self._add(trial.world.control.fileno(), self._hear_init)
        for fd in outputs.fds:
            self._add(fd, lambda fd=fd: self._drain(fd))  # type: ignore[misc]

    def _add(self, fd: int, take: Callable[[], None]) -> None:
        self._sources[fd] = take
        self._poll.register(fd, select.POLLIN)

    def watch(self, fd: int) -> None:
        """Give the trial up when *fd* becomes readable: whoever asked for it wants it to stop, or
        is gone."""
        self._add(fd, lambda: self._trial.end("cancelled"))

    def pump(self, timeout_ms: float) -> bool:
        """Take in what has come, after waiting up to *timeout_ms* for it; whether anything came."""
        came = False
        for fd, what in self._poll.poll(timeout_ms):
            if what & select.POLLIN:
                self._sources[fd]()
                came = True
            elif fd in self._vital:
                self._trial.refuse("the trial's init died")  # POLLHUP alone would come for ever
            else:
                self._poll.unregister(fd)  # every writer of this output is gone
        return came

    def _drain(self, fd: int) -> None:
        if not self._outputs.drain(fd):
            self._poll.unregister(fd)

    def _hear_init(self) -> None:
        trial = self._trial
        try:
            packet = trial.world.receive()
        except EOFError:
            trial.refuse("the trial's init died")
            return
        if packet is None:
            return
        if "error" in packet:
            trial.refuse(packet["error"], 127 if packet["errno"] == errno.ENOENT else 126)
        elif "end" in packet:
            trial.end_process(trial.roots[packet["end"]], packet["status"])

    def _receive(self) -> None:
        try:
            notif = self._listener.receive()
        except OSError:
            return  # the task died, or a signal took its call back, before we looked
        self.take(notif)

    def take(self, notif: Notification) -> None:
        """One call that was received: whose it is, and then as is right for that task."""
        task = self._trial.tasks.get(notif[1]) or self._adopt(notif[1])
        if task.role is None or not task.begun:
            self._let_pass(task, notif)
        else:
            self._arrive(task, notif)

    def _let_pass(self, task: Task, notif: Notification) -> None:
        """A call of init's, or of a root that has not executed its command yet: never counted,
        never traced."""
        if task.after == "begin" and task.has_executed():
            task.begun = True
            self._trial.limit(task)
            self._arrive(task, notif)
            return
        if task.role is not None and notif[3] in EXECS:
            task.after = "begin"
            if self._trial.time is not None:
                self._trial.execs.begin(task)
        elif task.role is not None and notif[3] == HYPERCALL:
            self._begin(task, notif)
            return
        elif task.role is not None and notif[3] == GETRANDOM and self._trial.time is not None:
            task.call = notif  # Python draws after each fork, and this is one
            self._answer_quietly(task)
            return
        if task.role is None and notif[3] in CLONES:
            self._trial.cloning = task
        self._pass_on(notif)

    def _begin(self, task: Task, notif: Notification) -> None:
        """A function is about to be called, by a process of its own or by a thread."""
        trial = self._trial
        if task.tid != task.tgid:
            role = trial.roots[int(task.memory().read(notif[ARGS + 1], notif[ARGS + 2]))]
            task.call, task.state = notif, IDLE
            trial.idle[role] = task
            trial.begin_threads()
            return
        task.begun = True
        trial.limit(task)
        if trial.threads:
            self._arrive(task, notif)  # it goes on alone
            trial.begin_threads()
        else:
            self._listener.answer(notif[0], 0)

    def _pass_on(self, notif: Notification) -> None:
        try:
            self._listener.proceed(notif[0])
        except OSError:
            pass  # it died

    def _arrive(self, task: Task, notif: Notification) -> None:
        """One call of a task: counted, and parked."""
        trial = self._trial
        role = task.role
        assert role is not None
        if task.state == PARKED:
            # Another thread has executed a program, and goes on under the number of the first.
            trial.parked.remove(task)
            task.state, task.wait, task.waiting, task.put_off = FREE, None, False, None
            task.forget_image()
        task.call = notif
        task.vforking = False
        if task in trial.spinning:
            stops_spinning(trial, task)
        if task is trial.listening:
            trial.has_listened()
        if task.after:
            if task.after == "crash":
                process.kill(task.tgid, signal.SIGKILL)
                return
            task.after = ""
            task.forget_image()
        trial.execs.came_back(task)
        if notif[4] != AUDIT_ARCH_X86_64:
            trial.refuse(
                f"{task.name} makes 32-bit calls, whose numbers mean others: use a 64-bit build"
            )
            return
        nr = notif[3]
        if trial.time is not None and nr in trial.weaknesses.watched:
            trial.weaknesses.look(task)
            if nr in ONLY_WATCHED and nr not in role.armed and not trial.schedule.limits:
                self._pass_on(notif)
                return
        if nr in QUIET and trial.time is not None and nr not in role.armed:
            self._answer_quietly(task)
            return
        if nr in OF_THREADS and trial.time is not None and nr not in role.armed:
            if nr == _SET_TID_ADDRESS:
                task.clears = notif[ARGS]
            if task.tid == task.tgid or role.total:
                self._pass_on(notif)
                return
            # A new thread stops here, and runs when it is its turn, not beside who made it.
            role.total += 1
        if task.again is not None and task.again.is_at(notif):
            self._take_up_again(task, task.again)
        else:
            task.due = trial.core.count(role, nr)
            task.nth = role.counts[nr]
        task.total = role.total
        if self.at_once is not None:
            if nr in ENDS:
                self._adopt_children(task)  # when it is gone, nothing tells whose they are
            self.at_once(task)
        else:
            self._check_turn(task, nr)
            task.state = PARKED
            trial.parked.append(task)

    def _take_up_again(self, task: Task, left: Interrupted) -> None:
        """The call that it left for a signal: not counted again, but its turn is one of its own."""
        assert task.role is not None
        task.role.total += 1
        task.nth, task.due, task.put_off = left.nth, left.due, left.put_off
        task.again = None
        self._trial.paused.pop(task, None)  # whoever has continued it

    def _check_turn(self, task: Task, nr: int) -> None:
        """Of one process only who has been answered should have run since everybody stood still."""
        trial = self._trial
        if trial.turn is None:
            return
        other, moment = trial.turn
        beside = other.tgid == task.tgid and other is not task and moment == trial.moment
        if beside and nr not in OF_THREADS:  # the first of a new thread, which runs nothing before
            trial.weaken(task.name, "has run beside another thread of its process")

    def _answer_quietly(self, task: Task) -> None:
        assert task.call is not None
        answer = self._trial.own_answer(task)
        try:
            if answer is None:
                self._listener.proceed(task.call[0])
            else:
                self._listener.answer(task.call[0], *answer)
        except OSError:
            pass  # it died

    def _adopt(self, tid: int) -> Task:
        """The task of a thread that is not known yet, and with it those of its elder siblings."""
        trial = self._trial
        tgid, ppid = kinship_of(tid)
        if trial.cloning is None and (role := trial.known.get(tid)) is not None:
            # A thread that was not the first has executed a program: it is the first one now.
            task = trial.tasks[tid] = Task(tid, tgid, role)
            return task
        parent = trial.cloning or self._parent(ppid if tgid == tid else tgid)
        if parent is not None and parent.role is not None:
            self._adopt_children(parent)
            if trial.cloning is None:  # which of its threads was it?
                for thread in list(trial.tasks.values()):
                    if thread.tgid == parent.tgid and thread is not parent:
                        self._adopt_children(thread)
        return trial.tasks.get(tid) or self._born(parent, tid, tgid)

    def _parent(self, tid: int) -> Task | None:
        """The task of a process that has a child; it may not have called yet, nor its parent."""
        task = self._trial.tasks.get(tid)
        if task is None and tid and tid not in self._trial.known:
            task = self._adopt(tid)
        return task

    def _adopt_children(self, parent: Task) -> None:
        """Make tasks of all whom *parent* has made and whom we do not know, in order of birth."""
        for tid in children_of(parent):
            if tid not in self._trial.known:
                self._born(parent, tid, kinship_of(tid)[0])

    def _born(self, parent: Task | None, tid: int, tgid: int) -> Task:
        trial = self._trial
        trial.cloning = None
        if parent is not None and tgid == parent.tgid and not parent.begun:
            # Each thread of a process shows all others; one that has no role yet has made none.
            parent = trial.tasks.get(tgid, parent)
        clears, trial.clears = trial.clears, 0
        if parent is None or parent.role is None:
            # Init sleeps in its vfork while it starts a command; an orphan that it inherited from
            # somebody who was killed comes at another time. For a function it forks.
            starts = trial.starting and (
                trial.starting[0] in trial.functions or trial.init.kernel_state() == "D"
            )
            name = trial.starting.pop(0) if starts else f"unknown/{len(trial.known)}"
            task = Task(tid, tgid, trial.core.root(name))
            task.begun = name.startswith("unknown")
        elif parent.name in trial.functions and not parent.begun and tgid == parent.tgid:
            task = Task(tid, tgid, Role(f"{parent.name}#-", 0, []))  # which client, it will say
            task.begun = False
            trial.threaded.add(tgid)
        else:
            task = Task(tid, tgid, trial.core.born(parent.role, thread=tgid == parent.tgid))
            task.clears = clears
            if tgid != tid:
                trial.threaded.add(tgid)
            trial.limit(task)
        trial.tasks[tid] = task
        trial.known[tid] = task.role
        return task

    def find_child(self) -> bool:
        """Look for the child of the clone under way, if one is; False while it may still come."""
        trial = self._trial
        parent = trial.cloning
        if parent is None:
            return True
        # Before the children: it may run between the two looks, and would seem to have none.
        is_back = parent.state != FREE or (not parent.vforking and parent.kernel_state() in "SZXT")
        self._adopt_children(parent)
        if trial.cloning is None:
            return True
        if is_back:
            trial.cloning = None  # it has come back, or ended, without a child
        return is_back
