"""The call table: numbers against the header, columns against the man pages; and its patterns."""

import errno
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.calls import (
    ALIASES,
    ARCH,
    BY_NR,
    CALLS,
    FAMILIES,
    NR,
    TRAPPED,
    Call,
    errno_name,
    errno_number,
    matching,
    signal_name,
    signal_number,
)
from harness.errors import ScheduleError

TABLE = Path(harness.__file__).with_name("syscalls.tsv")
HEADERS = [
    Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    Path("/usr/include/asm/unistd_64.h"),
]
HEADER = next((path for path in HEADERS if path.exists()), None)


def rows() -> list[list[str]]:
    return [line.split("\t") for line in TABLE.read_text(encoding="ascii").splitlines()]


# The table as a file


def test_the_first_line_names_the_columns() -> None:
    assert " ".join(rows()[0]) == "arch nr name families args trapped restart short blocks"


def test_every_row_has_a_word_in_every_column() -> None:
    assert [row for row in rows() if len(row) != 9 or not all(row)] == []


def test_every_word_of_a_row_is_one_of_its_column() -> None:
    columns = {
        "arch": re.compile("x86_64"),
        "nr": re.compile("0|[1-9][0-9]{0,2}"),
        "name": re.compile("[a-z_][a-z0-9_]*"),
        "families": re.compile("-|[a-z,]+"),
        "args": re.compile(r"\.|[fpnixosh-]{1,6}"),
        "trapped": re.compile("[yn]"),
        "restart": re.compile("sys|nohand|no"),
        "short": re.compile("in|out|copy|-"),
        "blocks": re.compile("[yn]"),
    }
    wrong = [
        (row[2], name)
        for row in rows()[1:]
        for name, word in zip(columns, row, strict=True)
        if not columns[name].fullmatch(word)
    ]
    assert wrong == []


def test_the_rows_are_in_the_order_of_their_numbers_and_none_is_twice() -> None:
    numbers = [int(row[1]) for row in rows()[1:]]
    assert numbers == sorted(set(numbers))
    assert len({row[2] for row in rows()[1:]}) == len(numbers)


def test_families_are_written_in_one_order() -> None:
    for row in rows()[1:]:
        if row[3] != "-":
            families = row[3].split(",")
            assert families == sorted(set(families), key=FAMILIES.index), row[2]


def test_no_number_of_the_two_ranges_is_missing() -> None:
    assert set(range(335)) | set(range(424, 470)) <= BY_NR.keys()


