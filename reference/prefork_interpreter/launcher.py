"""The launcher: it finds the server of a script, or starts it, hands over a call, and ends as the
script does.

No dataclasses, no argparse, no subprocess: a call waits for each import.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from reference.prefork_interpreter import arguments as command_line
from reference.prefork_interpreter import identity, protocol, run_directory, watcher
from reference.prefork_interpreter.arguments import Arguments, UsageError
from reference.prefork_interpreter.identity import IdentityError
from reference.prefork_interpreter.log import STANDARD_ERROR, printable, write_all
from reference.prefork_interpreter.names import Names, close_descriptor, identity_of
from reference.prefork_interpreter.protocol import ProtocolError, Setup
from reference.prefork_interpreter.run_directory import RunDirectoryError
from reference.prefork_interpreter.states import Event, State, after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

PROGRAM = "prefork-interpreter"
FAILED = 127
USAGE = 255

#: The signals that are died of; another one is told in words, as one must not dump core for it.
PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGPIPE, signal.SIGTERM)

_BACKLOG = 2**31 - 1
_DESCRIPTORS_MAX = 1 << 20


class LauncherError(Exception):
    """The call cannot be made; its text is one line that says why."""


class SetupFailed(Exception):
    """The script ended before it was set up, with the wait status *status*."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Launcher:
    """One call of *command* by the server of *names*, with *variables* (NAME=value).

    *descriptors* become the script's standard streams.
    """

    def __init__(
        self,
        *,
        mode: str,
        command: Sequence[bytes],
        names: Names,
        variables: Sequence[bytes],
        descriptors: Sequence[int] = (0, 1, 2),
    ) -> None:
        self.state = State.LAUNCHER_CONNECTING
        self.names = names
        self.descriptors = tuple(descriptors)
        self._mode = mode
        self._command = list(command)
        self._variables = list(variables)

    def run(self) -> int:
        """The wait status of the script. LauncherError or SetupFailed."""
        try:
            with self.connect_or_start() as call:
                self.ask(call)
                return self.wait_for_status(call)
        except ProtocolError as error:
            self.state = after(self.state, Event.FAILED)
            raise LauncherError(str(error)) from None
        except (LauncherError, SetupFailed):
            self.state = after(self.state, Event.FAILED)
            raise

    def connect_or_start(self) -> socket.socket:
        """A call that has been greeted."""
        call = self.connect() if self._mode != command_line.FRESH else None
        if call is not None:
            self.state = after(self.state, Event.GREETED)
            return call
        self.state = after(self.state, Event.NOBODY)
        run_directory.clean(os.path.dirname(self.names.socket))
        lock = self.take_lock()
        try:
            # Another one may have started it while we waited.
            call = self.connect() if self._mode != command_line.FRESH else None
            if call is None:
                self.state = after(self.state, Event.NOBODY)
                call = self.start()
            self.state = after(self.state, Event.GREETED)
            return call
        finally:
            close_descriptor(lock)

    def take_lock(self) -> int:
        """Wait for the lock of the names; a descriptor that holds it."""
        try:
            lock = self.names.take()
        except OSError as error:
            raise LauncherError(f"cannot lock {self.names.lock}: {error.strerror}") from None
        assert lock is not None
        return lock

    def connect(self) -> socket.socket | None:
        """A call to the server that there is; None when there is none, or it is about to end."""
        call = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            call.connect(self.names.socket)
            if self.read_greeting(call):
                return call
        except (ConnectionRefusedError, FileNotFoundError, ConnectionResetError):
            pass
        except OSError as error:
            call.close()
            raise LauncherError(f"cannot call {self.names.socket}: {error.strerror}") from None
        except BaseException:
            call.close()
            raise
        call.close()
        return None

    def read_greeting(self, call: socket.socket) -> bool:
        """Whether a monitor greets. ProtocolError when something else does."""
        head = read_exactly(call, len(protocol.GREETING))
        if head is None:
            return False
        return read_exactly(call, protocol.parse_greeting(head)) is not None

    # To start a server; the lock is held

    def start(self) -> socket.socket:
        """Start the script, and wait until it is set up; its first call."""
        try:
            listener = self.listen()
        except OSError as error:
            # The lock, too: for the first call of all it was made just now.
            self.remove_names()
            raise LauncherError(f"cannot listen on {self.names.socket}: {error}") from None
        call: socket.socket | None = None
        try:
            call = self.start_script(listener)
            if not self.read_greeting(call):
                raise LauncherError(
                    "the script has ended without a call of initialisation_complete()"
                )
            return call
        except BaseException as error:
            if call is not None:
                call.close()
            self.remove_names()
            if isinstance(error, OSError):
                raise LauncherError(f"cannot start a server: {error}") from None
            raise
        finally:
            listener.close()

    def remove_names(self) -> None:
        """There will be no server: let nothing of it be left. Raises no OSError."""
        try:
            self.names.remove()
        except OSError:
            pass  # the next launcher finds that nobody listens there

    def listen(self) -> socket.socket:
        """Listen in the place of a server that is no more, or is to go."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            try:
                os.unlink(self.names.socket)
            except FileNotFoundError:
                pass
            # The mask, not chmod afterwards: nobody may get in between the two.
            mask = os.umask(0o077)
            try:
                listener.bind(self.names.socket)
            finally:
                os.umask(mask)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener

    def start_script(self, listener: socket.socket) -> socket.socket:
        """Run the script until it has forked its server; our end of its first call."""
        own = identity_of(self.names.socket)
        if own is None:
            raise LauncherError(f"{self.names.socket} was removed by another")
        started_ns = os.lstat(self.names.socket).st_mtime_ns
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with theirs:
                watch_in, watch_err = watcher.start(self.names.socket, own)
                try:
                    os.set_blocking(watch_err, False)
                    setup = Setup(
                        started_ns=started_ns,
                        listen=listener.fileno(),
                        call=theirs.fileno(),
                        watch_in=watch_in,
                        watch_err=watch_err,
                    )
                    pid = os.fork()
                    if pid == 0:
                        self.become_script(setup)
                finally:
                    for descriptor in (watch_in, watch_err):
                        close_descriptor(descriptor)
            listener.close()
            status = os.waitpid(pid, 0)[1]
            if status:
                raise SetupFailed(status)
        except BaseException:
            ours.close()
            raise
        return ours

    def become_script(self, setup: Setup) -> NoReturn:
        """Become the interpreter of the script. Never returns, whatever happens."""
        try:
            arrange_descriptors(setup)
            # Python has these ignored from its start on.
            for number in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            variables = mapping_of(self._variables)
            variables[protocol.VARIABLE] = protocol.encode_setup(setup)
            os.execvpe(self._command[0], self._command, variables)
        except OSError as error:
            say(f"cannot execute {os.fsdecode(self._command[0])}: {error.strerror}")
        finally:
            os._exit(FAILED)

    # The call

    def ask(self, call: socket.socket) -> None:
        """Send descriptors and message."""
        message = protocol.encode_message(self._variables, self._command)
        try:
            call.sendall(b"\0")
            for descriptor in self.descriptors:
                socket.send_fds(call, [b"\0"], [descriptor])
            call.sendall(message)
        except OSError as error:
            raise LauncherError(f"cannot hand over the call: {error.strerror}") from None
        self.state = after(self.state, Event.SENT)

    def wait_for_status(self, call: socket.socket) -> int:
        """The wait status of the script."""
        try:
            data = read_exactly(call, 4)
        except OSError as error:
            raise LauncherError(f"cannot read the status: {error.strerror}") from None
        if data is None:
            raise LauncherError("the monitor has ended without a status")
        status = protocol.decode_status(data)
        self.state = after(self.state, Event.ANSWERED)
        return status


def arrange_descriptors(setup: Setup) -> None:
    """Have standard input empty, standard output where errors go, and besides only what *setup*
    names. OSError when that cannot be."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(STANDARD_ERROR, 1)
    kept = sorted(setup.descriptors)
    for before, descriptor in zip((2, *kept), (*kept, _DESCRIPTORS_MAX), strict=True):
        os.closerange(before + 1, descriptor)
    for descriptor in kept:
        os.set_inheritable(descriptor, True)


