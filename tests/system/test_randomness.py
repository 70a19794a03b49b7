"""What is random in a trial comes of its seed: the same with one seed, something else with another.

Each program prints what it drew, by whatever way it draws.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Subject
from harness._engine.record import plan_of, record
from harness._engine.runner import Runner
from harness._engine.trial import TrialResult
from harness.oracle import judge
from harness.recording import Recording
from harness.schedule import Schedule
from harness.subject import TrialPlan
from tests.system.programs import drawing, workloads
from tests.system.support import calls, exit_status, harness, needs, plan, python, shell

CProgram = Callable[..., str]

_PYTHON = """
import os, random, secrets, tempfile, time, uuid
print(os.urandom(8).hex(), secrets.token_hex(4), uuid.uuid1(), uuid.uuid4())
print(random.random(), random.SystemRandom().random())
print(hash("a string"), ",".join({"one", "two", "three", "four", "five", "six", "seven", "eight"}))
print(tempfile.mkstemp()[1], tempfile.mkdtemp())
print(id(object()), os.getpid(), time.time_ns(), time.monotonic_ns())
"""
PROGRAMS = {
    "python": python(_PYTHON),
    "bash": ("/bin/bash", "-c", "echo $RANDOM $SRANDOM $RANDOM $SRANDOM; echo $$ $EPOCHREALTIME"),
    "perl": ("/usr/bin/perl", "-e", "print join(' ', keys %{{map {$_ => 1} 1..20}}), ' ', rand()"),
    "mktemp": shell("mktemp; mktemp -d"),
    "shuf": shell("seq 50 | shuf; shuf -i 1-1000 -n 5 --random-source=/dev/urandom"),
    "openssl": shell("openssl rand -hex 24"),
    "od": shell("od -An -tx1 -N16 /dev/random; od -An -tx1 -N16 /dev/urandom"),
    "dd": shell("dd if=/dev/urandom bs=16 count=2 status=none | od -An -tx1"),
    "sort": shell("seq 50 | sort -R"),
    "a megabyte": shell("head -c 1M /dev/urandom | sha256sum"),
    "uuid": shell("cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id"),
}
_NEEDS = {"bash": "bash", "perl": "perl", "openssl": "openssl"}


def seeded(trial: TrialPlan, seed: int) -> TrialPlan:
    """*trial* with another seed; who goes next stays by the default policy."""
    return replace(trial, schedule=replace(trial.schedule, seed=seed))


def said(runner: Runner, trial: TrialPlan, seed: int = 0) -> str:
    result = runner.run(seeded(trial, seed))
    assert exit_status(result) == 0, result.outcome
    return result.outcome.stdout.head


def assert_drawn_from_the_seed(runner: Runner, trial: TrialPlan) -> None:
    seven = said(runner, trial, 7)
    assert seven
    assert said(runner, trial, 7) == seven
    assert said(runner, trial, 8) != seven


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_draws_from_the_seed(name: str, runner: Runner) -> None:
    if name in _NEEDS:
        needs(_NEEDS[name])
    trial = plan(*PROGRAMS[name], env={"PYTHONHASHSEED": "random"})
    assert_drawn_from_the_seed(runner, trial)


def test_each_word_of_a_program_differs_with_another_seed(runner: Runner) -> None:
    one, other = (said(runner, plan(*PROGRAMS["python"]), seed).split() for seed in (1, 2))
    equal = [word for word, there in zip(one, other, strict=True) if word == there]
    assert len(equal) <= 2, equal  # where an object lies, and the pid


def test_another_runner_draws_the_same() -> None:
    found = []
    for _ in range(2):
        with Runner() as runner:
            found.append(said(runner, plan(*PROGRAMS["python"])))
    assert found[0] == found[1]


def test_a_function_draws_from_the_seed(runner: Runner) -> None:
    def drawn(seed: int) -> str:
        trial = Subject.process(workloads.draws).plan(schedule=Schedule(seed=seed))
        return said(runner, trial, seed)

    seven = drawn(7)
    assert drawn(7) == seven
    first, second, third, _ = drawn(8).splitlines()
    assert not {first, second, third} & set(seven.splitlines())
    with Runner() as another:
        trial = Subject.process(workloads.draws).plan(schedule=Schedule(seed=7))
        assert said(another, trial, 7) == seven


def test_what_a_module_draws_when_it_is_imported_is_the_same_in_each_session() -> None:
    found = []
    for seed in 1, 2:
        with Runner() as runner:
            trial = Subject.process(drawing.tells).plan(schedule=Schedule(seed=seed))
            found.append(said(runner, trial, seed))
    assert found[0] == found[1]
    assert found[0].endswith("[10] 1\n\n")


def test_where_that_cannot_be_a_module_is_imported_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARNESS_KERNEL_FAIL", "drawing._overwrite#1=EPERM")
    with Runner() as runner:
        assert said(runner, Subject.process(drawing.tells).plan())


_C = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(void) {
    uint64_t drawn[2], *start = (uint64_t *)getauxval(AT_RANDOM);
    if (getentropy(drawn, sizeof drawn) != 0) return 1;
    printf("%lx %lx\\n%lx %lx\\n", drawn[0], drawn[1], start[0], start[1]);
#ifdef ARC4RANDOM
    printf("%x\\n", arc4random());
#endif
    return 0;
}
"""


