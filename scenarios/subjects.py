"""What is tried: programs that no one here wrote, each with a small piece of its ordinary work.

A row a subject. Each runs in /trial, a directory that only its trial has, so what it does is the
same on every machine and in every checkout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.recording import ClientCommand, InputFile
from harness.schedule import Schedule
from harness.subject import TRIAL_DIR, TrialPlan

#: Where programs are looked for: the machine's own, not those of a virtual environment.
PATH = "/usr/bin:/bin"
_ENVIRONMENT = {
    "PATH": PATH,
    "LANG": "C",  # any other is a hundred more calls, and none of them the program's own
    "HOME": TRIAL_DIR,
    "PYTHONHASHSEED": "0",
}
#: In no order, and more than fits into one read of a small buffer.
LINES = b"".join(b"%d line %d\n" % (i * 7919 % 1000, i) for i in range(60))


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A program at work.

    *needs* are the programs that must be here, or commands that must succeed, and the packages that
    help. *roles* and *phases* say where things go wrong."""

    name: str
    command: tuple[str, ...]
    needs: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    stdin: bytes = b""
    clients: tuple[tuple[str, ...], ...] = ()
    ready: str | None = None
    cwd: str = TRIAL_DIR
    roles: str = "**"
    phases: tuple[str, ...] = ("work", "stop")

    def plan(self, schedule: Schedule, cpu: int | None = None) -> TrialPlan:
        """One trial of it: the order of events is drawn from the seed where no fault is given."""
        drawn = bool(schedule.seed) and not schedule.switches
        return TrialPlan(
            command=self.command,
            clients=tuple(
                ClientCommand(name=f"client/{number}", command=command)
                for number, command in enumerate(self.clients)
            ),
            cwd=self.cwd,
            home=TRIAL_DIR,
            environment=_ENVIRONMENT,
            stdin=self.stdin,
            ready=self.ready,
            deadline_s=30.0,
            schedule=schedule,
            policy="random" if drawn else "default",
            inputs=tuple(
                InputFile.of(f"{TRIAL_DIR}/{name}", 0o644, data)
                for name, data in self.files.items()
            ),
            cpu=cpu,
        )


def _shell(script: str) -> tuple[str, ...]:
    # By its name: which shell `sh` is differs, and with it which calls are made.
    return ("dash", "-c", script)


_COREUTILS = "coreutils"
_DATA = {"data": LINES}

SORT = Subject(
    name="sort",
    command=("sort", "-n", "-o", "sorted", "data"),
    needs={"sort": _COREUTILS},
    files=_DATA,
)
CP = Subject(name="cp", command=("cp", "data", "copy"), needs={"cp": _COREUTILS}, files=_DATA)
TEE = Subject(name="tee", command=("tee", "copy"), needs={"tee": _COREUTILS}, stdin=LINES)
DD = Subject(
    name="dd",
    command=("dd", "if=data", "of=copy", "bs=4096", "count=1", "status=none"),
    needs={"dd": _COREUTILS},
    files=_DATA,
)
DD_FULL = Subject(
    name="dd-fullblock",
    command=(*DD.command, "iflag=fullblock"),
    needs=DD.needs,
    files=_DATA,
)
MV = Subject(
    name="mv",
    command=("mv", "data", "/dev/shm/moved"),  # another file system: it must copy
    needs={"mv": _COREUTILS},
    files=_DATA,
)
GZIP = Subject(name="gzip", command=("gzip", "-n", "data"), needs={"gzip": "gzip"}, files=_DATA)
SED = Subject(
    name="sed", command=("sed", "-i", "s/line/row/", "data"), needs={"sed": "sed"}, files=_DATA
)
TAR = Subject(
    name="tar",
    # Without names of owners, which need files outside the trial; without the time of the input.
    command=("tar", "-cz", "-f", "a.tar.gz", "--numeric-owner", "--mtime=@0", "data"),
    needs={"tar": "tar", "gzip": "gzip"},
    files=_DATA,
)
PIPELINE = Subject(
    name="pipeline",
    command=_shell("tr a-z A-Z <data | sort -n | tail -n 5"),
    needs={"dash": "dash", "sort": _COREUTILS},
    files=_DATA,
)
PIPEFAIL = Subject(
    name="pipefail",
    command=("bash", "-o", "pipefail", "-c", "sort -n <data | tail -n 5"),
    needs={"bash": "bash", "sort": _COREUTILS},
    files=_DATA,
)

_PREFORK = {
    "dash": "dash",
    "prefork-interp --help": "chiark-utils-bin libuv1 libnettle8",
    "perl -MProc::Prefork::Interp -e 1": "chiark-scripts perl",
    "perl -MIO::FDPass -e 1": "libio-fdpass-perl",
}
_GREETER = {
    "greet": b"""\
use strict;
use Proc::Prefork::Interp;
prefork_initialisation_complete();
print "hello @ARGV\\n";
"""
}
# It keeps its sockets where a user's other ones are, and only if that is private.
_PRIVATE = "mkdir -m 700 /run/user /run/user/0"
_GREET, _KILL = (f"prefork-interp {option} -U -g greeter perl greet" for option in ("", "--kill"))
PREFORK = Subject(
    name="prefork",
    command=_shell(f"{_PRIVATE}; {_GREET} world"),
    needs=_PREFORK,
    files=_GREETER,
    roles="main/1",  # prefork-interp itself
)
PREFORK_TWICE = Subject(
    name="prefork-twice",
    command=_shell(f"{_PRIVATE}; {_GREET} one >a & {_GREET} two >b & wait; cat a b; {_KILL}"),
    needs=_PREFORK,
    files=_GREETER,
)