def read_exactly(call: socket.socket, size: int) -> bytes | None:
    """*size* bytes; None when the connection ends before. OSError when it fails."""
    data = bytearray()
    while len(data) < size:
        try:
            piece = call.recv(size - len(data))
        except ConnectionResetError:
            return None
        if not piece:
            return None
        data += piece
    return bytes(data)


def mapping_of(variables: Sequence[bytes]) -> dict[bytes, bytes]:
    """*variables* by name; the first of equal names counts, as getenv(3) has it."""
    found: dict[bytes, bytes] = {}
    for variable in variables:
        name, equals, value = variable.partition(b"=")
        if equals and name:
            found.setdefault(name, value)
    return found


# The program


def main(words: Sequence[str]) -> int:
    """Launch what *words* ask for; the exit status, unless a signal is to be died of."""
    hold_standard_descriptors()
    let_signals_be()
    try:
        arguments = command_line.parse([os.fsencode(word) for word in words])
    except UsageError as error:
        say(f"{error} (--help says more)")
        return USAGE
    if arguments.mode == command_line.HELP:
        write_all(1, command_line.USAGE)
        return 0
    try:
        variables = own_variables()
        names = names_for(arguments, mapping_of(variables))
        if arguments.mode == command_line.KILL:
            end_server(names)
            return 0
        launcher = Launcher(
            mode=arguments.mode, command=arguments.command, names=names, variables=variables
        )
        return pass_on(launcher.run(), "the call")
    except SetupFailed as failed:
        return pass_on(failed.status, "the setup")
    except (LauncherError, RunDirectoryError, IdentityError) as error:
        say(str(error))
    except OSError as error:
        say(f"cannot go on: {error}")
    return FAILED