def _has_arc4random(c_program: CProgram) -> bool:
    try:
        c_program(_C, "-DARC4RANDOM")
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("how", ["dynamic", "static"])
def test_a_c_program_draws_from_the_seed(how: str, runner: Runner, c_program: CProgram) -> None:
    flags = ["-static"] if how == "static" else []
    if _has_arc4random(c_program):  # since glibc 2.36
        flags.append("-DARC4RANDOM")
    trial = plan(c_program(_C, *flags))
    assert_drawn_from_the_seed(runner, trial)
    one, other = said(runner, trial, 1).split(), said(runner, trial, 2).split()
    assert not set(one) & set(other)


def test_what_a_program_starts_with_is_not_what_the_next_one_does(
    runner: Runner, c_program: CProgram
) -> None:
    program = c_program(_C)
    twice = said(runner, plan(*shell(f"{program}; {program}"), bind=[program])).splitlines()
    assert len(set(twice)) == 4


# ---- What getrandom(2) says ----------------------------------------------------------------------

_GETRANDOM = """
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void call(const char *what, void *buffer, size_t size, unsigned flags) {
    long got = syscall(SYS_getrandom, buffer, size, flags);
    printf("%s: %ld %s\\n", what, got, got < 0 ? strerrorname_np(errno) : "");
}

int main(void) {
    size_t page = sysconf(_SC_PAGESIZE), many = 3 << 20;
    char *three = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *large = malloc(many);
    munmap(three + page, page);
    mprotect(three + 2 * page, page, PROT_READ);
    call("nothing", three, 0, 0);
    call("some", three, 256, 0);
    for (unsigned flags = 0; flags < 16; flags++) call("flags", three, 8, flags);
    call("unknown", three, 8, 0x80000000);
    call("null", NULL, 8, 0);
    call("null, nothing", NULL, 0, 0);
    call("the kernel's", (void *)0xffffffff80000000, 8, 0);
    call("to the end", three + page - 100, 4096, 0);
    call("not mapped", three + page, 8, 0);
    call("read only", three + 2 * page, 8, 0);
    call("large", large, many, 0);
    long zeros = 0;
    for (size_t at = 0; at < many; at++) zeros += !large[at];
    printf("%s\\n", zeros > many / 300 && zeros < many / 200 ? "all of it" : "not all of it");
    memset(three, 0, page);
    call("to the byte", three + 5, 9, 0);
    for (int at = 14; at < 100; at++) if (three[at]) printf("too much\\n");
    return 0;
}
"""


def test_getrandom_answers_as_the_kernel_does(runner: Runner, c_program: CProgram) -> None:
    program = c_program(_GETRANDOM)
    real = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True)
    assert said(runner, plan(program)) == real.stdout


def test_to_draw_is_no_event(runner: Runner) -> None:
    result = runner.run(plan(*python("import os; os.urandom(8)")))
    assert not calls(result, "main", "getrandom")


def test_a_fault_at_getrandom_makes_it_an_event_and_the_rest_is_drawn(runner: Runner) -> None:
    code = """
import os
for _ in range(3):
    try: print(os.getrandom(8).hex())
    except OSError as error: print(error.errno)
"""
    events = calls(
        runner.run(plan(*python(code), faults=["getrandom#99=EAGAIN"])), "main", "getrandom"
    )
    assert len(events) >= 3
    trial = plan(*python(code), faults=[f"getrandom#{len(events) - 1}=EAGAIN"])
    first, failed, last = said(runner, trial).split()
    assert failed == "11"
    assert said(runner, trial).split() == [first, failed, last]
    drawn = said(runner, plan(*python(code))).split()
    assert (first, last) == (drawn[0], drawn[1])  # what failed has drawn nothing


@pytest.mark.parametrize("fault", ["getrandom#*=signal(CHLD)", "getrandom#1=signal(WINCH)"])
def test_a_signal_that_does_nothing_lets_it_be_drawn(runner: Runner, fault: str) -> None:
    code = "import os; print(os.getrandom(8).hex())"
    assert said(runner, plan(*python(code), faults=[fault])) == said(runner, plan(*python(code)))


def test_free_mode_leaves_it_real(runner: Runner) -> None:
    trial = plan(*shell("od -An -tx1 -N16 /dev/urandom"), mode="free")
    assert said(runner, trial) != said(runner, trial)
    trial = plan(*python("import os; print(os.urandom(16))"), mode="free")
    assert said(runner, trial) != said(runner, trial)


