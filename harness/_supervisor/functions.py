"""A program that is a function: init forks, and the child becomes what a new process would be.

The modules are there already: init was forked from a template that has imported them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import operator
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from .._kernel.hypercall import NUMBER as HYPERCALL
from .._kernel.hypercall import hypercall
from ..client import Client, OperationFailed, Unexpected, in_words
from ..workload import Workload
from . import measuring
from .asserting import asserts_speak, loader_of

_DESCRIPTORS_END = 2**31 - 1
_FOR_LONG_S = 3600.0
_MOMENT_S = 20e-6
#: What a new Python process does not leave at its default. Source: signal, in the library's docs.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


def load(workload: Workload) -> ModuleType:
    """Import the module of *workload*, by its name or else from its file. Raises whatever the
    module raises."""
    with asserts_speak(workload):
        module = sys.modules.get(workload.module)
        if module is None:
            try:
                module = importlib.import_module(workload.module)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{workload.module}.".startswith(f"{error.name}."):
                    raise  # it is there, but what it imports is not
        if module is not None and _is_at(module, workload.file):
            return module
        loader = loader_of(workload.module, workload.file)
        spec = importlib.util.spec_from_file_location(workload.module, workload.file, loader=loader)
        if spec is None or spec.loader is None:
            raise ImportError(f"{workload.file} is no Python module")
        module = importlib.util.module_from_spec(spec)
        sys.modules[workload.module] = module
        spec.loader.exec_module(module)
        return module


def _is_at(module: ModuleType, file: str) -> bool:
    found = getattr(module, "__file__", None)
    return found is not None and os.path.realpath(found) == os.path.realpath(file)


def start(
    workload: Workload,
    *,
    role: str,
    number: int,
    is_client: bool,
    environment: Mapping[str, str],
    stdio: tuple[int, int, int],
    directory: str,
    threads: Sequence[tuple[int, str, Workload]] = (),
) -> int:
    """Fork the process that calls *workload*; its pid. It is command *number* of the trial, and
    says so when it begins. So do *threads*, the clients of the process, when they are told to."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        _become_new(environment, stdio)
        sys.argv = [str(workload)]
        function = operator.attrgetter(workload.qualname)(sys.modules[workload.module])
        kwargs = {name: _in_trial(value, directory) for name, value in workload.kwargs.items()}
        words = (Client(role, directory),) if is_client else ()
        measuring.go_on()
        clients = _start_threads(threads, directory)
        hypercall("begin", str(number))
        pid = os.getpid()
        status = _leave(_call(role, function, words, kwargs))
        if threads and os.getpid() == pid:
            for client in clients[: hypercall("end", str(status))]:
                client.join()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _start_threads(
    threads: Sequence[tuple[int, str, Workload]], directory: str
) -> list[threading.Thread]:
    """One thread for each client, which waits until it may begin. As long as they are made, none is
    made to share the interpreter: so they are made in the same way each time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_FOR_LONG_S)
    made = []
    for number, role, workload in threads:
        waits = threading.Lock()
        waits.acquire()
        more = (number, role, workload, directory, waits)
        made.append(threading.Thread(target=_be_client, args=more, name=role, daemon=True))
        made[-1].start()
        waits.acquire()
        _wait_until_it_calls(made[-1].native_id or 0)
    sys.setswitchinterval(interval)
    return made


def _wait_until_it_calls(tid: int) -> None:
    """Until the thread's hypercall is under way: who comes later is a thread that the service makes
    itself. Source: proc_pid_syscall(5)."""
    call = b"%d " % HYPERCALL
    fd = os.open(f"/proc/self/task/{tid}/syscall", os.O_RDONLY)
    while not os.pread(fd, len(call), 0).startswith(call):
        time.sleep(_MOMENT_S)  # lets go of the interpreter for longer than the read does
    os.close(fd)


def _be_client(
    number: int, role: str, workload: Workload, directory: str, waits: threading.Lock
) -> None:
    pid = os.getpid()
    waits.release()
    hypercall("begin", str(number))
    function = operator.attrgetter(workload.qualname)(sys.modules[workload.module])
    kwargs = {name: _in_trial(value, directory) for name, value in workload.kwargs.items()}
    status = _call(role, function, (Client(role, directory),), kwargs)
    if os.getpid() != pid:
        os._exit(_leave(status))  # this is a child that it forked
    hypercall("end", str(_flush(status)))


def prepare() -> None:
    """What is the same for every process to be forked, done once, in the template: each call that
    is left for them costs each of them an answer of the supervisor."""
    for one in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(one, signal.SIG_IGN if one in _IGNORED else signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )


def _become_new(environment: Mapping[str, str], stdio: tuple[int, int, int]) -> None:
    """What an execve(2) and the start of an interpreter would have done, and `prepare` has not."""
    os.setpgid(0, 0)
    for number, fd in enumerate(stdio):  # init has put nothing of these below 3
        os.dup2(fd, number)
    os.closerange(3, _DESCRIPTORS_END)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.environ.clear()
    os.environ.update(environment)
    gc.enable()


def _call(role: str, function: Any, words: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Call it, and be its exit status: what it returns (None is 0), or 1 when it raises."""
    try:
        result = function(*words, **kwargs)
        status = 0 if result is None else int(result)
    except SystemExit as error:
        status = _exit_status(error.code)
    except KeyboardInterrupt:
        _end_by(signal.SIGINT)
    except (OSError, EOFError, Unexpected, OperationFailed) as error:
        if words:  # what a client meets when its service is in trouble
            print(f"{role}: {in_words(error)}", file=sys.stderr)
        else:
            _print_traceback(error)
        status = 1
    except BaseException as error:
        _print_traceback(error)
        status = 1
    return status


def _print_traceback(error: BaseException) -> None:
    """As the interpreter prints it, without the frames that are ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(type(error), error.with_traceback(trace), trace)


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _end_by(number: int) -> NoReturn:
    """Die of a signal, as the interpreter does of an interrupt."""
    measuring.save()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _leave(status: int) -> int:
    """What the interpreter does at its end: wait for threads, run the handlers, flush."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    return _flush(status)


def _flush(status: int) -> int:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return status or 120  # as the interpreter itself: what was said is lost
    return status & 0xFF


def _in_trial(value: Any, directory: str) -> Any:
    """*value* with `{dir}` replaced in every string of it."""
    if isinstance(value, str):
        return value.replace("{dir}", directory)
    if isinstance(value, list):
        return [_in_trial(item, directory) for item in value]
    if isinstance(value, dict):
        return {key: _in_trial(item, directory) for key, item in value.items()}
    return value
