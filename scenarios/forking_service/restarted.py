"""The forking service as a program that keeps it running has it: told to, it stops the service and
starts a successor on the same path at once; and clients that ask all the while."""

from __future__ import annotations

import os
import select
import signal

from harness import Client, Subject, listening
from reference.forking_service.client import (
    ForkedProcess,
    ForkingServiceClient,
    ForkingServiceError,
    ServiceNotThere,
)
from reference.forking_service.listener import StartError
from reference.forking_service.loop import nap
from reference.forking_service.options import Options
from reference.forking_service.service import ForkingService
from reference.forking_service.start import install_handlers
from scenarios.forking_service.workloads import SOCKET, opened, place_of_child

PID_FILE = "{dir}/keeper.pid"
STOPPING = b"FAILURE\nthe service is stopping\n"
#: How long a service that cannot start yet waits before it tries again, in seconds.
_AGAIN_S = 0.02
#: How often a client is refused at most before there must be an answer, and how long it waits
#: after each time, in milliseconds.
_REFUSED_MAX = 200
_PAUSE_MS = 5


# ---- The services --------------------------------------------------------------------------------


def keep(path: str, directory: str, pid_file: str) -> int:
    """Keep a service running until SIGTERM; at SIGHUP tell it to stop, and start another one.

    The pid is in *pid_file*. The exit status is 0 if that of each service was."""
    told = {signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, told)
    with open(pid_file, "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    services = [start(path, directory)]
    while signal.sigwait(told) == signal.SIGHUP:
        os.kill(services[-1], signal.SIGTERM)
        services.append(start(path, directory))
    os.kill(services[-1], signal.SIGTERM)
    statuses = [os.waitpid(pid, 0)[1] for pid in services]
    os.unlink(pid_file)
    return int(any(statuses))


def start(path: str, directory: str) -> int:
    """Fork a service; its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = serve_when_possible(Options(path=path, directory=directory))
    finally:
        os._exit(status)


def serve_when_possible(options: Options) -> int:
    """Be the service as soon as the one before it has stopped listening; the exit status."""
    service = ForkingService(options)
    install_handlers(service.stop)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    while True:
        try:
            service.start()
            break
        except StartError:
            nap(_AGAIN_S)
    try:
        service.serve_until_stopped()
    finally:
        service.finish()
    return 0


KEPT = Subject.process(
    keep,
    kwargs={"path": SOCKET, "directory": "{dir}", "pid_file": PID_FILE},
    ready=listening(SOCKET),
)


# ---- Their clients -------------------------------------------------------------------------------


def keeps_asking(client: Client, times: int, code: int) -> None:
    """Have *times* children that exit with *code*, and ask until there were: each answer is whole,
    or a refusal, by words or because nobody listens."""
    for _ in range(times):
        with client.invoke("ask"):
            for _ in range(_REFUSED_MAX):
                if asks_once(client, code):
                    break
                select.poll().poll(_PAUSE_MS)
            else:
                client.fail("it was refused again and again")


def asks_once(client: Client, code: int) -> bool:
    """Whether there was a child; if not, the service has said why, or there is none."""
    try:
        connection = client.connect(SOCKET)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    with connection:
        try:
            connection.sendall(b"fork exit %d\n" % code)
        except BrokenPipeError:
            pass  # it has answered already
        with connection.makefile("rb") as replies:
            if (first := replies.readline()) != b"ok\n":
                client.expect(first + replies.readline(), STOPPING)
                return False
            with opened(place_of_child(replies)):
                client.expect(replies.read(), b"exited\n%d\n" % (code << 8))
    return True


def restarts(client: Client) -> None:
    """Have the service restarted while it has a child of this client: that one lives on, and its
    end is told by the service that it came from."""
    with client.invoke("restart"), has_child(client) as child:
        child.stdin.write(b"1 before\n")
        client.expect(child.stdout.readline(), b"before\n")
        with client.open(PID_FILE) as file:
            os.kill(int(file.read()), signal.SIGHUP)
        keeps_asking(client, 1, code=9)
        out, err = child.communicate(b"1 after\n3 wrong\n")
        client.expect(out, b"after\n")
        client.expect(b"neither" in err, True)
        client.expect(child.returncode, 1)


def has_child(client: Client) -> ForkedProcess:
    """A child that waits for input, as soon as there is a service."""
    for _ in range(_REFUSED_MAX):
        try:
            return ForkingServiceClient(client.path(SOCKET)).fork(["replay"])
        except ForkingServiceError as error:
            client.expect(is_clear(error), True)
        select.poll().poll(_PAUSE_MS)
    client.fail("it was refused again and again")


def is_clear(error: ForkingServiceError) -> bool:
    """Whether it says that there is no service, or that it stops; and not that a reply was cut."""
    return isinstance(error, ServiceNotThere) or str(error) == "the service is stopping"