# ---- Roles, and what is written down -------------------------------------------------------------


@pytest.mark.parametrize(
    "draw", ["print(os.urandom(9))", "print(open('/dev/urandom','rb').read(9))"]
)
def test_what_another_role_draws_moves_nothing(runner: Runner, draw: str) -> None:
    code = """
import os, sys
if os.fork() == 0:
    for _ in range({times}): os.urandom(9); open('/dev/urandom', 'rb').read(9)
    os._exit(0)
os.wait()
{draw}
"""
    one, other = (
        said(runner, plan(*python(code.format(times=times, draw=draw)))) for times in (1, 5)
    )
    assert one == other


def test_a_child_draws_something_else(runner: Runner) -> None:
    found = said(runner, plan(*python("import os; os.fork(); print(os.urandom(8).hex())")))
    assert len(set(found.split())) == 2


def test_a_recording_draws_the_same(runner: Runner) -> None:
    trial = plan(*PROGRAMS["python"], seed=5)
    first = runner.run(trial)
    written = record(trial, first, judge(trial.roots[0], first.outcome)).dumps()
    again = runner.run(plan_of(Recording.loads(written)))
    assert again.outcome.stdout == first.outcome.stdout


def test_the_command_line_has_a_seed_of_zero(tmp_path: Path) -> None:
    def drawn(*options: str) -> str:
        done = harness("run", "-q", *options, "--", *python("import os; print(os.urandom(8))"))
        assert done.returncode == 0, done
        return done.stdout

    assert drawn() == drawn() == drawn("--seed", "0")
    assert drawn() != drawn("--seed", "1")
    (tmp_path / "s.json").write_text('{"format": 1, "seed": 1}')
    assert drawn("--schedule", str(tmp_path / "s.json")) == drawn("--seed", "1")


_WORLD = "umask; uname -n; cat /proc/sys/kernel/domainname; env | sort; echo $$; date; nice"


