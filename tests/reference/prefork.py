"""What the tests of the prefork interpreter share: a place of its own for launchers and servers,
and a server without any launcher, to which a test talks in bytes."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from reference.prefork_interpreter.protocol import Setup, encode_setup
from tests.reference.support import PATIENCE_S, environment

PROGRAMS = Path(__file__).with_name("programs")
#: Debian's, and ours, by name.
LAUNCHERS: Mapping[str, tuple[str, ...]] = {
    "C": ("/usr/bin/prefork-interp",),
    "ours": (sys.executable, "-m", "reference.prefork_interpreter"),
}
#: The first process of the namespaces: it makes the run directory, reaps whoever loses its parent,
#: and ends, with all the others, when its standard input does.
_HOLDER = """\
import os, signal, subprocess, sys
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/run"], check=True)
os.makedirs("/run/user")
os.mkdir("/run/user/0", 0o700)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
"""
_PYTHON = (sys.executable, "-I", "-S")
RUN_DIRECTORY = "/run/user/0/prefork-interp"


def require(launcher: str) -> None:
    """Skip the test, with the fix, where there is no such launcher."""
    if launcher == "C":
        path = LAUNCHERS[launcher][0]
        if (
            not os.path.exists(path)
            or subprocess.run([path, "--help"], capture_output=True).returncode
        ):
            pytest.skip(f"no {path} here; fix: apt-get install chiark-utils-bin libuv1 libnettle8")


class Place:
    """A directory for scripts, and namespaces (user, mount, pid) with an empty run directory.

    Whatever is left running in them ends with them.
    """

    def __init__(self, launcher: str) -> None:
        self.launcher = launcher
        #: What executes each command line in the namespaces, if anything does.
        self.through: Sequence[str] = ()
        self.path = Path(tempfile.mkdtemp(prefix="pi-"))
        try:
            self._holder = subprocess.Popen(
                ["unshare", "-Urmpf", "--mount-proc", "--kill-child", *_PYTHON, "-c", _HOLDER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert self._holder.stdout is not None
            said = self._holder.stdout.readline()
            if said != b"ready\n":
                self.close()
                pytest.skip(f"no namespaces here: {said.decode().strip()}; see harness doctor")
            children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
            self._inside = int(children.read_text().split()[0])
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def close(self) -> None:
        """End all that runs there, and remove the directory."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(PATIENCE_S)
        self._holder.stdout.close()
        shutil.rmtree(self.path)

    def script(self, name: str, **replaced: str) -> str:
        """A copy here of the script *name* of programs/, for which `python3` runs it; its path."""
        text = (PROGRAMS / name).read_text(encoding="utf-8")
        for word, other in replaced.items():
            text = text.replace(word, other)
        (self.path / name).write_text(text, encoding="utf-8")
        return str(self.path / name)

    def inside(self, *words: str) -> list[str]:
        """The command line of *words* in the namespaces."""
        enter = ["nsenter", "-t", str(self._inside), "-U", "-m", "-p", "--preserve-credentials"]
        return [*enter, f"--wd={self.path}", "--", *self.through, *words]

    def launch(self, *words: str) -> list[str]:
        """The command line of the launcher with *words*, in the namespaces."""
        return self.inside(*LAUNCHERS[self.launcher], *words)

    def words(self, script: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """The command line of a call of *script*."""
        return self.launch(*options, "-U", sys.executable, script, *arguments)

    def call(
        self, script: str, *arguments: str, options: Sequence[str] = (), **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """A call of *script* from beginning to end."""
        return run(self.words(script, *arguments, options=options), **more)

    def start(
        self, script: str, *arguments: str, options: Sequence[str] = (), **more: Any
    ) -> subprocess.Popen[bytes]:
        """A call of *script*, begun."""
        words = self.words(script, *arguments, options=options)
        return subprocess.Popen(words, env=more.pop("env", environment()), **more)

    def kill(self, script: str, options: Sequence[str] = ()) -> None:
        """End its server."""
        done = self.call(script, options=["--kill", *options])
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def without_privileges(self) -> None:
        """From now on uid 0 of the namespaces may open what anybody else may, and no more."""
        dropped = "-dac_override,-dac_read_search"
        self.through = ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]

    def mount(self, *words: str) -> None:
        """mount(8) with *words*, in the namespaces."""
        done = run(self.inside("mount", *words))
        assert done.returncode == 0, done.stderr.decode()

    def give_away(self, directory: str) -> None:
        """Let *directory*, in the namespaces, be one of somebody who is unknown there."""
        if os.geteuid() == 0:
            foreign = self.path / "foreign"
            foreign.mkdir(mode=0o700)
            os.chown(foreign, 65534, 65534)
            self.mount("--bind", str(foreign), directory)
        else:
            # root's, who is unknown to whoever is mapped to it.
            self.mount("--rbind", "/usr", directory)

    def home(self, path: str) -> None:
        """Let *path* be the home of the user of the namespaces, who has no directory in /run."""
        passwd = self.path / "passwd"
        passwd.write_text(f"root:x:0:0:root:{path}:/bin/sh\n", encoding="utf-8")
        self.mount("--bind", str(passwd), "/etc/passwd")

    def names(self, directory: str = RUN_DIRECTORY) -> list[str]:
        """What is in the run directory."""
        done = run(self.inside("ls", "-A", directory))
        return done.stdout.decode().split()

    def processes(self) -> dict[int, str]:
        """What runs in the namespaces beside their holder, by its pid outside, zombies too."""
        own = os.readlink(f"/proc/{self._inside}/ns/pid")
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != self._inside:
                try:
                    if os.readlink(f"/proc/{name}/ns/pid") == own:
                        line = Path(f"/proc/{name}/cmdline").read_bytes()
                        found[int(name)] = line.replace(b"\0", b" ").decode()
                except OSError:
                    continue
        return found

    def server(self, script: str) -> int:
        """The one server of *script*: it leads its session, and is no launcher or watcher."""
        found = [
            pid
            for pid, line in self.processes().items()
            if script in line and "prefork" not in line and leads_its_session(pid)
        ]
        assert len(found) == 1, self.processes()
        return found[0]

    def until_nothing_runs(self) -> None:
        """Wait for the end of all that runs there, which ends by itself."""
        deadline = time.monotonic() + PATIENCE_S
        while processes := self.processes():
            assert time.monotonic() < deadline, f"still there: {processes}"
            for pid in processes:
                wait_for_end(pid, deadline - time.monotonic())


def leads_its_session(pid: int) -> bool:
    """Whether it does; one that has just ended does not."""
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


def run(words: Sequence[str], **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run *words* to their end; standard input is empty, output is kept."""
    defaults: dict[str, Any] = {"stdin": subprocess.DEVNULL, "env": environment()}
    if "stdout" not in more and "stderr" not in more:
        defaults["capture_output"] = True
    if "input" in more:
        del defaults["stdin"]
    return subprocess.run(words, timeout=PATIENCE_S, **{**defaults, **more})


def wait_for_end(pid: int, timeout_s: float = PATIENCE_S) -> None:
    """Wait until the process *pid* has ended."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    ended = poll.poll(timeout_s * 1000)
    os.close(watch)
    assert ended, f"{pid} is still there"


class Direct:
    """A server that was started by the test itself, as a launcher does it, with *call* as the first
    caller's connection. *script* is one of programs/."""

    def __init__(self, script: str, *arguments: str, shows_errors: bool = True) -> None:
        self.path = tempfile.mkdtemp(prefix="pi-")
        self.socket_path = os.path.join(self.path, "sdirect")
        Path(self.path, "ldirect").touch()
        self.log = Path(self.path, "log")
        self._lines: list[str] = []
        self._read = 0
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.socket_path)
        listener.listen()
        self.call, theirs = socket.socketpair()
        self.call.settimeout(PATIENCE_S)
        self._sentinel, watch_in = os.pipe()
        watch_err, self.watcher = os.pipe()
        setup = Setup(
            started_ns=os.stat(self.socket_path).st_mtime_ns,
            listen=listener.fileno(),
            call=theirs.fileno(),
            watch_in=watch_in,
            watch_err=watch_err,
        )
        variable = os.fsdecode(encode_setup(setup))
        done = subprocess.run(
            [sys.executable, str(PROGRAMS / script), *arguments],
            env={**environment(), "PREFORK_INTERP": variable, "LOG": str(self.log)},
            pass_fds=setup.descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Not a pipe that a server would hold open.
            stderr=None if shows_errors else subprocess.PIPE,
            timeout=PATIENCE_S,
        )
        for descriptor in (watch_in, watch_err):
            os.close(descriptor)
        listener.close()
        theirs.close()
        self.setup = done

    def connect(self) -> socket.socket:
        """Another caller's connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE_S)
        connection.connect(self.socket_path)
        return connection

    def until_ended(self) -> None:
        """Wait for the end of the server: then nobody holds the other end of the sentinel."""
        assert os.read(self._sentinel, 1) == b""

    def lines(self) -> list[str]:
        """What it has logged. Each line is read once: there may be thousands of calls."""
        if self.log.exists():
            with self.log.open(encoding="utf-8") as file:
                file.seek(self._read)
                self._lines += file.read().splitlines()
                self._read = file.tell()
        return self._lines

    def __enter__(self) -> Direct:
        return self

    def __exit__(self, *why: object) -> None:
        self.call.close()
        os.close(self.watcher)
        try:
            self.until_ended()
        finally:
            os.close(self._sentinel)
            shutil.rmtree(self.path)


def send_request(
    connection: socket.socket,
    message: bytes,
    descriptors: Sequence[int] = (),
) -> None:
    """A request as a launcher sends it, with /dev/null for the streams unless given."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        connection.sendall(b"\0")
        for descriptor in descriptors or (null, null, null):
            socket.send_fds(connection, [b"\0"], [descriptor])
        connection.sendall(message)
    finally:
        os.close(null)


def all_of(connection: socket.socket) -> bytes:
    """All up to the end."""
    got = bytearray()
    try:
        while data := connection.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    return bytes(got)


FATAL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGKILL)