def _echo(file: str) -> tuple[str, ...]:
    # Only who compares knows: at this end of a connection, an early end is an end.
    return _shell(f"socat - UNIX-CONNECT:/trial/s <data >{file} && cmp data {file}")


SOCAT = Subject(
    name="socat",
    command=("socat", "UNIX-LISTEN:/trial/s,fork", "EXEC:cat"),
    needs={"socat": "socat", "cmp": "diffutils"},
    files=_DATA,
    clients=(_echo("got"),),
    ready="/trial/s",
    roles="service**",
)
_FETCH = """\
import sys, urllib.request
with urllib.request.urlopen("http://127.0.0.1:8080/data", timeout=5) as answer:
    open(sys.argv[1], "wb").write(answer.read())
"""


def _fetch(file: str) -> tuple[str, ...]:
    return ("python3", "-I", "-S", "-c", _FETCH, file)


HTTP = Subject(
    name="http",
    # Its log has the time of day in it, which no two trials have in common.
    command=_shell("exec python3 -I -S -m http.server -b 127.0.0.1 8080 2>/dev/null"),
    needs={"python3": "python3", "dash": "dash"},
    files=_DATA,
    clients=(_fetch("got"),),
    ready=":8080",
    roles="service**",
)


# What works on a file in its place, and then whoever looks for what is left of that file.


def _in_place(name: str, tool: str, look: str) -> Subject:
    script = f"exec 2>/dev/null; {tool}; {look}; rm -f * /dev/shm/*"
    return Subject(
        name=f"{name}-in-place",
        command=_shell(script),
        needs={name: name if name in ("gzip", "sed") else _COREUTILS, "dash": "dash"},
        files=_DATA,
        roles="main/0",  # the tool
    )


SORT_IN_PLACE = _in_place("sort", "sort -n -o data data", "sort data")
IN_PLACE = (
    _in_place("gzip", "gzip -n data", "cat data || zcat data.gz"),
    _in_place("sed", "sed -i s/line/row/ data", "tr -d a-z <data"),
    _in_place("mv", "mv data /dev/shm/moved", "cat data || cat /dev/shm/moved"),
    SORT_IN_PLACE,
)

# Two clients at once, where the order of events is what is tried.
SOCAT_TWICE = replace(SOCAT, name="socat-twice", clients=(_echo("a"), _echo("b")))
HTTP_TWICE = replace(HTTP, name="http-twice", clients=(_fetch("a"), _fetch("b")))


# In what everybody uses something was found once; each has a recording of it.

_STAMPED = "touch -d @0 data; exec"  # what lies in an archive has the time of its file
_SQLITE, _PERL = {"sqlite3": "sqlite3"}, {"perl": "perl"}
FOUND = (
    Subject(
        name="perl-in-place",
        command=("perl", "-i", "-pe", "s/line/row/", "data"),
        needs=_PERL,
        files=_DATA,
    ),
    Subject(
        name="perl-filter",
        command=("perl", "-ne", "print if /7/", "data"),
        needs=_PERL,
        files=_DATA,
    ),
    Subject(
        name="sqlite3",
        command=("sqlite3", ":memory:", "select 6 * 7"),
        needs=_SQLITE,
    ),
    Subject(
        name="zip",
        command=_shell(f"{_STAMPED} zip -qX z.zip data"),
        needs={"zip": "zip", "dash": "dash"},
        files=_DATA,
    ),
    Subject(
        name="xargs",
        command=("xargs", "-a", "data", "echo"),
        needs={"xargs": "findutils"},
        files=_DATA,
    ),
    Subject(
        name="openssl",
        command=("openssl", "sha256", "data"),
        needs={"openssl": "openssl"},
        files=_DATA,
    ),
    Subject(
        name="curl",
        command=("curl", "-sS", "file:///trial/data"),
        needs={"curl": "curl"},
        files=_DATA,
    ),
    Subject(
        name="busybox",
        command=("busybox", "sort", "data"),
        needs={"busybox": "busybox-static"},
        files=_DATA,
    ),
    Subject(
        name="tail",
        command=("tail", "-n", "1", "data"),
        needs={"tail": _COREUTILS},
        files=_DATA,
    ),
    Subject(name="tac", command=("tac", "data"), needs={"tac": _COREUTILS}, files=_DATA),
    Subject(
        name="tar-names",
        command=("tar", "-c", "-f", "a.tar", "--mtime=@0", "data"),
        needs={"tar": "tar"},
        files=_DATA,
    ),
    Subject(
        name="ls",
        command=("ls", "-l", "--time-style=+", "data"),
        needs={"ls": _COREUTILS},
        files=_DATA,
    ),
    Subject(
        name="perl-open",
        command=("perl", "-e", 'open F, "data"; print sort <F>'),
        needs=_PERL,
        files=_DATA,
    ),
    Subject(
        name="bash-pipeline",
        command=("bash", "-c", "ls | sort >list"),
        needs={"bash": "bash", "sort": _COREUTILS},
        files=_DATA,
        roles="main/*",
    ),
    Subject(name="loader", command=("true",), needs={"true": _COREUTILS}),
    Subject(name="git", command=("git", "init", "-q"), needs={"git": "git"}),
)

FILTERS = (SORT, CP, TEE, DD, MV, GZIP, SED, TAR, PIPELINE, PIPEFAIL)
SERVICES = (PREFORK, SOCAT, HTTP)
