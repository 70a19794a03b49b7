"""Hypothesis strategies for the values of row 1, and for JSON that is nearly one of them."""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar, get_args

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from harness.calls import CALLS, FAMILIES, errno_name, signal_name
from harness.duration import DURATION_MAX_NS, duration_text
from harness.fault import (
    RECEIVES,
    SENDS,
    SHORT_MAX,
    CrashAfterFault,
    CrashFault,
    DelayFault,
    EofFault,
    ErrnoFault,
    Fault,
    HoldFault,
    PauseFault,
    ResetFault,
    ShortFault,
    SignalFault,
)
from harness.fingerprint import Fingerprint
from harness.history import Operation, Reply, Result
from harness.invariant import COUNT_MAX, Broken, Invariant
from harness.recording import (
    ClientCommand,
    ClientFunction,
    InputFile,
    Recording,
    Versions,
    to_base64,
)
from harness.schedule import (
    NTH_MAX,
    PHASES,
    RESOURCES,
    FaultAt,
    Limit,
    Mode,
    Schedule,
    Switch,
    Trigger,
)
from harness.trace import Event, Trace, path_arg
from harness.variation import (
    HOLES,
    NOTHING,
    Anything,
    Content,
    Line,
    Lines,
    Ranges,
    Renamed,
    Variation,
)
from harness.verdict import (
    ClientEnd,
    End,
    FileChange,
    FileKind,
    Finding,
    Outcome,
    Output,
    Status,
    Verdict,
)
from harness.weakness import Weakness
from harness.workload import Workload

T = TypeVar("T")

GLOBS = ("*", "recv*", "pread*", "p[rw]*64", "?ipe*", "exit*", "brk*")
NEVER_ANSWERED = ("exit", "exit_group", "rt_sigreturn")
NOT_DEADLY = ("CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH")

# ---- Words -------------------------------------------------------------------------------------

nth = st.integers(1, NTH_MAX) | st.integers(1, 4)
call_names = st.sampled_from(sorted(CALLS))
call_patterns = call_names | st.sampled_from([*FAMILIES, *GLOBS])
signals = st.integers(1, 64).map(signal_name)
errnos = st.integers(1, 133).map(errno_name).filter(lambda name: name.startswith("E"))
os_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | (
    st.binary(max_size=12).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))
)
any_text = st.text(st.characters(exclude_categories=["Cs"]))
one_line = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
modes = st.integers(0, 0o7777)
counts = st.integers(0, 2**63 - 1) | st.integers(0, 3)


def _some(entries: SearchStrategy[T]) -> SearchStrategy[tuple[T, ...]]:
    return st.lists(entries, max_size=3).map(tuple)


def _levels(level: str) -> SearchStrategy[str]:
    levels = st.lists(st.from_regex(level, fullmatch=True), min_size=1, max_size=4)
    joined = levels.flatmap(
        lambda parts: st.tuples(*(st.sampled_from(["/" + part, "#" + part]) for part in parts))
    )
    return joined.map(lambda parts: "".join(parts)[1:])


roles = st.sampled_from(["main", "service", "service/0", "service#1", "client/slow"]) | _levels(
    r"[a-zA-Z0-9_.][a-zA-Z0-9_.-]{0,5}"
)
role_patterns = st.sampled_from(["**", "*", "service/*", "client/**"]) | _levels(
    r"[a-zA-Z0-9_.*][a-zA-Z0-9_.*-]{0,5}"
)

# ---- Schedules ---------------------------------------------------------------------------------


@st.composite
def triggers(
    draw: st.DrawFn,
    role: SearchStrategy[str] = role_patterns,
    call: SearchStrategy[str] = call_patterns,
    exact: bool = False,
) -> Trigger:
    first = draw(nth)
    last = first if exact or draw(st.booleans()) else None
    phase = draw(st.sampled_from(PHASES))
    return Trigger(role=draw(role), call=draw(call), first=first, last=last, phase=phase)