@pytest.mark.skipif(HEADER is None, reason="no <asm/unistd_64.h>; fix: apt install linux-libc-dev")
def test_the_numbers_are_those_of_the_header() -> None:
    assert HEADER is not None
    found = re.findall(r"^#define __NR_(\w+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)
    # Headers newer than the table have newer calls, and that is no fault of the table.
    header = {name: int(nr) for name, nr in found if int(nr) <= max(BY_NR)}
    assert len(header) > 300
    assert {name: NR.get(name) for name in header} == header


# The table as values


def test_each_index_has_every_call() -> None:
    assert len(CALLS) == len(BY_NR) == len(NR) == len(rows()) - 1
    assert all(BY_NR[call.nr] is call and NR[name] == call.nr for name, call in CALLS.items())
    assert {name for name, call in CALLS.items() if call.trapped} == TRAPPED
    assert ARCH == "x86_64"


def test_a_row_becomes_a_call() -> None:
    assert CALLS["pread64"] == Call(
        nr=17,
        name="pread64",
        families=frozenset({"io", "fs"}),
        args="f-nn",
        trapped=True,
        restart="sys",
        short="in",
        blocks=True,
    )
    assert CALLS["fork"].args == ""
    assert CALLS["brk"].families == frozenset()


def names_where(condition: Callable[[Call], bool]) -> set[str]:
    return {call.name for call in CALLS.values() if condition(call)}


def test_families_are_those_that_patterns_know() -> None:
    assert names_where(lambda call: not call.families <= set(FAMILIES)) == set()


def test_what_moves_data_starts_with_a_descriptor() -> None:
    assert names_where(lambda call: "io" in call.families and call.args[0] != "f") == set()


def test_what_may_be_short_moves_data_and_is_trapped() -> None:
    short = names_where(lambda call: call.short != "-")
    assert short <= names_where(lambda call: "io" in call.families) & TRAPPED


def test_what_is_interrupted_may_sleep() -> None:
    # fallocate(2) looks for a signal while it works.
    found = names_where(lambda call: call.restart != "no" and not call.blocks)
    assert found == {"fallocate"}


def test_what_may_sleep_is_trapped() -> None:
    # Else a switch of tasks would go unseen. restart_syscall goes on with a sleep that was seen;
    # getrandom sleeps only while the machine starts.
    found = names_where(lambda call: call.blocks and not call.trapped)
    assert found == {"restart_syscall", "getrandom"}


FAMILY = {
    "io": """read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2 sendfile
        splice tee vmsplice copy_file_range recvfrom recvmsg recvmmsg sendto sendmsg sendmmsg""",
    "net": """socket socketpair bind listen accept accept4 connect shutdown getsockname
        getpeername getsockopt setsockopt recvfrom recvmsg recvmmsg sendto sendmsg sendmmsg""",
}
SOME_OF_FAMILY = {
    "fs": """open openat openat2 creat stat lstat fstat newfstatat statx mkdir mkdirat rename
        renameat renameat2 unlink unlinkat fsync close chmod chdir symlink readlink getdents64
        mount umount2 read write pread64 pwritev2 sendfile splice copy_file_range flock getxattr
        getcwd""",
    "process": """fork vfork clone clone3 execve execveat exit exit_group wait4 waitid kill
        tgkill pipe pipe2 rt_sigsuspend rt_sigtimedwait setpgid setsid setuid futex pidfd_open
        prctl sched_yield semop ptrace unshare pause""",
    "time": """nanosleep clock_nanosleep poll ppoll select pselect6 epoll_wait epoll_pwait
        epoll_pwait2 alarm setitimer timer_create timer_settime timerfd_create timerfd_settime
        clock_settime semtimedop rt_sigtimedwait mq_timedreceive""",
}
NOT_IN_FAMILY = {
    "fs": "tee vmsplice sendto recvmsg socket kill poll",
    "process": "read openat socket nanosleep",
    "time": "read openat futex kill pause epoll_ctl",
}


@pytest.mark.parametrize("family", FAMILY)
def test_a_small_family_is_exactly_this(family: str) -> None:
    assert matching(family) == set(FAMILY[family].split())


@pytest.mark.parametrize("family", SOME_OF_FAMILY)
def test_a_large_family_has_its_well_known_calls(family: str) -> None:
    assert set(SOME_OF_FAMILY[family].split()) <= matching(family)
    assert not set(NOT_IN_FAMILY[family].split()) & matching(family)


ARGS = {
    "read": "f-n",
    "write": "f-n",
    "open": "pxo",
    "openat": "fpxo",
    "close": "f",
    "lseek": "fni",
    "mmap": "-nxxfn",
    "readv": "f-n",
    "pread64": "f-nn",
    "dup2": "ff",
    "fcntl": "fi-",
    "ioctl": "fx-",
    "sendto": "f-nx--",
    "recvmsg": "f-x",
    "accept4": "f--x",
    "sendfile": "ff-n",
    "splice": "f-f-nx",
    "copy_file_range": "f-f-nx",
    "mkdirat": "fpo",
    "renameat2": "fpfpx",
    "linkat": "fpfpx",
    "symlinkat": "pfp",
    "newfstatat": "fp-x",
    "statx": "fpxx-",
    "fchownat": "fpiix",
    "kill": "-s",
    "tgkill": "--s",
    "wait4": "--x-",
    "execve": "p--",
    "exit_group": "i",
    "futex": "-x----",
    "rt_sigaction": "sh--",
    "poll": "-n-",
    "epoll_wait": "f-i-",
    "epoll_ctl": "fif-",
    "clock_nanosleep": "ix--",
    "getpid": "",
}


@pytest.mark.parametrize(("name", "letters"), ARGS.items())
def test_the_arguments_of_a_well_known_call(name: str, letters: str) -> None:
    assert CALLS[name].args == letters


# signal(7), "Interruption of system calls and library functions by signal handlers"
RESTART = {
    "sys": """read readv write writev ioctl open openat wait4 waitid accept accept4 connect
        recvfrom recvmsg recvmmsg sendto sendmsg flock fcntl mq_timedreceive mq_timedsend futex
        getrandom""",
    "nohand": """pause rt_sigsuspend rt_sigtimedwait epoll_wait epoll_pwait epoll_pwait2 poll
        ppoll select pselect6 msgrcv msgsnd semop semtimedop clock_nanosleep nanosleep
        io_getevents""",
    "no": """close stat mkdir rename unlink fsync kill fork clone execve exit_group socket
        bind listen pipe2 dup2 sched_yield getdents64 lseek mmap brk chdir setsid shutdown
        epoll_ctl""",
}


@pytest.mark.parametrize("restart", RESTART)
def test_interrupted_calls_answer_as_signal_7_says(restart: str) -> None:
    assert {name: CALLS[name].restart for name in RESTART[restart].split()} == dict.fromkeys(
        RESTART[restart].split(), restart
    )


SHORT = {
    "in": "read pread64 readv preadv preadv2 recvfrom recvmsg",
    "out": "write pwrite64 writev pwritev pwritev2 sendto sendmsg",
    "copy": "sendfile splice copy_file_range",
}


def test_calls_that_may_be_short_are_exactly_these() -> None:
    found = {way: {c.name for c in CALLS.values() if c.short == way} for way in SHORT}
    assert found == {way: set(names.split()) for way, names in SHORT.items()}


NOT_TRAPPED = """brk mmap munmap mremap mprotect madvise msync mincore rt_sigaction
    rt_sigprocmask sigaltstack rt_sigreturn arch_prctl set_tid_address set_robust_list rseq
    getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid umask getrlimit
    prlimit64 getrandom clock_gettime gettimeofday time clock_getres getcpu sched_getaffinity
    sched_getparam sysinfo times getrusage uname membarrier"""
ARE_TRAPPED = """read write open openat close stat fstat lseek access fcntl ioctl dup dup2
    pipe pipe2 socket connect accept bind listen sendto recvfrom shutdown fork vfork clone
    clone3 execve exit exit_group wait4 waitid kill tgkill futex nanosleep clock_nanosleep
    sched_yield poll select epoll_wait pause alarm setitimer timer_create eventfd2 signalfd4
    timerfd_create memfd_create shmat semop msgsnd unlink rename mkdir getdents64 getcwd chdir
    setsid setpgid setuid prctl seccomp ptrace io_uring_setup pidfd_open process_vm_writev
    inotify_init1"""


def test_what_no_other_task_can_notice_is_not_trapped() -> None:
    assert set(NOT_TRAPPED.split()) & TRAPPED == set()


def test_what_another_task_could_notice_is_trapped() -> None:
    assert set(ARE_TRAPPED.split()) - TRAPPED == set()


BLOCKS = """read write open openat connect accept recvmsg sendmsg wait4 waitid futex poll
    ppoll select pselect6 epoll_wait epoll_pwait nanosleep clock_nanosleep flock fcntl pause
    rt_sigsuspend rt_sigtimedwait semop msgrcv mq_timedreceive splice sendfile vfork clone
    clone3"""
NEVER_BLOCKS = """close stat mkdir rename unlink fsync kill fork execve exit exit_group socket
    bind listen pipe dup2 sched_yield getdents64 lseek mmap chdir setsid shutdown epoll_ctl
    chmod link"""


def test_what_may_sleep_for_another_task_or_a_time_blocks() -> None:
    assert [name for name in BLOCKS.split() if not CALLS[name].blocks] == []
    assert [name for name in NEVER_BLOCKS.split() if CALLS[name].blocks] == []


def test_loading_the_table_imports_nothing_heavy() -> None:
    heavy = "argparse asyncio csv ctypes difflib importlib.resources json pathlib shutil socket"
    code = (
        f"import sys; sys.path.insert(0, {str(TABLE.parents[1])!r}); import harness.calls;"
        f"print(*sorted(set({heavy.split()!r}) & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []


# Patterns


def test_an_exact_name_is_that_call_trapped_or_not() -> None:
    for name in CALLS.keys() - set(FAMILIES):
        assert matching(name) == {name}


def test_a_star_is_every_trapped_call() -> None:
    assert matching("*") == TRAPPED


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_its_trapped_calls(family: str) -> None:
    assert matching(family) == {n for n in TRAPPED if family in CALLS[n].families}
    assert matching(family)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("pread*", "pread64 preadv preadv2"),
        ("recv*", "recvfrom recvmsg recvmmsg"),
        ("exit*", "exit exit_group"),
        ("exit?group", "exit_group"),
        ("dup[23]", "dup2 dup3"),
        ("dup[!2]", "dup3"),
        ("?kill", "tkill"),
    ],
)
def test_a_glob_is_the_trapped_calls_that_it_matches(pattern: str, names: str) -> None:
    assert matching(pattern) == set(names.split())


