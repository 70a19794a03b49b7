"""Recordings: all that is needed to run a trial again, as one readable JSON file.

The form is published in docs/reference/recording.schema.json. Nothing in a recording is executed
but its command, and reading one executes nothing. Nothing here opens a file."""

import binascii
import re
from dataclasses import dataclass
from typing import Self

from harness.calls import signal_name, signal_number
from harness.errors import RecordingError, quoted
from harness.fingerprint import Fingerprint
from harness.invariant import Invariant
from harness.schedule import Schedule, check_role
from harness.strict import (
    Keys,
    check_int,
    check_match,
    check_positive,
    check_sha256,
    check_str,
    dumps,
    expect_format,
    loads,
    mode_to_json,
    sha256_of,
)
from harness.trace import Trace
from harness.verdict import Outcome, Verdict
from harness.workload import Workload

FORMAT = 1
INPUT_MAX = 64 * 1024  # bytes; a larger input file is known by its digest only
STEP_LIMIT_MAX = 10**9
DEADLINE_MAX = 10**9  # seconds

_VARIABLE = re.compile(r"[^=\0]+")
_ABSOLUTE = re.compile(r"/[^\0]*", re.DOTALL)
#: Absolute, and without `.`, `..` and `//`: it cannot be another path than it seems.
_PLAIN = re.compile(r"(/([^./\0][^/\0]*|\.[^./\0][^/\0]*|\.\.[^/\0]+))+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientCommand:
    """A command that runs beside the subject, as the role *name*."""

    name: str
    command: tuple[str, ...]

    def __post_init__(self) -> None:
        check_role("name", self.name, RecordingError)
        _check_command(self.command)

    def describe(self) -> str:
        return f"{self.name}: {_shell(self.command)}"

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "command": list(self.command)}

    @classmethod
    def from_json(cls, obj: object, where: str = "client") -> Self:
        keys = Keys(obj, where, RecordingError, "name command")
        return keys.make(cls, name=keys.take("name", str), command=keys.take_all("command", str))


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientFunction:
    """A function that a process beside the subject calls, as the role *name*."""

    name: str
    workload: Workload

    def __post_init__(self) -> None:
        check_role("name", self.name, RecordingError)

    def describe(self) -> str:
        return f"{self.name}: {self.workload.describe()}"

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "workload": self.workload.to_json()}

    @classmethod
    def from_json(cls, obj: object, where: str = "client") -> Self:
        keys = Keys(obj, where, RecordingError, "name workload")
        workload = keys.read("workload", Workload.from_json)
        return keys.make(cls, name=keys.take("name", str), workload=workload)


AnyClient = ClientCommand | ClientFunction


