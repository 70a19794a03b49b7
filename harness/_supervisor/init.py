"""PID 1 of a trial: builds the view, installs the one filter on itself, starts the commands and
reaps what becomes an orphan.

It is forked from the runner and never executes a program itself. Its own calls are trapped too, and
always continued, never counted. It talks to the runner over one SOCK_SEQPACKET socket: JSON
objects, one a packet; a SIGUSR1 says that a packet is waiting, so that one sigwait(3) covers both
packets and the ends of children.
"""

from __future__ import annotations

import array
import errno
import json
import os
import resource
import signal
import socket
import stat
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from .._kernel import namespaces, process, seccomp, view
from ..errors import MachineError, SubjectError
from ..workload import Workload
from . import functions, measuring

#: sendmsg(2) with these flags is never trapped, or init could not hand over the listener:
#: MSG_NOSIGNAL and two bits that no protocol uses when sending.
HAND_OVER_FLAGS = 0x4000 | 0x1000 | 0x0400
_PACKET = 65536
_SHOWN_MAX = 200  # characters of a PATH in a message
NO_NOTIFICATION = (
    "Linux 5.19 or later with CONFIG_SECCOMP_FILTER; "
    "in a container: --security-opt seccomp=unconfined"
)


class Program(NamedTuple):
    """One command to start, or function to call: its words, its environment, and its three standard
    descriptors in the runner. The function of a client is given a `Client`. *threads* are the
    clients, each with its number among the programs, that are threads of this one's process."""

    role: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdio: tuple[int, int, int]
    function: Workload | None = None
    is_client: bool = False
    threads: tuple[tuple[int, str, Workload], ...] = ()


class InitPlan(NamedTuple):
    """All that init needs; it is forked, so it reads this where it lies."""

    programs: tuple[Program, ...]
    view: view.ViewPlan
    files: tuple[
        tuple[str, int, bytes], ...
    ]  # path, mode, content: laid into the view before anything starts
    filter: bytes
    own_network: bool
    descriptors: tuple[int, int]  # RLIMIT_NOFILE as whoever asked for the trial has it
    gains_privileges: bool  # whether set-uid programs work as usual: the runner is root
    host_name: str = "trial"
    last_pid: int = 0  # the next process gets a number after it; 0: as it comes


class _Prepared(NamedTuple):
    """What init has prepared: the file of each program, and the descriptor of the view's layers."""

    programs: tuple[str, ...]
    layers: int


def main(control: socket.socket, plan: InitPlan) -> NoReturn:
    """Be PID 1. Every error before the filter is installed goes to the runner as a packet."""
    try:
        keep = {control.fileno(), *(fd for program in plan.programs for fd in program.stdio)}
        _close_all_but(keep)
        process.die_with_parent()
        if not control.recv(_PACKET):
            os._exit(1)  # the runner died before the parent-death signal was set
        made = _prepare(plan)
        listener = _install(plan.filter)
        # Not socket.send_fds: it drops the flags.
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener, made.layers]))
        control.sendmsg([b"{}"], [rights], HAND_OVER_FLAGS)
        os.close(listener)
        os.close(made.layers)
    except SubjectError as error:
        _report(control, {"error": str(error), "status": error.status})
    except MachineError as error:
        _report(control, {"error": error.args[0], "fix": error.fix})
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _report(control, {"error": f"{error.strerror}{where}", "errno": error.errno})
    else:
        _serve(control, plan, made.programs)
    os._exit(1)


def _install(program: bytes) -> int:
    try:
        return seccomp.install(program)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise MachineError(
                "another supervisor already answers this process's calls",
                fix="do not run harness inside harness",
            ) from None
        raise MachineError(
            f"no seccomp user notification here: {error.strerror}", fix=NO_NOTIFICATION
        ) from None