errno_faults = st.builds(ErrnoFault, errno=errnos)
short_faults = st.builds(ShortFault, count=st.integers(1, SHORT_MAX))
crash_faults = st.builds(CrashFault, signal=signals.filter(lambda name: name not in NOT_DEADLY))
times = st.integers(1, DURATION_MAX_NS) | st.integers(1, 10**6).map(lambda n: n * 10**6)
signal_faults = st.builds(SignalFault, signal=signals)
faults: SearchStrategy[Fault] = st.one_of(
    errno_faults,
    short_faults,
    st.just(HoldFault()),
    st.builds(HoldFault, until=triggers()),
    st.builds(DelayFault, time_ns=times),
    st.builds(PauseFault, time_ns=times),
    st.just(EofFault()),
    st.just(ResetFault()),
    crash_faults,
    st.just(CrashAfterFault()),
    signal_faults,
)


@st.composite
def faults_at(draw: st.DrawFn) -> FaultAt:
    fault = draw(faults)
    patterns = call_patterns
    if isinstance(fault, ShortFault):
        moving = [call.name for call in CALLS.values() if call.short != "-"]
        patterns = st.sampled_from([*sorted(moving), "io", "net", "fs", "*", "recv*"])
    elif isinstance(fault, EofFault | ResetFault):
        patterns = st.sampled_from([*sorted(RECEIVES | SENDS), "io", "net", "*", "recv*"])
    elif isinstance(fault, ErrnoFault | CrashAfterFault):
        patterns = patterns.filter(lambda name: name not in (*NEVER_ANSWERED, "exit*"))
    return FaultAt(at=draw(triggers(call=patterns)), fault=fault)


switches = st.builds(
    Switch, at=triggers(role=roles, call=call_names | st.just("*"), exact=True), run=roles
)
limits = st.builds(
    Limit,
    role=role_patterns,
    resource=st.sampled_from(RESOURCES),
    value=st.integers(0, 2**63 - 1),
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    mode = draw(st.sampled_from(get_args(Mode)))
    time = draw(st.datetimes(datetime(1970, 1, 1), datetime(2261, 12, 31)))
    return Schedule(
        mode=mode,
        seed=draw(st.integers(0, 2**64 - 1)),
        clock_start=time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        faults=draw(_some(faults_at())),
        switches=draw(_some(switches)) if mode == "controlled" else (),
        limits=draw(_some(limits)),
    )


# ---- Traces and verdicts -----------------------------------------------------------------------

actions = st.one_of(
    st.sampled_from(
        ["-", "hold", "eof", "reset", "crash-after", "refuse:io_uring_setup", "refuse:32-bit"]
    ),
    errnos.map("fail:{}".format),
    st.integers(1, SHORT_MAX).map("short:{}".format),
    times.map(duration_text).map("delay:{}".format),
    times.map(duration_text).map("pause:{}".format),
    signals.map("crash:{}".format),
    signals.map("signal:{}".format),
)
args = st.from_regex("[!-~]+", fullmatch=True) | os_text.map(path_arg)


@st.composite
def events(draw: st.DrawFn) -> Event:
    arguments = draw(_some(args))
    if draw(st.booleans()):
        return Event.mark(draw(st.sampled_from(["phase", "note"])), draw(nth), *arguments)
    return Event(
        role=draw(roles),
        call=draw(call_names),
        nth=draw(nth),
        action=draw(actions),
        args=arguments,
    )


traces = st.builds(Trace, events=_some(events()))
outputs = st.binary(max_size=64).map(Output.of) | st.builds(
    Output, size=counts, sha256=digests, head=any_text
)
file_changes = st.builds(
    FileChange,
    path=os_text,
    kind=st.sampled_from(get_args(FileKind)),
    mode=modes,
    size=counts,
    sha256=digests | st.just(""),
)
exits = st.integers(0, 255).map(lambda code: code << 8)
deaths = st.builds(
    lambda signal, core: signal | core, st.integers(1, 64), st.sampled_from([0, 128])
)


client_ends = st.builds(ClientEnd, role=roles, status=exits | deaths)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(any_text, inner, max_size=2),
    max_leaves=3,
)

