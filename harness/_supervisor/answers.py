"""What goes out: the answer to each parked call, as the schedule says, and its line in the
trace."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import closing

from .._kernel import process
from .._kernel.hypercall import NUMBER as HYPERCALL
from .._kernel.hypercall import OPERATIONS, TEXT_MAX
from .._kernel.seccomp import Notification
from .._kernel.uapi import (
    CLONE_CHILD_CLEARTID,
    CLONE_THREAD,
    CLONE_VFORK,
    ERESTARTNOHAND,
    ERESTARTNOINTR,
    ERESTARTSYS,
)
from ..calls import BY_NR, NR, errno_number, numbers, signal_number
from ..fault import (
    RECEIVES,
    CrashAfterFault,
    CrashFault,
    EofFault,
    ErrnoFault,
    HoldFault,
    ResetFault,
    ShortFault,
    SignalFault,
)
from ..trace import path_arg
from .caller import Caller
from .connections import NoOtherEnd, end_stream, reset_connection
from .core import Armed
from .decode import POINTED, read_pointed
from .emulate import is_ready, shorten
from .intake import CLONES, EXECS
from .postponing import Postponing
from .socket_waits import ON_SOCKETS, socket_wait_of
from .state import Trial
from .tasks import FREE, HELD, PARKED, Task
from .timers import GIVEN
from .virtual_time import VirtualTime, Wait
from .waits import BETWEEN_THREADS, TIMED, kept, memo_of, wait_of

_RESTART = {"sys": ERESTARTSYS, "nohand": ERESTARTNOHAND, "no": ERESTARTNOINTR}
_EINTR, _ENOSYS = 4, 38
#: After these, time may wake a task: a trial that has used one is never declared stuck early.
_TIMERS = numbers("alarm setitimer timer_settime timerfd_settime")
#: After these, parked tasks may have been killed.
_DEADLY = EXECS | numbers(
    "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal exit exit_group ioctl"
)
_CLONE, _CLONE3, _VFORK, _CLOSE, _FUTEX, _LISTEN, _SECCOMP, _URING, _SETSOCKOPT = (
    NR[name]
    for name in (
        *("clone", "clone3", "vfork", "close", "futex"),
        *("listen", "seccomp", "io_uring_setup", "setsockopt"),
    )
)
#: Calls that tell us something, or that we answer ourselves.
SPECIAL = CLONES | _DEADLY | _TIMERS | {_LISTEN, _SECCOMP, _URING, _SETSOCKOPT, HYPERCALL}
#: SO_RCVTIMEO and SO_SNDTIMEO, old and new, <asm-generic/socket.h>
_SOCKET_TIMEOUTS = (20, 21, 66, 67)
_SEND_TIMEOUTS = (21, 67)  # connect(2) goes by it too, in real time

Paths = tuple[bytes | None, ...]


class Answers:
    """Answers for one trial. Owns no descriptor."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._listener = trial.world.listener
        self._postponing = Postponing(trial, self._answer)

    def release(self, task: Task) -> None:
        """Answer the call that *task* is parked with, and write it into the trace."""
        notif = task.call
        assert notif is not None
        self._trial.turn = task, self._trial.moment
        if task.wait is not None:
            self._end_wait(task, task.wait, notif)
            return
        if task.put_off is not None and not self._postponing.is_over(task, task.put_off):
            return
        nr = notif[3]
        paths: Paths = ()
        if nr in POINTED:
            try:
                paths = read_pointed(notif, task.memory())
            except OSError:
                pass  # it is gone; the answer will tell
            self._trial.entropy.notice(paths)
            if self._trial.time is not None:
                self._trial.weaknesses.opens(task, nr, paths)
        due = None
        if task.due:
            if self._postponing.begin(
                task, lambda action: self._record(task, action, notif, paths)
            ):
                return
            self._trial.core.meet(task.due)
            due = self._trial.core.chosen(task.due)
        task.due = ()
        if due is not None:
            self._fault(task, due, notif, paths)
        elif self._is_the_trials(task, nr, notif, paths):
            pass
        elif nr not in SPECIAL or not self._special(task, nr, notif):
            self._proceed(task, notif, paths)

    def can_go_on(self, task: Task) -> bool:
        """Whether a parked task could be answered now: unless it waits for something."""
        assert task.call is not None
        if task.put_off is not None:
            return task.signalled or task.put_off.is_over(self._trial.now(), self._trial.core)
        if task.wait is not None:
            assert self._trial.time is not None
            is_over = task.wait.deadline <= self._trial.time.now
            return is_over or task.signalled or task.wait.is_ready(self._trial.moment)
        if not task.waiting:
            return True
        return is_ready(BY_NR[task.call[3]], task.call[6:], tgid=task.tgid)

    # Calls that the trial answers, not the kernel

    def _is_the_trials(self, task: Task, nr: int, notif: Notification, paths: Paths) -> bool:
        """Answer such a call, or keep it parked until it is over; False when it is none."""
        time = self._trial.time
        if time is None:
            return False
        if nr == _FUTEX:
            assert self._trial.futexes is not None
            answer = self._trial.futexes.call(task)
            if isinstance(answer, Wait):
                answer.deadline = kept(task, answer.deadline)
                self._begin_wait(task, answer, notif, paths)
                return True
        else:
            try:
                wait = self._wait_of(task, time, nr)
            except OSError:
                return False  # it is gone
            if wait is not None:
                self._begin_wait(task, wait, notif, paths)
                return True
            answer = self._trial.own_answer(task)
        if answer is None:
            return False
        self._record(task, "-", notif, paths)
        self._trial.ring()  # it may be for a time that is past
        self._give(task, answer)
        return True

    def _give(self, task: Task, answer: tuple[int, int]) -> None:
        if answer is GIVEN:
            self._let_go(task)
        else:
            self._answer(task, *answer)

    def _carry_out(self, task: Task, notif: Notification) -> None:
        """Let the call do what it would have done without a fault."""
        answer = self._trial.own_answer(task)
        if answer is None:
            self._let_pass(task, notif)
        else:
            self._give(task, answer)

    def _wait_of(self, task: Task, time: VirtualTime, nr: int) -> Wait | None:
        trial = self._trial
        if nr in ON_SOCKETS and trial.socket_timeouts:
            wait = socket_wait_of(task, time, trial.moment)
            if wait is not None:
                return wait
        threaded = task.tgid in trial.threaded
        if nr in TIMED or (threaded and nr in BETWEEN_THREADS):
            return wait_of(task, time, trial.moment, threaded=threaded)
        return None

    def _begin_wait(self, task: Task, wait: Wait, notif: Notification, paths: Paths) -> None:
        self._record(task, "-", notif, paths)
        task.wait = wait
        assert task.role is not None
        task.role.total += 1  # its end is an event of its own
        task.total = task.role.total

    def _end_wait(self, task: Task, wait: Wait, notif: Notification) -> None:
        assert self._trial.time is not None
        left = wait.deadline - self._trial.time.now
        task.wait = None
        signalled, task.signalled = task.signalled, False
        if wait.is_ready(self._trial.moment):
            self._trial.tell(task.name, "wake", task.call_name, "ready")
            if wait.value is None:
                self._pass_on(task, wait, left, notif)
            else:
                self._answer(task, *wait.value)
        elif signalled:
            self._trial.tell(task.name, "wake", task.call_name, "interrupted")
            if wait.interrupted is None:
                self._pass_on(task, wait, left, notif)
                return
            if not task.will_handle():  # else the call fails, and a new one has a new limit
                task.interrupted = memo_of(task, wait.deadline)
            try:
                wait.interrupted(left)
            except OSError:
                pass  # the kernel would have said EFAULT
            self._answer(task, 0, wait.restart)
        else:
            self._trial.tell(task.name, "wake", task.call_name, "timeout")
            try:
                if wait.expire is not None:
                    wait.expire()
            except OSError:
                pass
            self._answer(task, *wait.over)

    def _pass_on(self, task: Task, wait: Wait, left: int, notif: Notification) -> None:
        """The kernel ends the wait: it finds at once what has come."""
        try:
            if wait.passing is not None:
                wait.passing(max(0, left))
        except OSError:
            pass  # the kernel will say EFAULT, or it is gone
        self._let_pass(task, notif)

    # The two ways to answer

    def _proceed(self, task: Task, notif: Notification, paths: Paths, action: str = "-") -> None:
        self._record(task, action, notif, paths)
        self._let_pass(task, notif)

    def _let_pass(self, task: Task, notif: Notification) -> None:
        self._let_go(task)
        try:
            self._listener.proceed(notif[0])
        except OSError:
            pass  # ENOENT: it died while parked; the next look at its state says so

    def _answer(self, task: Task, value: int, error: int = 0) -> None:
        assert task.call is not None
        self._let_go(task)
        try:
            self._listener.answer(task.call[0], value, error)
        except OSError:
            pass

    def _let_go(self, task: Task) -> None:
        if task.state == PARKED:
            self._trial.parked.remove(task)
        task.state = FREE

    def _record(self, task: Task, action: str, notif: Notification, paths: Paths) -> None:
        self._trial.trace.append((task.name, task.nth, action, notif, paths))

    # Faults

    def _fault(self, task: Task, due: Armed, notif: Notification, paths: Paths) -> None:
        fault = due.at.fault
        self._trial.disturbed = True
        if isinstance(fault, EofFault | ResetFault):
            self._cut(task, due, fault, notif, paths)
            return
        if isinstance(fault, ShortFault):
            self._shorten(task, due, fault.count, notif, paths)
            return
        self._trial.core.fire(due)
        nr = notif[3]
        if isinstance(fault, CrashAfterFault):
            if nr in SPECIAL and self._special(task, nr, notif):
                return
            task.after, task.fired = "crash", due
            self._proceed(task, notif, paths, "crash-after")
        elif isinstance(fault, ErrnoFault):
            self._record(task, f"fail:{fault.errno}", notif, paths)
            if nr == _CLOSE:
                self._close_all_the_same(task, notif)
            self._answer(task, 0, errno_number(fault.errno))
        elif isinstance(fault, HoldFault):
            self._record(task, "hold", notif, paths)
            self._let_go(task)
            task.state = HELD
        elif isinstance(fault, CrashFault):
            self._record(task, f"crash:{fault.signal}", notif, paths)
            self._crash(task, signal_number(fault.signal))
        elif isinstance(fault, SignalFault):
            self._record(task, f"signal:{fault.signal}", notif, paths)
            number = signal_number(fault.signal)
            interrupts = task.acts_on(number)
            self._signal(task, number)
            if interrupts:
                self._answer(task, 0, _RESTART[BY_NR[nr].restart])
            elif nr not in SPECIAL or not self._special(task, nr, notif):
                # Nothing would turn a restart into an answer: the program would see errno 512.
                self._carry_out(task, notif)

    def _cut(
        self,
        task: Task,
        due: Armed,
        fault: EofFault | ResetFault,
        notif: Notification,
        paths: Paths,
    ) -> None:
        """Have the connection end at this call, which the kernel then carries out."""

        def put(fd: int, number: int, cloexec: bool) -> None:
            self._listener.add_fd(notif[0], fd, at=number, cloexec=cloexec)

        receives = BY_NR[notif[3]].name in RECEIVES
        everybody = {one.tgid for one in self._trial.alive()}
        kernel_says_so = True
        try:
            with closing(Caller(task.memory(), task.tgid)) as caller:
                if isinstance(fault, EofFault):
                    end_stream(caller, notif[6], receives=receives, put=put, among=everybody)
                else:
                    kernel_says_so = reset_connection(caller, notif[6])
        except NoOtherEnd as why:
            said = f"{due.at}: {task.name} {task.call_name}#{task.nth} is of {why}"
            self._trial.mark("note", path_arg(said))
            self._record(task, "-", notif, paths)
            self._carry_out(task, notif)
            return
        except OSError:
            self._proceed(task, notif, paths)  # it died under our hands
            return
        self._trial.core.fire(due)
        self._record(task, fault.kind, notif, paths)
        if kernel_says_so:
            self._let_pass(task, notif)
        else:
            self._answer(task, 0, errno_number("ECONNRESET"))

    def _close_all_the_same(self, task: Task, notif: Notification) -> None:
        """The kernel closes even when close(2) fails. We cannot make the task do it, but a dummy
        put on the number closes what was there."""
        fd = notif[6] & 0xFFFFFFFF
        if not os.path.lexists(f"/proc/{task.tid}/fd/{fd}"):
            return
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._listener.add_fd(notif[0], null, at=fd)
        except OSError:
            pass  # it died
        finally:
            os.close(null)

    def _crash(self, task: Task, number: int) -> None:
        if number == signal.SIGKILL or not task.acts_on(number):
            self._let_go(task)
            process.kill(task.tgid, signal.SIGKILL)
            return
        # It may catch the signal; then it ends at its next call all the same.
        task.after = "crash"
        self._signal(task, number)
        self._answer(task, 0, _EINTR)

    def _signal(self, task: Task, number: int) -> None:
        try:
            process.signal_task(task.tgid, task.tid, number)
        except ProcessLookupError:
            pass  # it died

    def _shorten(
        self, task: Task, due: Armed, count: int, notif: Notification, paths: Paths
    ) -> None:
        trial = self._trial
        if trial.time is not None and (answer := trial.entropy.shortened(task, count)):
            self._trial.core.fire(due)
            self._record(task, f"short:{count}", notif, paths)
            self._answer(task, *answer)
            return

        def give(fd: int, cloexec: bool) -> int:
            return self._listener.add_fd(notif[0], fd, cloexec=cloexec)

        try:
            done = shorten(
                BY_NR[notif[3]], notif[6:], count, memory=task.memory(), tgid=task.tgid, give=give
            )
        except OSError:
            self._proceed(task, notif, paths)  # it died under our hands
            return
        task.waiting = done.kind == "wait"
        if done.kind == "wait":
            task.due = (due,)
            self._trial.park(task)
        elif done.kind == "continue":
            self._record(task, "-", notif, paths)
            self._carry_out(task, notif)
        else:
            self._trial.core.fire(due)
            self._record(task, f"short:{count}", notif, paths)
            if done.sigpipe:
                self._signal(task, signal.SIGPIPE)
            if done.kind == "fail":
                self._answer(task, 0, done.value)
            else:
                self._answer(task, done.value)

    # Calls that are more than a call

    def _special(self, task: Task, nr: int, notif: Notification) -> bool:
        """Note what such a call means, before it passes; True when it is answered already."""
        trial = self._trial
        if nr in CLONES:
            flags, clears = self._clone_flags(task, nr, notif)
            trial.clears = clears if flags & CLONE_CHILD_CLEARTID else 0
            task.vforking = bool(flags & CLONE_VFORK) and not flags & CLONE_THREAD
            trial.cloning = task
            if trial.time is not None:
                trial.weaknesses.clones(task, flags)
        elif nr in _DEADLY:
            trial.disturbed = True
            if nr in EXECS:
                task.after = "exec"
                if trial.time is not None:
                    trial.execs.begin(task)
        elif nr in _TIMERS:
            trial.timers = True
        elif nr == _SETSOCKOPT and notif[7] == socket.SOL_SOCKET and notif[8] in _SOCKET_TIMEOUTS:
            trial.socket_timeouts = True
            trial.timers |= trial.time is None or notif[8] in _SEND_TIMEOUTS
        elif nr == _LISTEN and not trial.is_ready:
            if self._listens_where_asked(task, notif[6] & 0xFFFFFFFF):
                trial.listening = task
        elif nr == _SECCOMP:
            self._record(task, "refuse:listener", notif, ())
            trial.refuse(
                f"{task.name} wants a seccomp listener of its own, and a task can have only one: "
                "run it without its sandbox (often --no-sandbox)"
            )
            return True
        elif nr == _URING and trial.schedule.mode == "controlled":
            self._record(task, "refuse:ENOSYS", notif, ())
            self._answer(task, 0, _ENOSYS)
            return True
        elif nr == HYPERCALL:
            self._hear(task, notif)
            return True
        return False

    def _hear(self, task: Task, notif: Notification) -> None:
        """What the task tells of itself goes into the trace."""
        index, address, size = notif[6:9]
        name = OPERATIONS[index] if index < len(OPERATIONS) else OPERATIONS[0]
        try:
            said = task.memory().read(address, min(size, TEXT_MAX)) if size else b""
        except OSError:
            said = b""
        if name == "end":
            self._answer(task, self._trial.end_role(task.name, int(said) << 8))
            return
        if name != OPERATIONS[0]:  # to begin twice says nothing
            self._trial.tell(task.name, name, *map(path_arg, said.split(b"\0")))
        self._answer(task, 0)

    def relieve(self, task: Task) -> None:
        """No fault any more: carry out the call at which *task* has been held; and one that is not
        done yet does not end in a crash."""
        if task.state == HELD and task.call is not None:
            self._carry_out(task, task.call)
        self._postponing.give_up(task)
        if task.after == "crash" and task.fired is not None:
            self._trial.core.take_back(task.fired)
            task.after = ""

    def _clone_flags(self, task: Task, nr: int, notif: Notification) -> tuple[int, int]:
        """The flags of a call that makes a task, and where the child's number goes. Source:
        clone(2)."""
        if nr == _CLONE:
            return notif[6], notif[9]
        if nr == _CLONE3:
            try:
                flags, _pidfd, child = struct.unpack("=QQQ", task.memory().read(notif[6], 24))
            except OSError:
                return 0, 0  # the kernel will answer EFAULT
            return flags, child
        return CLONE_VFORK if nr == _VFORK else 0, 0

    def _listens_where_asked(self, task: Task, fd: int) -> bool:
        try:
            pidfd = process.open_pidfd(task.tgid)
            try:
                with socket.socket(fileno=process.get_fd(pidfd, fd)) as duplicate:
                    name = duplicate.getsockname()
            finally:
                os.close(pidfd)
            base = os.readlink(f"/proc/{task.tid}/cwd")
        except OSError:
            return False
        asked = self._trial.ready
        assert asked is not None
        if isinstance(name, tuple):
            return asked == f":{name[1]}"
        if isinstance(name, bytes):  # an abstract name
            return asked == "@" + name[1:].decode(errors="surrogateescape")
        return os.path.normpath(os.path.join(base, name)) == os.path.normpath(
            os.path.join(base, asked)
        )
