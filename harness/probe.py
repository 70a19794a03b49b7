"""What doctor's helper tries, in a process that is executed for nothing else: filters, namespaces,
mounts.

It prints a line of JSON for each ability. It leaves nothing: what it makes is in children that it
kills, and goes with their namespaces.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from errno import EINVAL, EIO, errorcode
from json import dumps
from typing import NoReturn

from ._kernel import memory, mount, namespaces, process, seccomp, uapi, view
from ._kernel.bpf import program

_VIEW = "view of this directory"
_PATIENCE_S = 10
_SYS_getpgid = 121


def main() -> None:
    """Try each ability, with the working directory and the home that the arguments name."""
    _, _root, cwd, home = sys.argv
    _attempt("user notification", _notification)
    _attempt("real-time priority", _priority)
    if not _attempt("six namespaces", lambda: _in_namespaces(_try_mounts, _look_at)):
        _attempt("user namespaces", _user_namespace_alone)
        return
    _say("user namespaces", True, "")
    plan = view.ViewPlan(cwd, home)
    try:
        _in_namespaces(lambda: _attempt(_VIEW, lambda: _view(plan)))
    except OSError as error:
        _say_failed(_VIEW, error)


def _say(name: str, works: bool, detail: str, number: int = 0) -> None:
    # One write a line: a child says some of them, into the same pipe.
    line = dumps({"name": name, "works": works, "detail": detail, "errno": number}) + "\n"
    os.write(1, line.encode())


def _attempt(name: str, act: Callable[[], str]) -> bool:
    """Say whether *act* can be done; its result says more about it."""
    try:
        detail = act()
    except OSError as error:
        _say_failed(name, error)
        return False
    _say(name, True, detail)
    return True


def _say_failed(name: str, error: OSError) -> None:
    number = error.errno or 0
    where = f", {error.filename}" if error.filename else ""
    _say(name, False, f"{errorcode.get(number, number)}: {error.strerror}{where}", number)


def _notification() -> str:
    """A child installs a filter and makes a call; we answer it."""
    seccomp.check_user_notification()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = process.clone(0)
    if child == 0:
        ours.close()
        _in_filtered_child(theirs)
    theirs.close()
    ours.settimeout(_PATIENCE_S)
    try:
        number, fds, _, _ = socket.recv_fds(ours, 20, 1)
        if not fds:
            raise _error(number)
        listener = seccomp.Listener(fds[0])
        _attempt("synchronous wake-up", lambda: _wake_synchronously(listener))
        if not select.select([listener.fd], [], [], _PATIENCE_S)[0]:
            raise OSError(EIO, "no notification came")
        listener.answer(listener.receive()[0], 42)
        if ours.recv(20) != b"42":
            raise OSError(EIO, "an answer did not arrive")
    finally:
        process.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return f"Linux {os.uname().release}"


def _in_filtered_child(control: socket.socket) -> NoReturn:
    try:
        process.die_with_parent()
        process.give_up_new_privileges()
        listener = seccomp.install(program({_SYS_getpgid: ()}))
        socket.send_fds(control, [b"0"], [listener])
        control.send(str(os.getpgid(0)).encode())
    except OSError as error:
        control.send(str(error.errno or EIO).encode())
    finally:
        os._exit(0)


def _error(number: bytes) -> OSError:
    """The error that a child reported by its number; nothing, when it died."""
    value = int(number or EIO)
    return OSError(value, os.strerror(value))


def _wake_synchronously(listener: seccomp.Listener) -> str:
    if not listener.wake_synchronously():
        raise OSError(EINVAL, "not in this kernel")
    return ""


def _priority() -> str:
    process.schedule_in_real_time(0, 1)
    process.run_anywhere(os.sched_getaffinity(0))
    return ""


def _user_namespace_alone() -> str:
    pid = process.clone(uapi.CLONE_NEWUSER)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return ""


def _in_namespaces(
    inside: Callable[[], object], meanwhile: Callable[[int], None] | None = None
) -> str:
    """Do *inside* as PID 1 of six fresh namespaces, then *meanwhile* with its pid outside; then it
    is killed, and all that it made goes with it."""
    ours_reader, theirs_writer = os.pipe()
    theirs_reader, ours_writer = os.pipe()
    pid = namespaces.enter_by_clone(own_network=True)
    if pid == 0:
        os.close(ours_reader)
        os.close(ours_writer)
        _be_pid_1(theirs_reader, theirs_writer, inside)
    os.close(theirs_reader)
    os.close(theirs_writer)
    try:
        namespaces.write_maps(pid)
        os.write(ours_writer, b"go")
        if not select.select([ours_reader], [], [], _PATIENCE_S)[0]:
            raise OSError(EIO, "PID 1 did not answer")
        why = os.read(ours_reader, 20)
        if why != b"done":
            raise _error(why)
        if meanwhile:
            meanwhile(pid)
    finally:
        process.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ours_reader)
        os.close(ours_writer)
    return "user, pid, mount, net, ipc, uts"


def _be_pid_1(reader: int, writer: int, inside: Callable[[], object]) -> NoReturn:
    try:
        process.die_with_parent()
        if not os.read(reader, 2):
            os._exit(1)
        namespaces.bring_loopback_up()
        namespaces.set_host_name(b"doctor")
        inside()
        os.write(writer, b"done")
        os.read(reader, 1)  # until we are killed
    except OSError as error:
        os.write(writer, str(error.errno or EIO).encode())
    finally:
        os._exit(1)


def _try_mounts() -> None:
    """As PID 1: a tmpfs with an overlay and a fresh /proc in it."""
    mount.make_private()
    base = next((path for path in ("/tmp", "/mnt", "/media") if os.path.isdir(path)), "/")
    lower, upper, work, merged, proc = (
        f"{base}/{name}" for name in ("lower", "upper", "work", "merged", "proc")
    )

    def overlay() -> str:
        mount.mount("doctor", base, "tmpfs")
        os.makedirs(f"{lower}/old")
        for directory in upper, work, merged, proc:
            os.mkdir(directory)
        mount.overlay([lower], merged, upper, work)
        os.rmdir(f"{merged}/old")
        return ""

    def replaced() -> str:
        os.mkdir(f"{merged}/old")
        return ""

    def fresh_proc() -> str:
        mount.mount("proc", proc, "proc")
        return ""

    if _attempt("overlay", overlay):
        _attempt("replaced directories", replaced)
        _attempt("fresh /proc", fresh_proc)


def _look_at(pid: int) -> None:
    """From outside: what the supervisor needs to see of a task."""

    def read_memory() -> str:
        image = memory.Memory(pid)
        image.read(id(None), 8)  # it was forked from us
        image.close()
        return ""

    def get_descriptor() -> str:
        pidfd = process.open_pidfd(pid)
        os.close(process.get_fd(pidfd, 1))
        os.close(pidfd)
        return ""

    def children() -> str:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            if str(pid) not in file.read().split():
                raise OSError(EIO, "a child is not listed")
        return ""

    _attempt("memory of a task", read_memory)
    _attempt("descriptors of a task", get_descriptor)
    _attempt("children of a task", children)


def _view(plan: view.ViewPlan) -> str:
    os.close(view.build(plan))
    return plan.cwd
