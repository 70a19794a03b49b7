"""What a trial runs: the subject, its clients, and the world that they see. Values; nothing is
started here."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from .errors import UsageError
from .invariant import Invariant, parse_invariant
from .recording import AnyClient, ClientCommand, ClientFunction, InputFile, client_from_json
from .schedule import FRESH as FRESH
from .schedule import RESTARTED as RESTARTED
from .schedule import Schedule
from .variation import patterns
from .workload import Workload

#: The trial's own directory, inside it: short and the same everywhere. `{dir}` stands for it.
TRIAL_DIR = "/trial"
DEADLINE_S = 10.0
STEP_LIMIT = 100_000
BARE, SERVICE = "main", "service"

Policy = Literal["default", "random", "pct", "pos"]


_DEBUG_S, _DEBUG_STEPS = 1e7, 10**9  # as good as never


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPlan:
    """All that decides one trial.

    *command* is the subject, or *function* is, and with *threads* its clients that are functions
    too are threads of its process; *clients* run beside it once it is *ready* (`PATH`
    or `:PORT` that it listens on), or at once. *python_path* finds the modules of functions.
    *recovers*: when the clients have ended, one more is served without a fault. *environment* is
    all of it. *stdin* is the bytes that it reads, or None for the runner's own. *stop* is the
    signal that ends a service whose clients have ended. A *policy* other than `default` draws who
    goes next, from *policy_seed* or, unless that is given, the schedule's seed; *depth* and
    *length* are for `pct`. *decisions*: the result says where there was a choice, with *conflicts*
    also where it may matter. *invariants* are watched. *inputs* are laid into the view first.
    Paths: *cwd* and *home* of the host; *bind* shown, *write* let through. *debug*: all programs of
    the trial read the runner's standard input, not only the first. *coverage*: the lines of its
    functions are measured, for this directory of the host; "" measures and keeps nothing, None does
    not measure. *may_differ* are patterns: what matches them is not compared with the golden run.
    *contents*: the outcome has all that was written. A *variant* other than 0 is the same trial
    where what no schedule decides is otherwise: the numbers of processes, and how long a call
    takes.
    """

    command: tuple[str, ...] = ()
    function: Workload | None = None
    threads: bool = False
    cwd: str
    home: str
    clients: tuple[AnyClient, ...] = ()
    python_path: tuple[str, ...] = ()
    recovers: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | None = b""
    ready: str | None = None
    stop: str = "TERM"
    deadline_s: float = DEADLINE_S
    step_limit: int = STEP_LIMIT
    schedule: Schedule = field(default_factory=Schedule)
    policy: Policy = "default"
    policy_seed: int | None = None
    depth: int = 2
    length: int = 1
    decisions: bool = False
    conflicts: bool = False
    invariants: tuple[Invariant, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    bind: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    host_network: bool = False
    pass_output: bool = False
    debug: bool = False
    coverage: str | None = None
    cpu: int | None = None
    may_differ: tuple[str, ...] = ()
    contents: bool = False
    variant: int = 0

    def __post_init__(self) -> None:
        if not self.command and self.function is None:
            raise UsageError("no command: name the program after --")
        if self.threads and self.function is None:
            raise UsageError("only a function can have threads for clients")
        names = [client.name for client in self.clients]
        if len(set(names)) < len(names) or {SERVICE, FRESH, RESTARTED} & set(names):
            raise UsageError(f"two commands have the same role: {', '.join(names)}")
        if self.invariants and self.schedule.mode == "free":
            raise UsageError(
                f"invariant {self.invariants[0]}: in free mode nobody stands still to be looked "
                "at; leave it out, or the mode"
            )
        patterns(self.may_differ)
        for path in (self.cwd, self.home, *self.bind, *self.write, self.coverage or "/"):
            if not os.path.isabs(path):
                raise UsageError(f"{path!r} is not an absolute path")

    @property
    def roots(self) -> tuple[str, ...]:
        """The roles of the programs: `main` alone, or `service` and its clients, and those of
        phase recover."""
        if not self.clients:
            return (BARE,)
        more = (FRESH, RESTARTED) if self.recovers else ()
        return (SERVICE, *(client.name for client in self.clients), *more)

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The functions among its programs."""
        functions = [
            client.workload for client in self.clients if isinstance(client, ClientFunction)
        ]
        return ((self.function,) if self.function else ()) + tuple(functions)

    @property
    def threads_of(self) -> tuple[str, ...]:
        """The roles of the clients that are threads of the service's process."""
        if not self.threads:
            return ()
        functions = [one.name for one in self.clients if isinstance(one, ClientFunction)]
        has_fresh = self.recovers and isinstance(self.clients[0], ClientFunction)
        return (*functions, FRESH) if has_fresh else tuple(functions)

    def in_trial(self, text: str) -> str:
        """*text* with `{dir}` replaced by the trial's directory."""
        return text.replace("{dir}", TRIAL_DIR)

    def for_debugger(self) -> Self:
        """The same trial in the foreground, for as long as somebody looks at it: what it writes is
        passed on, what it reads is typed, and neither time nor a count of calls ends it."""
        return replace(
            self,
            debug=True,
            stdin=None,
            pass_output=True,
            deadline_s=_DEBUG_S,
            step_limit=_DEBUG_STEPS,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "command": list(self.command),
            "function": None if self.function is None else self.function.to_json(),
            "threads": self.threads,
            "python_path": list(self.python_path),
            "recovers": self.recovers,
            "cwd": self.cwd,
            "home": self.home,
            "clients": [client.to_json() for client in self.clients],
            "environment": dict(self.environment),
            "stdin": None if self.stdin is None else self.stdin.decode("latin-1"),
            "ready": self.ready,
            "stop": self.stop,
            "deadline_s": self.deadline_s,
            "step_limit": self.step_limit,
            "schedule": self.schedule.to_json(),
            "policy": self.policy,
            "policy_seed": self.policy_seed,
            "depth": self.depth,
            "length": self.length,
            "decisions": self.decisions,
            "conflicts": self.conflicts,
            "invariants": [one.to_json() for one in self.invariants],
            "inputs": [file.to_json() for file in self.inputs],
            "bind": list(self.bind),
            "write": list(self.write),
            "host_network": self.host_network,
            "pass_output": self.pass_output,
            "debug": self.debug,
            "coverage": self.coverage,
            "cpu": self.cpu,
            "may_differ": list(self.may_differ),
            "contents": self.contents,
            "variant": self.variant,
        }

    @classmethod
    def from_json(cls, obj: Mapping[str, Any]) -> Self:
        """The plan as the runner gets it: from ourselves, so it is not read strictly."""
        plain = dict(obj)
        stdin, function = plain.pop("stdin"), plain.pop("function")
        return cls(
            command=tuple(plain.pop("command")),
            function=None if function is None else Workload.from_json(function),
            clients=tuple(client_from_json(client) for client in plain.pop("clients")),
            python_path=tuple(plain.pop("python_path")),
            stdin=None if stdin is None else stdin.encode("latin-1"),
            schedule=Schedule.from_json(plain.pop("schedule")),
            invariants=tuple(Invariant.from_json(one) for one in plain.pop("invariants")),
            inputs=tuple(InputFile.from_json(file) for file in plain.pop("inputs")),
            bind=tuple(plain.pop("bind")),
            write=tuple(plain.pop("write")),
            may_differ=tuple(plain.pop("may_differ")),
            **plain,
        )