def test_what_surrounds_a_program_is_the_same_whoever_runs_it() -> None:
    other = {"LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    one = harness("run", "-q", "--", *shell(_WORLD))
    assert one.returncode == 0, one
    assert one.stdout.startswith("0022\ntrial\n(none)\n")
    assert harness("run", "-q", "--", *shell(_WORLD), env=other, umask=0o77).stdout == one.stdout


# ---- Devices -------------------------------------------------------------------------------------


def read_of_device(runner: Runner, code: str, **more: object) -> TrialResult:
    head = "import os, select, stat, socket\nfd = os.open('/dev/urandom', os.O_RDONLY)\n"
    result = runner.run(plan(*python(head + code), **more))  # type: ignore[arg-type]
    assert exit_status(result) == 0, result.outcome
    return result


#: What reads eight bytes of the device on `fd`, through whatever leads there.
WAYS = {
    "read": "data = os.read(fd, 8)",
    "readv": "a, b = bytearray(3), bytearray(5); os.readv(fd, [a, bytearray(), b]); data = a + b",
    "pread": "data = os.pread(fd, 8, 1000)",
    "preadv2": "a = bytearray(8); os.preadv(fd, [a], 0, 0); data = a",
    "dup": "data = os.read(os.dup(fd), 8)",
    "fork": "pid = os.fork()\nif not pid: data = os.read(fd, 8)\nelse: os.wait(); os._exit(0)",
    "passed on": (
        "a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [fd])\n"
        "data = os.read(socket.recv_fds(b, 1, 1)[1][0], 8)"
    ),
    "link": "os.symlink('/dev/urandom', 'r'); data = os.read(os.open('r', os.O_RDONLY), 8)",
    "relative": (
        "dev = os.open('/dev', os.O_PATH); data = os.read(os.open('random', 0, dir_fd=dev), 8)"
    ),
    "roundabout": "data = os.read(os.open('/dev/../dev/./urandom', os.O_RDWR), 8)",
    "again": "data = os.read(os.open(f'/proc/self/fd/{fd}', os.O_RDONLY), 8)",
    "non-blocking": "data = os.read(os.open('/dev/random', os.O_RDONLY | os.O_NONBLOCK), 8)",
    "chroot": (
        "os.mkdir('dev'); open('dev/urandom', 'w').close()\n"
        "import ctypes\n"
        "libc = ctypes.CDLL(None)\n"
        "assert not libc.mount(b'/dev/urandom', b'dev/urandom', None, 4096, None)\n"
        "os.chroot('.'); data = os.read(os.open('/dev/urandom', os.O_RDONLY), 8)"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_read_a_device_draws_from_the_seed(way: str, runner: Runner) -> None:
    code = WAYS[way] + "\nassert len(data) == 8\nprint(data.hex())"
    one, same = (read_of_device(runner, code).outcome.stdout.head for _ in range(2))
    assert one == same
    assert re.fullmatch(r"[0-9a-f]{16}\n", one)


def test_a_device_looks_like_one(runner: Runner) -> None:
    code = """
status = os.fstat(fd)
print(stat.S_ISCHR(status.st_mode), os.major(status.st_rdev), os.minor(status.st_rdev))
poll = select.poll(); poll.register(fd, select.POLLIN); print(poll.poll(0) == [(fd, select.POLLIN)])
os.read(fd, 10); print(os.lseek(fd, 0, os.SEEK_CUR), os.lseek(fd, 5, os.SEEK_SET))
print(len(os.read(fd, 300_000)), os.read(fd, 0))
print(os.readlink(f"/proc/self/fd/{fd}"))
for flags in os.O_WRONLY, os.O_PATH:
    try: os.read(os.open("/dev/urandom", flags), 8)
    except OSError as error: print(error.strerror)
import ctypes
for address in None, ctypes.c_void_p(1 << 63):
    print(ctypes.CDLL(None, use_errno=True).read(fd, address, 8), ctypes.get_errno())
try: os.pread(fd, 8, -1)
except OSError as error: print(error.strerror)
"""
    assert read_of_device(runner, code).outcome.stdout.head.splitlines() == [
        "True 1 9",
        "True",
        "0 0",
        "300000 b''",
        "/dev/urandom",
        "Bad file descriptor",
        "Bad file descriptor",
        *["-1 14"] * 2,
        "Invalid argument",
    ]


def test_a_device_that_is_copied_by_the_kernel_is_read_instead(runner: Runner) -> None:
    code = """
into, out = os.pipe()
for copy in (lambda: os.sendfile(out, fd, None, 8), lambda: os.splice(fd, out, 8)):
    try: copy()
    except OSError as error: print(error.strerror)
"""
    found = read_of_device(runner, code).outcome.stdout.head
    assert found == "Invalid argument\n" * 2


def test_a_short_read_of_a_device_draws_as_well(runner: Runner) -> None:
    code = """
for size in 8, 2:
    data = bytearray(size)
    print(os.readv(fd, [data]), data.hex())
"""
    result = read_of_device(runner, code, faults=["readv#*=short(2)"])
    whole = read_of_device(runner, code).outcome.stdout.head.split()
    assert whole[::2] == ["8", "2"]
    shown = result.outcome.stdout.head.split()
    assert shown == ["2", whole[1][:4] + "0" * 12, "2", whole[3]]
    events = [line.split()[2] for line in calls(result, "main", "readv")]
    assert events == ["short:2", "-"]


@pytest.mark.parametrize("fault", ["eof", "reset", "delay(5s)", "pause(5s)", "signal(WINCH)"])
def test_a_fault_that_lets_a_device_be_read_draws_as_well(runner: Runner, fault: str) -> None:
    code = "data = bytearray(8); os.readv(fd, [data]); print(data.hex())"
    found = read_of_device(runner, code, faults=[f"readv#1={fault}"])
    assert found.outcome.stdout == read_of_device(runner, code).outcome.stdout


def test_standard_input_may_be_a_device() -> None:
    with open("/dev/urandom", "rb") as device:
        found = [
            harness("run", "-q", "--", "head", "-c", "8", stdin=device).stdout for _ in range(2)
        ]
    assert found[0] == found[1]


def test_a_uuid_of_the_kernels_is_one_and_read_once(runner: Runner) -> None:
    code = """
import uuid
for name in "uuid", "uuid", "boot_id", "boot_id":
    with open(f"/proc/sys/kernel/random/{name}") as file:
        text = file.read()
        assert file.read() == ""
    assert uuid.UUID(text[:-1]).version == 4
    print(text, end="")
file = os.open("/proc/sys/kernel/random/uuid", os.O_RDONLY)
print(len(os.read(file, 8)), os.read(file, 8), os.pread(file, 9, 37))
file = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY)
print(os.pread(file, 99, 0).decode(), end="")
try: os.sendfile(1, file, None, 8)
except OSError as error: print(error.strerror)
"""
    one, other, boot, same, short, at, copied = read_of_device(
        runner, code
    ).outcome.stdout.head.splitlines()
    assert one != other
    assert boot == same == at
    assert short == "8 b'' b''"
    assert copied == "Invalid argument"


# ---- Numbers of files ----------------------------------------------------------------------------


def test_files_have_the_same_inode_numbers_in_each_trial() -> None:
    script = "touch new /tmp/new; ls -di / . /tmp /run /etc /usr/bin new /tmp/new"
    found = []
    for _ in range(2):
        with Runner() as runner:
            found.append(said(runner, plan(*shell(script))))
    assert found[0] == found[1]