replies = st.builds(Reply, value=json_values, event=st.integers(0, 10**9))

operations = st.builds(
    Operation,
    role=roles,
    name=any_text,
    result=st.sampled_from(get_args(Result)),
    detail=any_text,
    asked=st.dictionaries(st.text(max_size=3), json_values, max_size=2),
    replies=st.lists(replies, max_size=2).map(tuple),
    began=st.integers(0, 10**9),
    ended=st.integers(0, 10**9),
)


weaknesses = st.builds(
    Weakness, role=roles | st.just(""), reason=one_line, event=st.integers(0, 10**9)
)


invariants = st.builds(
    Invariant,
    kind=st.sampled_from(["descriptors", "zombies"]),
    role=role_patterns,
    at_most=st.integers(0, COUNT_MAX),
) | st.builds(
    Invariant,
    kind=st.just("waits"),
    role=role_patterns,
    at_most=st.integers(1, DURATION_MAX_NS),
)

broken = st.builds(
    Broken, invariant=invariants, role=roles, event=st.integers(0, 10**9), found=any_text
)
lines = st.lists(st.tuples(any_text, st.sampled_from([*HOLES])), max_size=2).flatmap(
    lambda pairs: st.builds(
        Line,
        parts=any_text.map(lambda last: (*(part for pair in pairs for part in pair), last)),
        optional=st.booleans(),
    )
)
contents: SearchStrategy[Content] = st.one_of(
    st.just(Anything()),
    st.builds(Lines, lines=_some(lines)),
    st.builds(
        lambda bounds, sha256: Ranges(
            size=bounds[-1],
            ranges=tuple(zip(bounds[:-1:2], bounds[1::2], strict=True)),
            sha256=sha256,
        ),
        st.lists(counts, min_size=3, max_size=3).map(sorted),
        digests,
    ),
)
variations = st.builds(
    Variation,
    declared=_some(st.sampled_from(["[0-9]+", "^DEBUG .*"])),
    contents=st.dictionaries(any_text, contents, max_size=2).map(
        lambda named: tuple(named.items())
    ),
    renamed=_some(st.builds(Renamed, name=any_text, line=lines, role=roles | st.just(""))),
    extra=_some(lines),
    missing=_some(any_text),
)


@st.composite
def outcomes(draw: st.DrawFn, faults: int | None = None, switches: int = 3) -> Outcome:
    """*faults* and *switches*: how many the schedule has."""
    end = draw(st.sampled_from(get_args(End)))
    status = draw(exits | deaths)
    size = draw(st.integers(0, 3)) if faults is None else faults
    per_fault = st.lists(counts, min_size=size, max_size=size).map(tuple)
    indexes = st.integers(0, max(0, switches - 1))
    return Outcome(
        end=end,
        status=status if end == "exited" or draw(st.booleans()) else None,
        stdout=draw(outputs),
        stderr=draw(outputs),
        files=draw(_some(file_changes)),
        one_process=draw(st.booleans()),
        clients=draw(_some(client_ends)),
        leftovers=draw(_some(roles)),
        fired=draw(per_fault),
        seen=draw(per_fault),
        not_applied=draw(_some(indexes)) if switches else (),
        history=draw(_some(operations)),
        weakened=draw(_some(weaknesses)),
        broken=draw(_some(broken)),
        report=draw(any_text),
        may_differ=draw(st.just(NOTHING) | variations),
    )


findings = st.builds(
    Finding, oracle=one_line, role=roles | st.just(""), what=one_line, detail=any_text
)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    status = draw(st.sampled_from(get_args(Status)))
    found = draw(_some(findings)) if status != "PASS" else ()
    if status == "FAIL" and not found:
        found = (draw(findings),)
    reason = draw(any_text) or "no reason"
    return Verdict(status=status, findings=found, reason=reason)


