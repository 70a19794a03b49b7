"""The template: a process that has imported the subject's modules once, and of which each trial's
init is forked.

It is executed, with addresses and hash seed fixed, imports, with what that draws at random fixed
too, collects its garbage, and from then on only waits for a packet and forks: what it forks is the
same each time. The runner cannot be that:
it keeps results, so its children would differ. Init becomes the runner's child (CLONE_PARENT), and
reads its plan itself, so that a plan leaves nothing behind here.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from .._kernel import namespaces, process, vdso
from .._kernel.drawing import random_bytes_from
from .._kernel.uapi import ADDR_NO_RANDOMIZE
from ..errors import RunnerError, SubjectError
from ..workload import Workload
from . import functions, init, measuring
from .randomness import Randomness

_PACKET = 1 << 17
_FDS_MAX = 16
_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CODE = (
    f"import sys; sys.path.insert(0, {_PACKAGE_PARENT!r}); "
    "from harness._supervisor.template import main; main(int(sys.argv[1]))"
)
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",  # a trial writes nothing on this machine
}


# ---- The process ---------------------------------------------------------------------------------


def main(fd: int) -> None:
    """Import what the first packet on the socket *fd* names, then fork an init for each other."""
    process.die_with_parent()
    os.dup2(2, 1)  # what a module prints when it is imported is no result
    control = socket.socket(fileno=fd)
    wanted = json.loads(control.recv(_PACKET))
    sys.path[:] = wanted["path"]
    os.environ.clear()
    os.environ.update(wanted["environment"])
    drawn = Randomness(0)
    with random_bytes_from(lambda size: drawn.draw("template", "import", size)):
        if "random" in sys.modules:
            sys.modules["random"].seed()  # what it was seeded with before is another each time
        if wanted["coverage"]:
            measuring.measure_imports()
        problem = _import_all([Workload.from_json(one) for one in wanted["workloads"]])
        measuring.pause()
    real_clock = "" if problem else _hold_clock()
    control.send(json.dumps({"problem": problem, "real_clock": real_clock}).encode())
    if problem:
        return
    functions.prepare()
    gc.collect()
    gc.freeze()
    gc.disable()
    while _serve(control):
        pass


def _import_all(workloads: Iterable[Workload]) -> str:
    """Import the modules; why that cannot be, or nothing."""
    for workload in workloads:
        try:
            module = functions.load(workload)
        except BaseException as error:
            return f"{workload.module} cannot be imported: {_where(error)}"
        target: object = module
        for name in workload.qualname.split("."):
            target = getattr(target, name, None)
        if not callable(target):
            return f"{workload.file} has no function {workload.qualname}"
        if len(os.listdir("/proc/self/task")) > 1:
            return (
                f"importing {workload.module} starts a thread, and a process with threads cannot "
                "be forked: start it in the function instead"
            )
    return ""


def _hold_clock() -> str:
    """Have what is forked of this read the trial's clock; why it cannot be, or nothing."""
    try:
        vdso.patch_own()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _where(error: BaseException) -> str:
    """What went wrong, in one line, with the innermost line of source."""
    said = f"{type(error).__name__}: {error}".partition("\n")[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return said
    file = trace.tb_frame.f_code.co_filename
    return said if file.startswith("<") else f"{said} ({file}:{trace.tb_lineno})"


def _serve(control: socket.socket) -> bool:
    """Fork one init; False when the runner has closed the socket."""
    packet, fds, _flags, _address = socket.recv_fds(control, 16, _FDS_MAX)
    if not packet:
        return False
    try:
        pid = namespaces.enter_by_clone(own_network=packet == b"own", as_sibling=True)
    except OSError as error:
        answer = -(error.errno or 1)
    else:
        if pid == 0:
            _become_init(fds)
        answer = pid
    for fd in fds:
        os.close(fd)
    control.send(answer.to_bytes(8, "little", signed=True))
    return True


def _become_init(fds: Sequence[int]) -> None:
    ours, file, *rest = fds
    with open(file, "rb") as plan_file:
        plan: init.InitPlan = pickle.load(plan_file)  # written by our runner a moment ago
    programs = tuple(
        program._replace(stdio=_renumbered(program.stdio, rest.__getitem__))
        for program in plan.programs
    )
    init.main(socket.socket(fileno=ours), plan._replace(programs=programs))


def _renumbered(stdio: tuple[int, int, int], number: Callable[[int], int]) -> tuple[int, int, int]:
    one, two, three = map(number, stdio)
    return one, two, three


# ---- Its handle ----------------------------------------------------------------------------------


class Template:
    """A template that has imported the modules of *workloads*, found by *path* as in sys.path, with
    *environment*; with *coverage*, what is run there and in the trials is measured.

    Raises `SubjectError` when they cannot be imported. Use `close`.
    """

    def __init__(
        self,
        workloads: Sequence[Workload],
        path: Sequence[str],
        environment: Mapping[str, str],
        *,
        coverage: bool = False,
    ) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as unless_ready, theirs:
            unless_ready.callback(self._control.close)
            os.set_inheritable(theirs.fileno(), True)
            before = process.set_personality(ADDR_NO_RANDOMIZE)
            try:
                argv = [sys.executable, "-s", "-P", "-c", _CODE, str(theirs.fileno())]
                self.pid = os.posix_spawn(
                    sys.executable, argv, _ENVIRONMENT, setsigdef=[signal.SIGINT, signal.SIGTERM]
                )
            finally:
                process.set_personality(before)
            theirs.close()
            unless_ready.callback(self._reap)
            wanted = {
                "path": list(path),
                "environment": dict(environment),
                "coverage": coverage,
                "workloads": [one.to_json() for one in workloads],
            }
            try:
                self._control.send(json.dumps(wanted).encode())
                answer = self._control.recv(_PACKET)
            except OSError:
                answer = b""
            if not answer:
                names = ", ".join(sorted({one.module for one in workloads}))
                raise SubjectError(f"importing {names} ended the process that did it", 125)
            said = json.loads(answer)
            if said["problem"]:
                raise SubjectError(said["problem"], 125)
            #: Why what is forked of it reads the real clock; empty when it does not.
            self.real_clock = str(said["real_clock"])
            unless_ready.pop_all()

    def fork(self, plan: init.InitPlan, control: socket.socket) -> int:
        """Fork an init that has *control* and follows *plan*; its pid. Raises `OSError`, and
        `RunnerError` when the template is no more."""
        fds = sorted({fd for program in plan.programs for fd in program.stdio})
        programs = tuple(
            program._replace(stdio=_renumbered(program.stdio, fds.index))
            for program in plan.programs
        )
        with open(os.memfd_create("plan", os.MFD_CLOEXEC), "w+b") as file:
            pickle.dump(plan._replace(programs=programs), file)
            file.flush()
            file.seek(0)
            network = b"own" if plan.own_network else b"host"
            numbers = [control.fileno(), file.fileno(), *fds]
            try:
                socket.send_fds(self._control, [network], numbers)
                packet = self._control.recv(8)
            except OSError:
                packet = b""
        if not packet:
            raise RunnerError(f"the template (process {self.pid}) died between two trials")
        answer = int.from_bytes(packet, "little", signed=True)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def close(self) -> None:
        """End it, and wait for that."""
        self._control.close()
        self._reap()

    def _reap(self) -> None:
        process.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
