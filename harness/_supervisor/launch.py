"""Making a trial's world from outside: init in its namespaces, its maps, and the listener that it
hands over."""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import socket
from collections.abc import Collection
from typing import Any

from .._kernel import namespaces, process, ptrace, seccomp
from ..errors import MachineError, SubjectError
from . import init
from .template import Template

_PACKET = 65536
_REAP_MS = 1
_HAND_OVER_S = 30.0
_NO_USERNS = (
    "sudo sysctl -w user.max_user_namespaces=15000 (and kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0 where they exist); "
    "in a container: --security-opt seccomp=unconfined"
)


class World:
    """A trial's init with everything that belongs to it. `close` ends it all: the namespaces go
    with PID 1."""

    def __init__(
        self, pid: int, control: socket.socket, listener: seccomp.Listener, layers: int
    ) -> None:
        self.pid = pid
        self.control = control
        self.listener = listener
        self.layers = layers

    def send(self, packet: dict[str, Any]) -> None:
        """Give init something to do."""
        self.control.send(json.dumps(packet).encode())
        process.kill(self.pid, signal.SIGUSR1)

    def receive(self) -> dict[str, Any] | None:
        """What init says next, None when it says nothing now. Raises `EOFError` when init is
        gone."""
        try:
            packet = self.control.recv(_PACKET, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if not packet:
            raise EOFError("init is gone")
        answer: dict[str, Any] = json.loads(packet)
        return answer

    def kill(self, traced: Collection[int] = ()) -> None:
        """Kill PID 1 and, with it, every process of the trial; return when they are gone. *traced*
        are the threads that we trace."""
        if self.pid:
            end(self.pid, traced)
            self.pid = 0  # a second SIGKILL could hit whoever has that number by then

    def close(self) -> None:
        """Give up the descriptors. After `kill`; what the trial wrote is gone with them."""
        self.listener.close()
        self.control.close()
        os.close(self.layers)


def end(pid: int, traced: Collection[int] = ()) -> None:
    """SIGKILL to *pid*, and wait for it: PID 1 is only reaped when all of its namespace is, and
    whom we trace only we can reap."""
    process.kill(pid, signal.SIGKILL)
    try:
        if traced:
            _reap(pid, traced)
        else:
            os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def _reap(pid: int, traced: Collection[int]) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        while not poll.poll(_REAP_MS):
            for tid in traced:
                ptrace.look(tid)
    finally:
        os.close(pidfd)
    os.waitpid(pid, 0)


def launch(plan: init.InitPlan, template: Template | None = None) -> World:
    """Fork init, of *template* or of ourselves, and return when its filter is installed. Raises
    `MachineError` or `SubjectError`; then nothing is left."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        if template is not None:
            pid = template.fork(plan, theirs)
        else:
            pid = namespaces.enter_by_clone(own_network=plan.own_network)
    except OSError as error:
        ours.close()
        theirs.close()
        raise MachineError(
            f"user namespaces are not available here: {error.strerror}", fix=_NO_USERNS
        ) from None
    if pid == 0:
        init.main(theirs, plan)
    theirs.close()
    try:
        return _hand_over(pid, ours)
    except BaseException:
        end(pid)
        ours.close()
        raise


def _hand_over(pid: int, control: socket.socket) -> World:
    try:
        namespaces.write_maps(pid)
        control.send(b"go")
    except OSError as error:
        # If it has died by now, what it said before is the reason; it says nothing while it waits.
        if not select.select([control], [], [], 0)[0]:
            raise MachineError(
                f"the trial's users cannot be mapped: {error.strerror}", fix=_NO_USERNS
            ) from None
    control.settimeout(_HAND_OVER_S)
    try:
        message, fds, _flags, _address = socket.recv_fds(control, _PACKET, 2)
    except TimeoutError:
        raise MachineError(
            "the trial's init did not get ready", fix="try again on a less busy machine"
        ) from None
    control.settimeout(None)
    if len(fds) == 2:
        listener = seccomp.Listener(fds[0])
        try:
            listener.wake_synchronously()
        except OSError:
            pass  # before Linux 6.6: each call takes longer, no more
        return World(pid, control, listener, fds[1])
    if not message:
        raise MachineError(
            "the trial's init died before it was ready", fix="see `dmesg`; is memory short?"
        )
    answer = json.loads(message)
    if "status" in answer:
        raise SubjectError(answer["error"], answer["status"])
    if "fix" in answer:
        raise MachineError(answer["error"], fix=answer["fix"])
    why = OSError(answer["errno"], answer["error"])
    raise machine_error("the trial's view cannot be built", why)


def machine_error(what: str, error: OSError) -> MachineError:
    """*what* cannot be, as the kernel said by *error*; with the fix, where the errno tells it."""
    where = f" ({error.filename})" if error.filename else ""
    message = f"{what}: {error.strerror}{where}"
    if error.errno == errno.EMFILE:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return MachineError(
            f"{message}; the limit is {limit}",
            fix="ulimit -n 4096 (above the limit of `ulimit -Hn` only as root)",
        )
    if error.errno == errno.ENFILE:
        return MachineError(message, fix="sudo sysctl -w fs.file-max=1000000")
    return MachineError(message, fix="harness doctor says what is missing")