# ---- Recordings --------------------------------------------------------------------------------

commands = st.lists(os_text, min_size=1, max_size=3).map(tuple)
identifiers = st.from_regex(r"[a-z_][a-z0-9_]{0,5}(\.[a-z]{1,3})?", fullmatch=True)
workloads = st.builds(
    Workload,
    module=identifiers,
    file=os_text.map("/{}".format),
    qualname=identifiers,
    kwargs=st.dictionaries(any_text, st.none() | st.booleans() | st.integers() | any_text),
)
clients = st.builds(ClientCommand, name=roles, command=commands) | st.builds(
    ClientFunction, name=roles, workload=workloads
)
variables = os_text.map(lambda name: name.replace("=", "")).filter(bool)
environments = st.dictionaries(variables, os_text, max_size=3).map(lambda env: (*env.items(),))
names = os_text.map(lambda name: name.replace("/", "")).filter(lambda n: n not in ("", ".", ".."))
paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
input_files = st.builds(
    InputFile.of, path=paths, mode=modes, data=st.binary(max_size=64), program=st.booleans()
) | st.builds(
    InputFile, path=paths, mode=modes, sha256=digests, content=st.none(), program=st.booleans()
)

fingerprints = st.builds(
    Fingerprint,
    machine=os_text,
    processor=os_text,
    processors=st.integers(1, 1 << 20),
    as_root=st.booleans(),
    files=st.dictionaries(paths, digests, max_size=3).map(lambda found: (*found.items(),)),
)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    schedule = draw(schedules())
    trace = draw(traces)
    function = draw(st.none() | workloads)
    return Recording(
        command=() if function else draw(commands),
        function=function,
        threads=function is not None and draw(st.booleans()),
        coverage=draw(st.booleans()),
        python_path=draw(_some(os_text)),
        recovers=draw(st.booleans()),
        invariants=draw(_some(invariants)),
        clients=draw(
            st.lists(clients, max_size=2, unique_by=lambda client: client.name).map(tuple)
        ),
        environment=draw(environments),
        cwd="/" + draw(os_text),
        home="/" + draw(os_text),
        bind=draw(_some(os_text.map("/{}".format))),
        host_network=draw(st.booleans()),
        stdin=draw(st.none() | st.binary(max_size=64).map(to_base64)),
        ready=draw(st.none() | os_text),
        stop=draw(signals),
        deadline_s=draw(st.floats(0, 1e9, exclude_min=True, exclude_max=True)),
        step_limit=draw(st.integers(1, 10**9)),
        schedule=schedule,
        expected=draw(outcomes(len(schedule.faults), len(schedule.switches))),
        golden=draw(st.none() | outcomes()),
        verdict=draw(verdicts()),
        trace=trace,
        digest=trace.digest,
        inputs=draw(_some(input_files)),
        versions=Versions(faultharness=draw(os_text), python="3.11.2", kernel="6.18.0"),
        program=draw(digests),
        fingerprint=draw(st.none() | fingerprints),
    )


# ---- What is none of these ---------------------------------------------------------------------

Step = str | int

plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
garbage: SearchStrategy[object] = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.just("kind"), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def nearly(draw: st.DrawFn, values: SearchStrategy[object]) -> object:
    """JSON of one of *values*, spoiled in one place."""
    whole = json.loads(json.dumps(draw(values)))
    *above, last = draw(st.sampled_from([*_places(whole)]))
    parent = whole
    for step in above:
        parent = parent[step]
    if draw(st.booleans()):
        parent[last] = draw(garbage)
    elif isinstance(parent, dict) and draw(st.booleans()):
        parent[f"{last}{draw(st.text(max_size=2))}"] = parent.pop(last)
    else:
        del parent[last]
    return whole


def _places(value: object, above: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """The way to every member and item below *value*."""
    steps: list[tuple[Step, object]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    for step, inner in steps:
        yield (*above, step)
        yield from _places(inner, (*above, step))