def client_from_json(obj: object, where: str = "client") -> AnyClient:
    """A client of either kind."""
    is_function = isinstance(obj, dict) and "workload" in obj
    return (ClientFunction if is_function else ClientCommand).from_json(obj, where)


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """A file that the command line names, as it was: a changed one explains a changed trial.

    *content* is in base64; None when the file is larger than INPUT_MAX. *program* says that it is
    what is tested, so that a replay runs the file as it is now, not as it was."""

    path: str
    mode: int
    sha256: str
    content: str | None
    program: bool = False

    def __post_init__(self) -> None:
        check_match("path", self.path, _PLAIN, "/an/absolute/path", RecordingError)
        check_int("mode", self.mode, 0, 0o7777, RecordingError)
        check_sha256("sha256", self.sha256, RecordingError)
        data = self.data
        if data is not None and len(data) > INPUT_MAX:
            raise RecordingError(f"content has more than {INPUT_MAX} bytes")
        if data is not None and sha256_of(data) != self.sha256:
            raise RecordingError("content does not have the digest sha256")
        if type(self.program) is not bool:
            raise RecordingError("program must be true or false")

    @classmethod
    def of(cls, path: str, mode: int, data: bytes, program: bool = False) -> Self:
        """The file at *path*, by its contents where they are not too many."""
        content = to_base64(data) if len(data) <= INPUT_MAX else None
        digest = sha256_of(data)
        return cls(path=path, mode=mode, sha256=digest, content=content, program=program)

    @property
    def data(self) -> bytes | None:
        """The contents, when they are in the recording."""
        return None if self.content is None else from_base64("content", self.content)

    def describe(self) -> str:
        kind = "program" if self.program else "file"
        held = "by its digest" if self.content is None else "by its contents"
        return f"{kind} {self.path}, {held}"

    def to_json(self) -> dict[str, object]:
        return {
            "path": self.path,
            "mode": mode_to_json(self.mode),
            "sha256": self.sha256,
            "content": self.content,
            "program": self.program,
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "input") -> Self:
        keys = Keys(obj, where, RecordingError, "path mode sha256 content program")
        return keys.make(
            cls,
            path=keys.take("path", str),
            mode=keys.take_mode("mode"),
            sha256=keys.take("sha256", str),
            content=keys.take_or_null("content", str),
            program=keys.take("program", bool),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """What the recording was made with."""

    faultharness: str
    python: str
    kernel: str

    def __post_init__(self) -> None:
        check_str("faultharness", self.faultharness, RecordingError)
        check_str("python", self.python, RecordingError)
        check_str("kernel", self.kernel, RecordingError)

    def describe(self) -> str:
        return f"faultharness {self.faultharness}, Python {self.python}, Linux {self.kernel}"

    def to_json(self) -> dict[str, object]:
        return {"faultharness": self.faultharness, "python": self.python, "kernel": self.kernel}

    @classmethod
    def from_json(cls, obj: object, where: str = "versions") -> Self:
        keys = Keys(obj, where, RecordingError, "faultharness python kernel")
        return keys.make(
            cls,
            faultharness=keys.take("faultharness", str),
            python=keys.take("python", str),
            kernel=keys.take("kernel", str),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One trial: what was run, under which schedule, and what came of it.

    The subject is *command*, or *function*, with an empty command; with *threads* its clients that
    are functions are threads of its process. The modules of functions are
    found by *python_path*. *coverage*: lines were measured, and that adds calls. *recovers* says
    that it had a phase recover. *invariants* are what was watched while it ran.
    *environment* is all of it, in order. *home* and *cwd* are overlays in the trial, *bind* are
    other paths of the host that it sees, *host_network* says that it shares the host's. *stdin* is
    in base64; None is /dev/null. *ready* is what `--ready` was given, *stop* a signal's name
    without SIG. *golden* is the outcome of the fault-free run, when there was one. *digest* is the
    trace's, as the version that recorded it computed it. *program* is the SHA-256 of the file that
    the command named first. *fingerprint* is the machine that made it; None where it is older than
    fingerprints are."""

    command: tuple[str, ...]
    function: Workload | None = None
    threads: bool = False
    coverage: bool = False
    clients: tuple[AnyClient, ...] = ()
    python_path: tuple[str, ...] = ()
    recovers: bool = False
    invariants: tuple[Invariant, ...] = ()
    environment: tuple[tuple[str, str], ...]
    cwd: str
    home: str
    bind: tuple[str, ...] = ()
    host_network: bool = False
    stdin: str | None = None
    ready: str | None = None
    stop: str = "TERM"
    deadline_s: float
    step_limit: int
    schedule: Schedule
    expected: Outcome
    golden: Outcome | None = None
    verdict: Verdict
    trace: Trace
    digest: str
    inputs: tuple[InputFile, ...] = ()
    versions: Versions
    program: str
    fingerprint: Fingerprint | None = None

    def __post_init__(self) -> None:
        if self.function is None:
            _check_command(self.command)
        elif self.command:
            raise RecordingError("command must be empty where function is given")
        if type(self.threads) is not bool:
            raise RecordingError("threads must be true or false")
        if type(self.coverage) is not bool:
            raise RecordingError("coverage must be true or false")
        if self.threads and self.function is None:
            raise RecordingError("threads must be false where function is null")
        if type(self.recovers) is not bool:
            raise RecordingError("recovers must be true or false")
        names = [client.name for client in self.clients]
        if len(set(names)) < len(names):
            raise RecordingError("clients must not share a name")
        for name, value in self.environment:
            check_match("environment", name, _VARIABLE, "PATH", RecordingError)
            check_str(f"environment.{name}", value, RecordingError)
        if len(dict(self.environment)) < len(self.environment):
            raise RecordingError("environment has one name twice")
        for name, path in (
            ("cwd", self.cwd),
            ("home", self.home),
            *(("bind", path) for path in self.bind),
        ):
            check_match(name, path, _ABSOLUTE, "/an/absolute/path", RecordingError)
        if type(self.host_network) is not bool:
            raise RecordingError("host_network must be true or false")
        if self.stdin is not None:
            from_base64("stdin", self.stdin)
        if self.ready is not None:
            check_str("ready", self.ready, RecordingError)
        check_str("stop", self.stop, RecordingError)
        object.__setattr__(self, "stop", signal_name(signal_number(self.stop)))
        check_positive("deadline_s", self.deadline_s, RecordingError)
        if self.deadline_s >= DEADLINE_MAX:
            raise RecordingError(f"deadline_s must be below {DEADLINE_MAX}")
        check_int("step_limit", self.step_limit, 1, STEP_LIMIT_MAX, RecordingError)
        if len(self.expected.fired) != len(self.schedule.faults):
            raise RecordingError("expected.fired must have a number for each of schedule.faults")
        if any(index >= len(self.schedule.switches) for index in self.expected.not_applied):
            raise RecordingError("expected.not_applied has an index that schedule.switches has not")
        check_sha256("digest", self.digest, RecordingError)
        check_sha256("program", self.program, RecordingError)

    @property
    def subject(self) -> str:
        """What is run, for reading: the command as one types it, or the function."""
        return str(self.function) if self.function else _shell(self.command)

    @property
    def stdin_data(self) -> bytes | None:
        """What the subject reads; None is /dev/null."""
        return None if self.stdin is None else from_base64("stdin", self.stdin)

    def describe(self) -> str:
        said = [self.subject, self.schedule.describe(), self.verdict.describe()]
        return " | ".join(said)

    def to_json(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "command": list(self.command),
            "function": None if self.function is None else self.function.to_json(),
            "threads": self.threads,
            **({"coverage": True} if self.coverage else {}),
            "clients": [client.to_json() for client in self.clients],
            "python_path": list(self.python_path),
            "recovers": self.recovers,
            **(
                {"invariants": [one.to_json() for one in self.invariants]}
                if self.invariants
                else {}
            ),
            "environment": dict(self.environment),
            "cwd": self.cwd,
            "home": self.home,
            "bind": list(self.bind),
            "host_network": self.host_network,
            "stdin": self.stdin,
            "ready": self.ready,
            "stop": self.stop,
            "deadline_s": self.deadline_s,
            "step_limit": self.step_limit,
            "schedule": self.schedule.to_json(),
            "verdict": self.verdict.to_json(),
            "expected": self.expected.to_json(),
            "golden": None if self.golden is None else self.golden.to_json(),
            "versions": self.versions.to_json(),
            "program": self.program,
            "fingerprint": None if self.fingerprint is None else self.fingerprint.to_json(),
            "inputs": [file.to_json() for file in self.inputs],
            "digest": self.digest,
            "trace": self.trace.to_json(),
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "recording") -> Self:
        expect_format(obj, FORMAT, where, RecordingError)
        names = (
            "format command function threads? coverage? clients python_path recovers invariants?"
            " environment cwd home bind host_network stdin ready stop deadline_s step_limit"
            " schedule verdict expected golden versions program fingerprint? inputs digest trace"
        )
        keys = Keys(obj, where, RecordingError, names)
        return keys.make(
            cls,
            command=keys.take_all("command", str),
            function=keys.read_or_null("function", Workload.from_json),
            threads=keys.take("threads", bool, False),
            coverage=keys.take("coverage", bool, False),
            clients=keys.read_all("clients", client_from_json),
            python_path=keys.take_all("python_path", str),
            recovers=keys.take("recovers", bool),
            invariants=keys.read_all("invariants", Invariant.from_json),
            environment=keys.take_pairs("environment"),
            cwd=keys.take("cwd", str),
            home=keys.take("home", str),
            bind=keys.take_all("bind", str),
            host_network=keys.take("host_network", bool),
            stdin=keys.take_or_null("stdin", str),
            ready=keys.take_or_null("ready", str),
            stop=keys.take("stop", str),
            deadline_s=keys.take("deadline_s", float),
            step_limit=keys.take("step_limit", int),
            schedule=keys.read("schedule", Schedule.from_json),
            verdict=keys.read("verdict", Verdict.from_json),
            expected=keys.read("expected", Outcome.from_json),
            golden=keys.read_or_null("golden", Outcome.from_json),
            versions=keys.read("versions", Versions.from_json),
            program=keys.take("program", str),
            fingerprint=keys.read_or_null("fingerprint", Fingerprint.from_json),
            inputs=keys.read_all("inputs", InputFile.from_json),
            digest=keys.take("digest", str),
            trace=keys.read("trace", Trace.from_json),
        )

    def dumps(self) -> str:
        """The text of a recording file."""
        return dumps(self.to_json())

    @classmethod
    def loads(cls, text: str | bytes, where: str = "recording") -> Self:
        """The recording in the text of a file named *where*."""
        return cls.from_json(loads(text, where, RecordingError), where)


def to_base64(data: bytes) -> str:
    """Bytes as a recording holds them."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def from_base64(name: str, text: str) -> bytes:
    """The bytes that to_base64() was given."""
    check_str(name, text, RecordingError)
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise RecordingError(f"{name} is not base64: {quoted(text)}") from None


def _check_command(command: tuple[str, ...]) -> None:
    if not command:
        raise RecordingError("command must have at least the program's name")
    for word in command:
        check_str("command", word, RecordingError)


def _shell(command: tuple[str, ...]) -> str:
    # Imported here: only who shows a command needs it.
    from shlex import join

    return join(command)