def test_a_glob_leaves_out_untrapped_calls_beside_trapped_ones() -> None:
    assert "mmap" not in matching("m*")
    assert "mkdir" in matching("m*")


def test_a_glob_with_no_trapped_call_is_the_untrapped_ones() -> None:
    assert matching("br?") == {"brk"}
    assert matching("getpp*") == {"getppid"}


def test_the_call_named_as_a_family_is_reached_by_a_glob() -> None:
    assert matching("time") != {"time"}
    assert matching("[t]ime") == {"time"}


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_the_kernels_call(alias: str, name: str) -> None:
    assert matching(alias) == {name}
    assert alias not in CALLS


@pytest.mark.parametrize(
    ("pattern", "nearest"),
    [
        ("wirte", "write"),
        ("raed", "read"),
        ("Read", "read"),
        ("opennat", "openat"),
        ("fysnc", "fsync"),
        ("exit-group", "exit_group"),
        ("proces", "process"),
        ("recvform", "recvfrom"),
        ("wriet*", "write"),
        ("rename[", "rename"),
        ("waitpid", "wait4"),
        ("sleep", "clock_nanosleep"),
        ("fopen", "openat"),
    ],
)
def test_an_unknown_call_is_an_error_that_names_the_nearest(pattern: str, nearest: str) -> None:
    with pytest.raises(ScheduleError) as error:
        matching(pattern)
    assert str(error.value).startswith(f"unknown call {pattern!r}")
    assert f"did you mean {nearest!r}?" in str(error.value)