def hold_standard_descriptors() -> None:
    """Where 0, 1 or 2 is closed, put there what fails as that would: nothing of ours gets there."""
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number, so it is this one.
            os.set_inheritable(os.open(os.devnull, mode), True)


def let_signals_be() -> None:
    """Python has its own ways with these; ours is to die of them, and to learn of our children."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def own_variables() -> list[bytes]:
    """The environment as it was given: Python may have added to os.environ for itself."""
    try:
        with open("/proc/self/environ", "rb") as file:
            return file.read().split(b"\0")[:-1]
    except OSError:
        return [name + b"=" + value for name, value in os.environb.items()]


def names_for(arguments: Arguments, variables: Mapping[bytes, bytes]) -> Names:
    """The names of the server that *arguments* mean, in a directory that is there."""
    uid = os.getuid()
    directory, warning = run_directory.find(uid)
    if warning:
        say(f"warning: {warning}")
    ident = identity.name(arguments, variables, directory)
    run_directory.make(directory, uid)
    return Names.of(directory, ident)


def end_server(names: Names) -> None:
    """Remove the names: the watcher tells the server, which ends. OSError when that fails."""
    lock = names.take()
    assert lock is not None
    try:
        names.remove()
    finally:
        close_descriptor(lock)


def pass_on(status: int, what: str) -> int:
    """The exit status for the wait status *status*, or the end by the same signal."""
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    if not os.WIFSIGNALED(status):
        say(f"{what} has the wait status 0x{status:x}")
        return FAILED
    number = os.WTERMSIG(status)
    if number in PASSED_ON and not os.WCOREDUMP(status):
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
        os.kill(os.getpid(), number)
    dumped = " (core dumped)" if os.WCOREDUMP(status) else ""
    say(f"{what} was ended by signal {number} {signal.strsignal(number)}{dumped}")
    return FAILED


def say(text: str) -> None:
    """A line on standard error."""
    write_all(STANDARD_ERROR, printable(f"{PROGRAM}: {text}") + "\n")


def run() -> NoReturn:
    """The program. Nothing is to be cleared up, so nothing is waited for."""
    os._exit(main(sys.argv[1:]))