# ---- What a user composes ------------------------------------------------------------------------

#: A function at the top of a module, `functools.partial` of one with keywords, or the words of a
#: command.
ClientLike = Callable[..., Any] | Workload | Sequence[str]


def listening(address: str) -> str:
    """Ready when a task of the subject has passed listen(2) there: a path (`{dir}/s`), an abstract
    name (`@name`) or a port (`:8080`). It is an event, never a probe: that would be a client."""
    if not address or (address.startswith(":") and not _is_port(address[1:])):
        raise UsageError(f"listening({address!r}): it is a path, @name, or :PORT from 1 to 65535")
    return address


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and 0 < int(text) < 65536


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What is under test: make one by `Subject.command`, `Subject.process` or `Subject.thread`.

    In *words*, *environment* and *ready* `{dir}` stands for the trial's own empty directory.
    """

    words: tuple[str, ...] = ()
    function: Workload | None = None
    threads: bool = False
    ready: str | None = None
    stop: str = "TERM"
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    cwd: str = TRIAL_DIR
    bind: tuple[str, ...] = ()

    @classmethod
    def command(
        cls,
        words: Sequence[str],
        *,
        ready: str | None = None,
        stop: str = "TERM",
        environment: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        cwd: str | None = None,
        bind: Sequence[str] = (),
    ) -> Self:
        """Any program. Its working directory is ours, seen as it is and written to in vain.

        *ready*: where it listens before its clients start, as `listening` says. *stop*: the signal
        that tells it to end, without SIG. *environment*: beside PATH, LANG and HOME. *bind*: paths
        to be seen that a trial hides otherwise, such as those below /tmp. Raises `UsageError`.
        """
        if isinstance(words, str):
            raise UsageError(f"Subject.command({words!r}): give its words one by one, as a list")
        return cls(
            words=tuple(words),
            ready=ready,
            stop=stop,
            environment=dict(environment or {}),
            stdin=stdin,
            cwd=os.path.abspath(cwd) if cwd else os.getcwd(),
            bind=tuple(bind),
        )

    @classmethod
    def process(
        cls,
        function: Callable[..., Any] | Workload | str,
        *,
        ready: str | None = None,
        stop: str = "TERM",
        environment: Mapping[str, str] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """A function, or its name as `module:function`, called with *kwargs* in a process of its
        own, forked from one that has imported the module already. What it returns is its exit
        status. Raises `UsageError` when another process could not find it."""
        return cls(
            function=workload_of(function, kwargs or {}),
            ready=ready,
            stop=stop,
            environment=dict(environment or {}),
        )

    @classmethod
    def thread(
        cls,
        function: Callable[..., Any] | Workload | str,
        *,
        ready: str | None = None,
        stop: str = "TERM",
        environment: Mapping[str, str] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """A function as in `Subject.process`, whose clients, where they are functions, are threads
        of the same process: for a debugger, and for what shares memory. The service is the first
        thread, so that signals reach it. What kills one thread kills all."""
        made = cls.process(function, ready=ready, stop=stop, environment=environment, kwargs=kwargs)
        return replace(made, threads=True)

    def plan(
        self,
        *clients: ClientLike,
        schedule: Schedule | None = None,
        recovers: bool = True,
        deadline_s: float = DEADLINE_S,
        step_limit: int = STEP_LIMIT,
        policy: Policy = "default",
        invariants: str | Invariant | Sequence[str | Invariant] = (),
        may_differ: Sequence[str] = (),
        **named: ClientLike,
    ) -> TrialPlan:
        """The plan of one trial of it, with *clients* as the roles client/0, client/1 and so on,
        and the *named* ones as client/NAME. *invariants* are as on the command line,
        `descriptors(service) <= 8`, or values; *may_differ* are regular expressions."""
        if isinstance(may_differ, str):
            raise UsageError(f"may_differ={may_differ!r}: give the patterns in a list")
        every = {str(number): client for number, client in enumerate(clients)} | named
        made = tuple(_client(f"client/{name}", client) for name, client in every.items())
        environment = {
            "PATH": _SEARCHED,
            "LANG": "C.UTF-8",
            "HOME": TRIAL_DIR,
            "PYTHONHASHSEED": "0",
        }
        functions = self.function or any(isinstance(one, ClientFunction) for one in made)
        return TrialPlan(
            command=self.words,
            function=self.function,
            threads=self.threads,
            clients=made,
            python_path=_python_path() if functions else (),
            recovers=recovers and bool(made),
            cwd=self.cwd,
            home=TRIAL_DIR,
            environment=environment | dict(self.environment),
            stdin=self.stdin,
            ready=self.ready,
            stop=self.stop,
            deadline_s=deadline_s,
            step_limit=step_limit,
            schedule=schedule or Schedule(),
            policy=policy,
            invariants=_invariants(invariants),
            bind=self.bind,
            may_differ=tuple(may_differ),
        )


def _invariants(given: str | Invariant | Sequence[str | Invariant]) -> tuple[Invariant, ...]:
    several = (given,) if isinstance(given, str | Invariant) else given
    return tuple(parse_invariant(one) if isinstance(one, str) else one for one in several)


_SEARCHED = "/usr/local/bin:/usr/bin:/bin"


def _client(role: str, client: ClientLike) -> AnyClient:
    if isinstance(client, Sequence) and not isinstance(client, str):
        return ClientCommand(name=role, command=tuple(client))
    return ClientFunction(name=role, workload=workload_of(client, {}))


def _python_path() -> tuple[str, ...]:
    """Our sys.path, in words that mean the same elsewhere."""
    return tuple(os.path.abspath(entry) for entry in sys.path)


def workload_of(function: object, kwargs: Mapping[str, Any]) -> Workload:
    """The reference by which another process finds *function*. Raises `UsageError` that says where
    it is, why it cannot be found, and what to do."""
    if isinstance(function, Workload):
        return function
    if isinstance(function, str):
        return _named(function, kwargs)
    if isinstance(function, functools.partial):
        if function.args:
            raise _not_found(function.func, "has positional arguments", "pass them as keywords")
        return workload_of(function.func, {**function.keywords, **kwargs})
    if not inspect.isfunction(function):
        what = "a bound method" if inspect.ismethod(function) else f"no function: {function!r}"
        raise _not_found(function, f"is {what}", "pass a function at the top of a module")
    move = "move it to the top of the module and pass what it closes over as keyword arguments"
    if function.__name__ == "<lambda>":
        raise _not_found(function, "is a lambda", "make it a function at the top of the module")
    if "<locals>" in function.__qualname__:
        raise _not_found(function, "is a closure", move)
    if function.__module__ == "__main__":
        raise _not_found(function, "is in __main__", "put it into a module of its own")
    if inspect.iscoroutinefunction(function):
        raise _not_found(function, "is a coroutine", "call asyncio.run in a plain function")
    return Workload(
        module=function.__module__,
        file=os.path.abspath(inspect.getfile(function)),
        qualname=function.__qualname__,
        kwargs=dict(kwargs),
    )


def _named(name: str, kwargs: Mapping[str, Any]) -> Workload:
    module, _, qualname = name.partition(":")
    try:
        spec = importlib.util.find_spec(module) if module and qualname else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.has_location or spec.origin is None:
        raise UsageError(f"{name!r}: it is module:function, of a module that can be imported here")
    return Workload(
        module=module, file=os.path.abspath(spec.origin), qualname=qualname, kwargs=dict(kwargs)
    )


def _not_found(function: object, why: str, what_to_do: str) -> UsageError:
    inner = getattr(function, "__func__", function)
    code = getattr(inner, "__code__", None)
    where = f"{code.co_filename}:{code.co_firstlineno}: " if code else ""
    name = getattr(function, "__qualname__", repr(function))
    return UsageError(f"{where}{name} {why}, which no other process can find: {what_to_do}")
