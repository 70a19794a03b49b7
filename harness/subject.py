"""What a trial runs: the subject's command, its clients, and the world that they see. Values;
nothing is started here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from .errors import UsageError
from .recording import AnyClient, ClientFunction, InputFile, client_from_json
from .schedule import FRESH as FRESH
from .schedule import RESTARTED as RESTARTED
from .schedule import Schedule
from .workload import Workload

#: The trial's own directory, inside it: short and the same everywhere. `{dir}` stands for it.
TRIAL_DIR = "/trial"
DEADLINE_S = 10.0
STEP_LIMIT = 100_000
BARE, SERVICE = "main", "service"

Policy = Literal["default", "random"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPlan:
    """All that decides one trial.

    *command* is the subject, or *function* is; *clients* run beside it once it is *ready* (`PATH`
    or `:PORT` that it listens on), or at once. *python_path* finds the modules of functions.
    *recovers*: when the clients have ended, one more is served without a fault. *environment* is
    all of it. *stdin* is the bytes that it reads, or None for the runner's own. *stop* is the
    signal that ends a service whose clients have ended. *policy* `random` draws who goes next from
    the schedule's seed. *inputs* are laid into the view first. Paths: *cwd* and *home* of the host;
    *bind* shown, *write* let through.
    """

    command: tuple[str, ...] = ()
    function: Workload | None = None
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
    inputs: tuple[InputFile, ...] = ()
    bind: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    host_network: bool = False
    pass_output: bool = False
    cpu: int | None = None

    def __post_init__(self) -> None:
        if not self.command and self.function is None:
            raise UsageError("no command: name the program after --")
        names = [client.name for client in self.clients]
        if len(set(names)) < len(names) or {SERVICE, FRESH, RESTARTED} & set(names):
            raise UsageError(f"two commands have the same role: {', '.join(names)}")
        for path in (self.cwd, self.home, *self.bind, *self.write):
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

    def in_trial(self, text: str) -> str:
        """*text* with `{dir}` replaced by the trial's directory."""
        return text.replace("{dir}", TRIAL_DIR)

    def to_json(self) -> dict[str, Any]:
        return {
            "command": list(self.command),
            "function": None if self.function is None else self.function.to_json(),
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
            "inputs": [file.to_json() for file in self.inputs],
            "bind": list(self.bind),
            "write": list(self.write),
            "host_network": self.host_network,
            "pass_output": self.pass_output,
            "cpu": self.cpu,
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
            inputs=tuple(InputFile.from_json(file) for file in plain.pop("inputs")),
            bind=tuple(plain.pop("bind")),
            write=tuple(plain.pop("write")),
            **plain,
        )
