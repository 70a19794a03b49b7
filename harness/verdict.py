"""Verdicts: what came out of a trial, and what that is judged to be.

An outcome is what was observed, without opinion; findings are what an oracle holds against it.
Nothing here judges."""

import re
from dataclasses import dataclass, field, replace
from typing import Literal, Self, cast

from harness.calls import signal_name
from harness.errors import RecordingError
from harness.history import Operation, describe_history
from harness.invariant import Broken
from harness.schedule import check_role
from harness.strict import (
    Keys,
    check_int,
    check_match,
    check_sha256,
    check_str,
    check_text,
    check_word,
    mode_to_json,
    sha256_of,
)
from harness.variation import NOTHING, Variation
from harness.weakness import Weakness

Status = Literal["PASS", "FAIL", "INCONCLUSIVE"]
End = Literal["exited", "deadline", "stuck", "steps", "refused"]
FileKind = Literal["file", "dir", "symlink", "fifo", "socket", "device", "deleted"]

STATUSES = ("PASS", "FAIL", "INCONCLUSIVE")
FILE_KINDS = ("file", "dir", "symlink", "fifo", "socket", "device", "deleted")
HEAD_MAX = 4096  # bytes
_COUNT_MAX = 2**63 - 1
_ONE_LINE = re.compile(r"[^\n]+")

# The ends that are not the subject's own: in words, and as an exit status of `run`. The numbers are
# those of timeout(1): 124 when it took too long, 125 when it could not be run.
_ENDS = {
    "deadline": ("passed its deadline", 124),
    "stuck": ("stuck: nothing could run any more", 124),
    "steps": ("passed its step limit", 124),
    "refused": ("refused: it does what a trial cannot hold", 125),
}


