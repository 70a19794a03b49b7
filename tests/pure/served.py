"""Hand-made outcomes of a service with two clients, for the tests of what is held against one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.history import Operation
from harness.oracle import judge
from harness.schedule import FRESH, RESTARTED, Schedule, parse_faults_at, parse_limit
from harness.verdict import ClientEnd, FileChange, Finding, Outcome, Output

A, B = "client/0", "client/1"
NOTHING = Output.of(b"")
SAID = Output.of(b"ready\nno memory\n")
FAILED = 1 << 8
KILLED = 9


def did(role: str, *said: str) -> tuple[Operation, ...]:
    """The history of *role*: `hello ok` is an operation and what came of it."""
    return tuple(
        Operation(role=role, name=name, result=result)  # type: ignore[arg-type]
        for name, result in (one.split(" ") for one in said)
    )


def ends(**statuses: int) -> tuple[ClientEnd, ...]:
    """How each has ended: `a`, `b`, `fresh`, `restarted`."""
    names = {"a": A, "b": B, "fresh": FRESH, "restarted": RESTARTED}
    return tuple(ClientEnd(role=names[name], status=status) for name, status in statuses.items())


def file(path: str, kind: str = "file", content: str = "0") -> FileChange:
    is_file = kind == "file"
    return FileChange(
        path=path,
        kind=kind,  # type: ignore[arg-type]
        mode=0o600,
        size=int(is_file),
        sha256=content * 64 if is_file else "",
    )


BOTH = (*did(A, "hello ok", "fork ok"), *did(B, "hello ok"))
SERVED_AGAIN = did(FRESH, "hello ok", "fork ok")
GOLDEN = Outcome(
    end="exited",
    status=0,
    stdout=NOTHING,
    stderr=Output.of(b"ready\n"),
    clients=ends(a=0, b=0, fresh=0),
    history=(*BOTH, *SERVED_AGAIN),
    files=(file("/trial/store"),),
)
#: As golden, but for the service that died while it served and was started again.
DIED = replace(GOLDEN, status=KILLED, clients=ends(a=0, b=0, restarted=0, fresh=0))
#: The service was gone before anybody could ask it.
REFUSED = replace(
    GOLDEN,
    status=FAILED,
    stderr=SAID,
    clients=ends(restarted=0, fresh=0),
    history=SERVED_AGAIN,
)


def with_history(*said: tuple[Operation, ...], of: Outcome = GOLDEN) -> Outcome:
    """*of*, where the plan's clients saw *said*, and the fresh one is served."""
    return replace(of, history=(*(one for part in said for one in part), *SERVED_AGAIN))


def schedule(*faults: str, limits: Sequence[str] = ()) -> Schedule:
    """The faults in the form of the command line."""
    return Schedule(
        faults=tuple(one for fault in faults for one in parse_faults_at(fault, "service")),
        limits=tuple(parse_limit(limit, "service") for limit in limits),
    )


def judged(
    outcome: Outcome, *faults: str, golden: Outcome = GOLDEN, times: int = 1
) -> list[Finding]:
    """What is held against *outcome*, in which each of *faults* fired so many *times*."""
    count = (times,) * len(faults)
    faulted = replace(outcome, fired=count, seen=count)
    verdict = judge("service", faulted, golden, schedule(*faults))
    assert verdict.status != "INCONCLUSIVE", verdict.reason
    return list(verdict.findings)


def found(outcome: Outcome, *faults: str, golden: Outcome = GOLDEN, times: int = 1) -> list[str]:
    """As judged(), in words: the oracle, and what it found."""
    findings = judged(outcome, *faults, golden=golden, times=times)
    return [f"{one.oracle}: {one.describe()}" for one in findings]


#: One client was refused, and gave up.
ONE_FAILED = replace(
    with_history(did(A, "hello fail"), did(B, "hello ok")), clients=ends(a=FAILED, b=0, fresh=0)
)
#: Each client had something fail.
EACH_FAILED = replace(
    with_history(did(A, "hello ok", "fork fail"), did(B, "hello info")),
    clients=ends(a=FAILED, b=FAILED, fresh=0),
)