def _close_all_but(keep: set[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        if fd not in keep:
            os.dup2(null, fd, inheritable=True)
    last = 2
    for fd in sorted(keep):
        if fd > last:
            os.closerange(last + 1, fd)
            last = fd
    os.closerange(last + 1, 2**31 - 1)  # close_range(2): there may be some above the limit


def _prepare(plan: InitPlan) -> _Prepared:
    """Everything before the filter."""
    os.setsid()
    os.umask(0o022)
    if plan.own_network:
        namespaces.bring_loopback_up()
    namespaces.set_host_name(plan.host_name.encode())
    namespaces.set_domain_name(b"(none)")
    view.reopen_read_only(plan.programs[0].stdio[0])
    layers = view.build(plan.view._replace(files=plan.files))
    measuring.make_directory()
    if plan.last_pid:
        namespaces.set_last_pid(plan.last_pid)
    resource.setrlimit(resource.RLIMIT_NOFILE, plan.descriptors)
    process.disable_address_randomisation()
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    return _Prepared(
        tuple(
            "" if p.function else find_program(p.argv[0], p.env.get("PATH", ""), plan)
            for p in plan.programs
        ),
        layers,
    )


def find_program(name: str, search: str, plan: InitPlan) -> str:
    """The file that *name* stands for, searched as execvp(3) does. Raises `SubjectError` with the
    status of timeout(1)."""
    if not name:
        raise SubjectError("the name of the program is empty", 127)
    if "/" in name:
        candidates = [name]
    else:
        candidates = [os.path.join(directory or ".", name) for directory in search.split(":")]
    denied = None
    for path in candidates:
        try:
            status = os.stat(path)
        except OSError as error:
            if error.errno == errno.EACCES:
                denied = path
            continue
        if stat.S_ISREG(status.st_mode) and os.access(path, os.X_OK):
            _check_image(path, status, plan)
            return path
        denied = path
    if denied is not None:
        what = (
            "is a directory" if os.path.isdir(denied) else f"is not executable: chmod +x {denied}"
        )
        raise SubjectError(f"{denied}: {what}", 126)
    if "/" in name:
        hidden = view.is_hidden(plan.view, os.path.abspath(name))
        why = (
            f"; the trial's own {name.split('/')[1]} hides the host's: add --bind {name}"
            if hidden
            else ""
        )
        raise SubjectError(f"{name}: no such program{why}", 127)
    shown = search if len(search) <= _SHOWN_MAX else f"{search[:_SHOWN_MAX]}..."
    raise SubjectError(f"{name}: not found in PATH={shown}", 127)


def _check_image(path: str, status: os.stat_result, plan: InitPlan) -> None:
    with open(path, "rb") as file:
        head = file.read(20)
    if head.startswith(b"\x7fELF") and (head[4] != 2 or head[18:20] != b"\x3e\x00"):
        raise SubjectError(
            f"{path}: not an x86-64 program: its calls have other numbers; use a 64-bit build", 125
        )
    if plan.gains_privileges:
        return
    gains = (
        "set-uid"
        if status.st_mode & stat.S_ISUID
        else "set-gid"
        if status.st_mode & stat.S_ISGID
        else ""
    )
    if not gains:
        try:
            os.getxattr(path, "security.capability")
            gains = "carrying capabilities"
        except OSError:
            return
    raise SubjectError(
        f"{path}: {gains}: it cannot gain them inside a trial of yours; run harness as root", 125
    )


_SIGNALS = {signal.SIGCHLD, signal.SIGUSR1}


def _report(control: socket.socket, packet: Mapping[str, Any]) -> None:
    try:
        control.send(json.dumps(packet).encode())
    except OSError:
        os._exit(1)  # the runner is gone, and with it the trial


def _serve(control: socket.socket, plan: InitPlan, paths: Sequence[str]) -> NoReturn:
    """Wait for packets and for children, for ever. Only the runner ends this process, by
    SIGKILL."""
    started: dict[int, int] = {}
    while True:
        if signal.sigwait(_SIGNALS) == signal.SIGUSR1:
            for number in _asked_for(control):
                _start(control, plan, paths, number, started)
            continue  # each call of ours waits for an answer too, so none is made in vain
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in started:
                _report(control, {"end": started.pop(pid), "status": status})


def _asked_for(control: socket.socket) -> list[int]:
    """The programs to start now: several, as signals that come together are one; or none, for a
    signal of the subject's. Ends this process when the runner is gone."""
    numbers: list[int] = []
    while True:
        try:
            packet = control.recv(_PACKET, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return numbers
        except ConnectionResetError:
            packet = b""  # it went with packets of ours unread
        if not packet:
            os._exit(1)
        numbers.append(json.loads(packet)["start"])


#: Of a file that is there, and may be executed: execve(2).
_WHY_NOT = {
    errno.ENOEXEC: "no #! line: name its interpreter",
    errno.ENOENT: "the interpreter that its first line (or its ELF header) names is not there",
}


def _start(
    control: socket.socket,
    plan: InitPlan,
    paths: Sequence[str],
    number: int,
    started: dict[int, int],
) -> None:
    program = plan.programs[number]
    if program.function is not None:
        pid = functions.start(
            program.function,
            role=program.role,
            number=number,
            is_client=program.is_client,
            environment=program.env,
            stdio=program.stdio,
            directory=view.TRIAL_DIR,
            threads=program.threads,
        )
        started[pid] = number
        return
    defaults = [s for s in signal.valid_signals() if s not in (signal.SIGKILL, signal.SIGSTOP)]
    try:
        pid = os.posix_spawn(
            paths[number],
            program.argv,
            program.env,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, at) for at, fd in enumerate(program.stdio)],
            setpgroup=0,
            setsigmask=[],
            setsigdef=defaults,
        )
    except OSError as error:
        why = _WHY_NOT.get(error.errno or 0, error.strerror)
        packet = {"start": number, "error": f"{paths[number]}: {why}", "errno": error.errno}
        _report(control, packet)
    else:
        started[pid] = number