# ---- What was observed -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What was written to one descriptor: all of it by its digest, and how it begins."""

    size: int
    sha256: str
    head: str

    def __post_init__(self) -> None:
        check_int("size", self.size, 0, _COUNT_MAX, RecordingError)
        check_sha256("sha256", self.sha256, RecordingError)
        check_text("head", self.head, RecordingError)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """What all of *data* is, and its first 4 KiB."""
        head = data[:HEAD_MAX].decode("utf-8", "backslashreplace")
        return cls(size=len(data), sha256=sha256_of(data), head=head)

    def describe(self) -> str:
        return f"{self.size} byte{'s' * (self.size != 1)}"

    def to_json(self) -> dict[str, object]:
        return {"size": self.size, "sha256": self.sha256, "head": self.head}

    @classmethod
    def from_json(cls, obj: object, where: str = "output") -> Self:
        keys = Keys(obj, where, RecordingError, "size sha256 head")
        return keys.make(
            cls,
            size=keys.take("size", int),
            sha256=keys.take("sha256", str),
            head=keys.take("head", str),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FileChange:
    """A name that the trial made, changed or deleted, as it was at the end.

    *mode* is the permission bits. *sha256* is of a file's contents or a symlink's target, and empty
    for everything else; *size* is theirs in bytes."""

    path: str
    kind: FileKind
    mode: int
    size: int
    sha256: str

    def __post_init__(self) -> None:
        check_str("path", self.path, RecordingError)
        check_word("kind", self.kind, FILE_KINDS, RecordingError)
        check_int("mode", self.mode, 0, 0o7777, RecordingError)
        check_int("size", self.size, 0, _COUNT_MAX, RecordingError)
        if self.sha256:
            check_sha256("sha256", self.sha256, RecordingError)

    def describe(self) -> str:
        if self.kind == "deleted":
            return f"{self.path} deleted"
        size = f" of {self.size} bytes" if self.kind == "file" else ""
        return f"{self.path}: {self.kind} {mode_to_json(self.mode)}{size}"

    def to_json(self) -> dict[str, object]:
        return {
            "path": self.path,
            "kind": self.kind,
            "mode": mode_to_json(self.mode),
            "size": self.size,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "file") -> Self:
        keys = Keys(obj, where, RecordingError, "path kind mode size sha256")
        return keys.make(
            cls,
            path=keys.take("path", str),
            kind=cast(FileKind, keys.take("kind", str)),
            mode=keys.take_mode("mode"),
            size=keys.take("size", int),
            sha256=keys.take("sha256", str),
        )


def what_differs(got: FileChange | None, wanted: FileChange | None) -> str:
    """`another PATH` of two states of a name, of which one may be none; `another mode of PATH` when
    nothing else differs, for that has another cause."""
    one = got or wanted
    assert one is not None
    only_mode = got is not None and wanted is not None and replace(got, mode=wanted.mode) == wanted
    return f"another mode of {one.path}" if only_mode else f"another {one.path}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientEnd:
    """How the client *role* ended: its wait status, as the kernel gave it."""

    role: str
    status: int

    def __post_init__(self) -> None:
        check_role("role", self.role, RecordingError)
        check_int("status", self.status, 0, 0xFFFF, RecordingError)
        if not _ended(self.status):
            raise RecordingError(f"status {self.status} is not the wait status of an end")

    def describe(self) -> str:
        return f"{self.role} {_describe_status(self.status)}"

    def to_json(self) -> dict[str, object]:
        return {"role": self.role, "status": self.status}

    @classmethod
    def from_json(cls, obj: object, where: str = "client") -> Self:
        keys = Keys(obj, where, RecordingError, "role status")
        return keys.make(cls, role=keys.take("role", str), status=keys.take("status", int))


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a trial ended and what it left.

    *status* is the first task's wait status, as the kernel gave it, once it has ended. *clients*
    are those clients that have ended; they and the service are *one_process*, or each its own.
    *leftovers* are the roles that were alive at settle. *fired* and *seen* have a number for each
    fault of the schedule: how often it fired, and how many calls its trigger counted. *not_applied*
    are the indexes of the switches whose task could not run. *history* is what the clients did and
    saw.
    *broken* are the invariants that did not hold at some moment, for each role the first time.
    *weakened* is what could not be held still, and may differ from run to run. *report* says who
    waited for what when the trial did not end by itself. *may_differ* is what others may have
    otherwise than this one, a golden run. *contents* are all that was written, for who asked for
    it: `stdout`, `stderr` and files by their names; they are no part of a recording."""

    end: End
    status: int | None
    stdout: Output
    stderr: Output
    one_process: bool = False
    clients: tuple[ClientEnd, ...] = ()
    files: tuple[FileChange, ...] = ()
    leftovers: tuple[str, ...] = ()
    fired: tuple[int, ...] = ()
    seen: tuple[int, ...] = ()
    not_applied: tuple[int, ...] = ()
    history: tuple[Operation, ...] = ()
    weakened: tuple[Weakness, ...] = ()
    broken: tuple[Broken, ...] = ()
    report: str = ""
    may_differ: Variation = NOTHING
    contents: tuple[tuple[str, bytes], ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        check_word("end", self.end, ("exited", *_ENDS), RecordingError)
        if self.status is not None:
            check_int("status", self.status, 0, 0xFFFF, RecordingError)
            if not _ended(self.status):
                raise RecordingError(f"status {self.status} is not the wait status of an end")
        elif self.end == "exited":
            raise RecordingError("status must be a wait status when end is 'exited'")
        for role in self.leftovers:
            check_role("leftovers", role, RecordingError)
        for name, counts in (
            ("fired", self.fired),
            ("seen", self.seen),
            ("not_applied", self.not_applied),
        ):
            for count in counts:
                check_int(name, count, 0, _COUNT_MAX, RecordingError)
        if len(self.fired) != len(self.seen):
            raise RecordingError("fired and seen must have a number each for each fault")
        check_text("report", self.report, RecordingError)

    @property
    def exit_code(self) -> int:
        """The exit status of `run`: as a shell gives it, or why there is none, as timeout(1)."""
        if self.end != "exited":
            return _ENDS[self.end][1]
        assert self.status is not None
        signal = self.status & 0x7F
        return 128 + signal if signal else self.status >> 8

    def describe(self) -> str:
        said = [self._describe_end(), *(client.describe() for client in self.clients)]
        said += [describe_history(self.history)] if self.history else []
        said += [f"stdout {self.stdout.describe()}, stderr {self.stderr.describe()}"]
        said += [change.describe() for change in self.files]
        said += [f"{role} was left running" for role in self.leftovers]
        said += [one.describe() for one in self.broken]
        return "; ".join(said)

    def _describe_end(self) -> str:
        if self.end != "exited":
            return _ENDS[self.end][0]
        assert self.status is not None
        return _describe_status(self.status)

    def to_json(self) -> dict[str, object]:
        return {
            "end": self.end,
            "status": self.status,
            "stdout": self.stdout.to_json(),
            "stderr": self.stderr.to_json(),
            "one_process": self.one_process,
            "clients": [client.to_json() for client in self.clients],
            "files": [change.to_json() for change in self.files],
            "leftovers": list(self.leftovers),
            "fired": list(self.fired),
            "seen": list(self.seen),
            "not_applied": list(self.not_applied),
            "history": [operation.to_json() for operation in self.history],
            "weakened": [weakness.to_json() for weakness in self.weakened],
            **({"broken": [one.to_json() for one in self.broken]} if self.broken else {}),
            "report": self.report,
            **({"may_differ": self.may_differ.to_json()} if self.may_differ else {}),
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "outcome") -> Self:
        names = "end status stdout stderr clients files leftovers fired seen not_applied"
        more = "one_process? history weakened? broken? report may_differ?"
        keys = Keys(obj, where, RecordingError, f"{names} {more}")
        return keys.make(
            cls,
            end=cast(End, keys.take("end", str)),
            status=keys.take_or_null("status", int),
            stdout=keys.read("stdout", Output.from_json),
            stderr=keys.read("stderr", Output.from_json),
            one_process=keys.take("one_process", bool, False),
            clients=keys.read_all("clients", ClientEnd.from_json),
            files=keys.read_all("files", FileChange.from_json),
            leftovers=keys.take_all("leftovers", str),
            fired=keys.take_all("fired", int),
            seen=keys.take_all("seen", int),
            not_applied=keys.take_all("not_applied", int),
            history=keys.read_all("history", Operation.from_json),
            weakened=keys.read_all("weakened", Weakness.from_json),
            broken=keys.read_all("broken", Broken.from_json),
            report=keys.take("report", str),
            may_differ=keys.read("may_differ", Variation.from_json, NOTHING),
        )


def _describe_status(status: int) -> str:
    signal = status & 0x7F
    return f"killed by SIG{signal_name(signal)}" if signal else f"exited {status >> 8}"


def status_in_words(status: int) -> str:
    """`exits 1` or `dies of SIGSEGV`, from a wait status."""
    signal = status & 0x7F
    return f"dies of SIG{signal_name(signal)}" if signal else f"exits {status >> 8}"


def _ended(status: int) -> bool:
    """Whether a wait status says an exit or a death, not a stop. Source: <bits/waitstatus.h>."""
    signal, code = status & 0x7F, status >> 8
    return status & 0xFF == 0 if signal == 0 else signal != 0x7F and code == 0


# ---- What it is judged to be -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that an oracle holds against a trial.

    *role* is empty when it is no single task's doing. *detail* is for the reader and may differ
    from run to run; all else is what makes two findings the same one."""

    oracle: str
    role: str
    what: str
    detail: str = ""

    def __post_init__(self) -> None:
        check_match("oracle", self.oracle, _ONE_LINE, "one line: 'ends'", RecordingError)
        if self.role != "":
            check_role("role", self.role, RecordingError)
        check_match("what", self.what, _ONE_LINE, "one line: 'did not end'", RecordingError)
        check_text("detail", self.detail, RecordingError)

    def identity(self) -> tuple[str, str, str]:
        """Equal for the same finding in two trials."""
        return self.oracle, self.role, self.what

    def describe(self) -> str:
        return f"{self.role}: {self.what}" if self.role else self.what

    def to_json(self) -> dict[str, object]:
        return {
            "oracle": self.oracle,
            "role": self.role,
            "what": self.what,
            "detail": self.detail,
        }

    @classmethod
    def from_json(cls, obj: object, where: str = "finding") -> Self:
        keys = Keys(obj, where, RecordingError, "oracle role what detail")
        return keys.make(
            cls,
            oracle=keys.take("oracle", str),
            role=keys.take("role", str),
            what=keys.take("what", str),
            detail=keys.take("detail", str),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What all oracles together say of one trial."""

    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        check_word("status", self.status, STATUSES, RecordingError)
        check_text("reason", self.reason, RecordingError)
        if self.status == "PASS" and self.findings:
            raise RecordingError("status PASS has no findings")
        if self.status == "FAIL" and not self.findings:
            raise RecordingError("status FAIL needs a finding")
        if self.status == "INCONCLUSIVE" and not self.reason:
            raise RecordingError("status INCONCLUSIVE needs a reason")

    def describe(self) -> str:
        said = [finding.describe() for finding in self.findings]
        said += [self.reason] if self.reason else []
        return f"{self.status}: {'; '.join(said)}" if said else self.status

    def to_json(self) -> dict[str, object]:
        findings = [finding.to_json() for finding in self.findings]
        return {"status": self.status, "findings": findings, "reason": self.reason}

    @classmethod
    def from_json(cls, obj: object, where: str = "verdict") -> Self:
        keys = Keys(obj, where, RecordingError, "status findings reason")
        return keys.make(
            cls,
            status=cast(Status, keys.take("status", str)),
            findings=keys.read_all("findings", Finding.from_json),
            reason=keys.take("reason", str),
        )