@pytest.mark.parametrize("pattern", ["", "[", "zzzzzz", "[z-a]", "17", "\n", "é" * 1000])
def test_a_pattern_that_is_near_to_nothing_says_what_it_could_be(pattern: str) -> None:
    with pytest.raises(ScheduleError, match="a kernel name, a glob, or one of io net fs"):
        matching(pattern)


@given(st.text(alphabet="aeiorstdup_64*?[]!-", max_size=8))
def test_any_pattern_is_calls_or_one_line(pattern: str) -> None:
    said = ""
    names: frozenset[str] = frozenset()
    try:
        names = matching(pattern)
    except ScheduleError as error:
        said = str(error)
    assert bool(names) != bool(said)
    assert names <= CALLS.keys()
    assert len(names) <= 1 or names <= TRAPPED or not names & TRAPPED
    assert len(said.splitlines()) <= 1


# Errno values and signals


def test_every_errno_of_the_c_library_has_its_number_and_name() -> None:
    for number, name in errno.errorcode.items():
        assert errno_number(name) == number
        assert errno_name(number) == name
    assert errno_number("EWOULDBLOCK") == errno_number("EAGAIN") == 11
    assert errno_name(4000) == "4000"


@pytest.mark.parametrize(
    ("name", "nearest"), [("ENOSPCE", "ENOSPC"), ("enospc", "ENOSPC"), ("EINTRR", "EINTR")]
)
def test_an_unknown_errno_is_an_error_that_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ScheduleError) as error:
        errno_number(name)
    assert str(error.value) == f"unknown errno {name!r}; did you mean {nearest!r}?"


def test_an_errno_near_to_nothing_points_to_the_list() -> None:
    with pytest.raises(ScheduleError, match=re.escape("unknown errno '': see errno(3)")):
        errno_number("")


@pytest.mark.parametrize("number", range(1, 65))
def test_every_signal_has_one_name_and_goes_there_and_back(number: int) -> None:
    name = signal_name(number)
    assert signal_number(name) == signal_number(f"SIG{name}") == number


def test_signals_have_the_names_of_the_standard_library() -> None:
    for member in signal.Signals:
        assert f"SIG{signal_name(member)}" == member.name
    for name, member in signal.Signals.__members__.items():
        assert signal_number(name) == member


def test_a_number_that_is_no_signals_is_its_own_name() -> None:
    assert [signal_name(number) for number in (0, 65, -1)] == ["0", "65", "-1"]


@pytest.mark.parametrize(
    ("name", "nearest"), [("TREM", "TERM"), ("SIGKIL", "KILL"), ("hup", "HUP"), ("sigint", "INT")]
)
def test_an_unknown_signal_is_an_error_that_names_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ScheduleError) as error:
        signal_number(name)
    assert str(error.value) == f"unknown signal {name!r}; did you mean {nearest!r}?"
