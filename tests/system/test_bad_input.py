"""What cannot be run is refused: in one line that says what to do, and by its exit status.

`harness()` itself holds each use to it that no process is left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness._kernel.view import ViewPlan
from harness._supervisor.init import InitPlan, find_program
from harness.cli import main
from harness.errors import SubjectError
from tests.system.support import (
    MODES,
    PROJECT,
    Completed,
    harness,
    one_line,
    python,
)

CProgram = Callable[..., str]
_AS_ROOT = os.geteuid() == 0
_IS_ROOT_OF_THE_MACHINE = (
    _AS_ROOT and Path("/proc/self/uid_map").read_text().split()[:2] == ["0"] * 2
)
both_modes = pytest.mark.parametrize("mode", MODES)


def refused(done: Completed, status: int, *words: str) -> None:
    """One line on stderr with all of *words*, nothing on stdout, and *status*."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    said = one_line(done.stderr)
    for word in words:
        assert word in said


Refused = Callable[..., None]


@pytest.fixture
def refused_at_once(capfd: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """`refused` for what is refused before anything is started, so in this process."""

    def check(words: Sequence[str], status: int, *said: str) -> None:
        code = main(words)
        out, err = capfd.readouterr()
        refused(Completed(list(words), code, out, err), status, *said)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield check
    for number, handler in handlers.items():
        signal.signal(number, handler)


# Arguments

_BAD_FAULTS = {
    "wrte=EIO": "did you mean 'write'?",
    "write=ENOSPACE": "did you mean 'ENOSPC'?",
    "write": "[ROLE:]CALL[#N][@PHASE]=FAULT",
    "=EIO": "[ROLE:]CALL[#N][@PHASE]=FAULT",
    "": "[ROLE:]CALL[#N][@PHASE]=FAULT",
    "write=short(0)": "short(1)",
    "write=short(-1)": "short(1)",
    "write=crash(NOSIG)": "unknown signal",
    "write=drop": "not in this version",
    "write=delay": "delay(2s)",
    "write=delay()": "'' is not a time: 500ms, 2s, 1.5h",
    "write=delay(2)": "'2' is not a time: 500ms, 2s, 1.5h",
    "write=delay(-1s)": "'-1s' is not a time",
    "write=delay(0s)": "'0s' is not a whole time from 1ns",
    "write=delay(0.1ns)": "'0.1ns' is not a whole time from 1ns",
    "write=delay(99999999999h)": "is not a whole time from 1ns",
    "write=pause": "pause(2s)",
    "write=pause(1 s)": "'1 s' is not a time",
    "write=eof(1)": "not of the form eof",
    "write=reset(1)": "not of the form reset",
    "write=hold()": "hold or hold(until=ROLE:CALL#N)",
    "write=hold(until=)": "hold or hold(until=ROLE:CALL#N)",
    "write=hold(until=main:raed)": "did you mean 'read'?",
    "write=hold(until=main:read#0)": "2, * or 3+",
    "write=hold(until=main:read@never)": "unknown phase 'never'",
    "write=short(1)+EIO": "cannot both be at one call",
    "write=short(1)+": "fault ''",
    "write=short(1)+dealy(1s)": "unknown fault 'dealy(1s)'",
    "openat=eof": "openat, which neither reads nor writes a stream",
    "pread64=reset": "pread64, which neither reads nor writes a stream",
    "write#0=EIO": "2, * or 3+",
    "write@later=EIO": "known: recover, settle, start, stop, work",
    "a b:write=EIO": "role 'a b'",
    "mkdir=short(1)": "mkdir",
    "exit_group=EIO": "exit_group",
    "exit_group=crash-after": "exit_group",
    "rt_sigreturn=EINTR": "rt_sigreturn",
    "wr\nite=EIO": "write",
    "write\x1b[31m=EIO": "\\x1b",
}


@pytest.mark.parametrize("fault", _BAD_FAULTS)
def test_an_unknown_call_or_fault(fault: str, refused_at_once: Refused) -> None:
    refused_at_once(["run", "--fault", fault, "--", "true"], 125, _BAD_FAULTS[fault])


def test_a_refusal_by_the_command_line_itself() -> None:
    refused(harness("run", "--fault", "wrte=EIO", "--", "true"), 125, "did you mean 'write'?")
    refused(harness("run", "--limit", f"NOFILE={10**12}", "--", "true"), 125, "at most")
    refused(harness(), 2, "--help")


_BAD_OPTIONS = {
    ("--nonsense",): "--help",
    ("--mode", "fast"): "'controlled', 'free'",
    ("--seed", "x"): "--seed",
    ("--seed", "3", "--mode", "free"): "in free mode nothing is drawn",
    ("--deadline", "0"): "500ms, 10s, 2m",
    ("--deadline", "soon"): "500ms, 10s, 2m",
    ("--steps", "-3"): "above 0",
    ("--limit", "FOO=1"): "NOFILE",
    ("--limit", "NOFILE"): "NOFILE=16",
    ("--client", '"'): "quotation",
    ("--client", ""): "no command",
    ("--client", "a=true", "--client", "a=true"): "client/a",
    ("--client", "true", "--stop", "FOO"): "unknown signal",
    ("--stdin", "/nowhere"): "/nowhere: No such file",
    ("--stdin", "/"): "Is a directory",
    ("--bind", "/nowhere"): "/nowhere",
    ("--write", "/nowhere"): "/nowhere",
    ("--env", "=x"): "K=V",
    ("--schedule", "/nowhere"): "/nowhere: No such file",
    ("--client", "true", "--ready", ":99999"): ":1 to :65535",
    ("--client", "true", "--ready", ":0"): ":1 to :65535",
    ("--client", "true", "--ready", ":-1"): ":1 to :65535",
    ("--client", "true", "--ready", ":http"): ":1 to :65535",
    ("--client", "true", "--ready", ":"): ":1 to :65535",
    ("--client", "true", "--ready", ""): "--ready",
    ("--record", ""): "--record: the name of a file is empty",
    ("--bind", ""): "--bind: the name of a file is empty",
    ("--write", ""): "--write: the name of a file is empty",
    ("--stdin", ""): "--stdin: the name of a file is empty",
    ("--schedule", ""): "--schedule: the name of a file is empty",
    ("--bind", "/"): "--bind /: the trial has its own; name what is needed below it",
    ("--write", "/proc"): "--write /proc: the trial has its own",
    ("--stdin", "/dev/zero"): "without --stdin it is read as it comes: < /dev/zero",
    ("--stdin", "/dev/zero", "--record", "/dev/null"): "/dev/zero has more than the 65536 bytes",
    ("--record", "/nowhere/r.json"): "/nowhere/r.json: the recording is not written: No such file",
    ("--stop", "FOO"): "unknown signal 'FOO'",
}


@pytest.mark.parametrize("options", _BAD_OPTIONS, ids=" ".join)
def test_an_option_that_cannot_be(options: tuple[str, ...], refused_at_once: Refused) -> None:
    refused_at_once(["run", *options, "--", "true"], 125, _BAD_OPTIONS[options])


@pytest.mark.parametrize("words", [(), ("nonsense",), ("replay", "--times", "0")], ids=" ".join)
def test_usage_of_other_commands_is_2(words: tuple[str, ...], refused_at_once: Refused) -> None:
    refused_at_once(words, 2, "--help")


def test_a_program_without_a_name_is_not_found() -> None:
    refused(harness("run", "--", ""), 127, "the name of the program is empty")
    client = ("--client", "''")
    refused(harness("run", *client, "--", "true"), 127, "the name of the program is empty")


@pytest.mark.parametrize("command", ["replay", "show"])
def test_a_recording_without_a_name(command: str, refused_at_once: Refused) -> None:
    refused_at_once([command, ""], 2, "the name of a file is empty")


def test_a_limit_that_never_holds_for_root_says_so() -> None:
    script = "true & true & true & wait; exit 4"
    done = harness("run", "-q", "--limit", "NPROC=2", "--", "sh", "-c", script)
    if _IS_ROOT_OF_THE_MACHINE:
        assert done.returncode == 4
        assert "NPROC never holds for root" in one_line(done.stderr)
        assert "clone" in done.stderr
    else:
        assert done.returncode != 4
        assert "harness: " not in done.stderr


# Schedules and recordings

_ENTRY = {"at": {"role": "main", "call": "write", "nth": 1}, "fault": {"kind": "hold"}}
_BAD_SCHEDULES: dict[str, tuple[str, str]] = {
    "empty": ("", "not JSON at line 1 column 1"),
    "cut": ('{"format": 1, "fau', "not JSON"),
    "two": ('{"format": 1}{}', "not JSON"),
    "array": ("[]", "expected an object"),
    "version": ('{"format": 2}', "format 1 only"),
    "key": ('{"format": 1, "fautls": []}', "did you mean 'faults'?"),
    "twice": ('{"format": 1, "seed": 1, "seed": 2}', "'seed' stands twice"),
    "bool": ('{"format": 1, "seed": true}', "seed: expected a whole number"),
    "nan": ('{"format": 1, "seed": NaN}', "NaN"),
    "digits": ('{"format": 1, "seed": ' + "9" * 6000 + "}", "too many digits"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "mode": ('{"format": 1, "mode": "fast"}', "known: controlled, free"),
    "call": (
        json.dumps({"format": 1, "faults": [{**_ENTRY, "at": {**_ENTRY["at"], "call": "wrte"}}]}),
        "faults[0].at: unknown call 'wrte'; did you mean 'write'?",
    ),
    "kind": (
        json.dumps({"format": 1, "faults": [{**_ENTRY, "fault": {"kind": "holt"}}]}),
        "'hold'",
    ),
    "missing": (json.dumps({"format": 1, "faults": [{"at": _ENTRY["at"]}]}), "fault"),
    "not UTF-8": ('{"format": 1, "\udcff": 1}', "not UTF-8"),
}


@pytest.mark.parametrize("what", _BAD_SCHEDULES)
def test_a_malformed_schedule_is_refused_by_file_and_key(
    what: str, tmp_path: Path, refused_at_once: Refused
) -> None:
    text, said = _BAD_SCHEDULES[what]
    path = tmp_path / "s.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    refused_at_once(["run", "--schedule", str(path), "--", "true"], 125, f"{path}: ", said)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A recording as it should be."""
    path = tmp_path_factory.mktemp("recording") / "r.json"
    assert harness("run", "-q", "--record", str(path), "--", "true").returncode == 0
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def _without(recording: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in recording.items() if name != key}


_EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "version": (lambda r: {**r, "format": 7}, "format 1 only"),
    "key": (lambda r: {**_without(r, "command"), "comand": ["true"]}, "did you mean 'command'?"),
    "missing": (lambda r: _without(r, "command"), "command"),
    "type": (lambda r: {**r, "command": "true"}, "command"),
    "NUL": (lambda r: {**r, "command": ["true\0"]}, "NUL"),
    "no command": (lambda r: {**r, "command": []}, "command"),
    "trace": (lambda r: {**r, "trace": ["nonsense"]}, "trace"),
    "array": (lambda r: [r], "expected an object"),
}


@pytest.mark.parametrize("command", ["replay", "show"])
@pytest.mark.parametrize("what", _EDITS)
def test_a_malformed_recording_is_refused_and_nothing_runs(
    what: str,
    command: str,
    recording: dict[str, Any],
    tmp_path: Path,
    refused_at_once: Refused,
) -> None:
    edit, said = _EDITS[what]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(edit(recording)))
    refused_at_once([command, str(path)], 2, f"{path}: ", said)


@pytest.mark.parametrize("command", ["replay", "show"])
def test_a_recording_that_was_cut_off(
    command: str, recording: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(recording)[:-20])
    refused(harness(command, "r.json", cwd=tmp_path), 2, "r.json: not JSON")


def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    refused(harness("replay", "nosuch", cwd=tmp_path), 2, "unknown recording 'nosuch'")
    refused(harness("replay", cwd=tmp_path), 2, "--record FILE")
    refused(harness("replay", ".", cwd=tmp_path), 2, "no recording in the folder")
    assert list(tmp_path.iterdir()) == []


# Programs


def _file(directory: Path, name: str, content: bytes, mode: int = 0o755) -> str:
    path = directory / name
    path.write_bytes(content)
    path.chmod(mode)
    return f"./{name}"


def _elf(bits: int, machine: int) -> bytes:
    """The header of a program for another machine."""
    ident = b"\x7fELF" + bytes([bits // 32, 1, 1]) + bytes(9)
    return ident + struct.pack("<HHI", 2, machine, 1) + bytes(40)


def _runs_32_bits(exit_status: int) -> bytes:
    """A whole 32-bit program: mov eax, 1 (exit); mov ebx, STATUS; int 0x80."""
    code = b"\xb8\x01\0\0\0\xbb" + struct.pack("<I", exit_status) + b"\xcd\x80"
    base, size = 0x08048000, 84 + len(code)
    header = b"\x7fELF\x01\x01\x01" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    return header + struct.pack("<8I", 1, 0, base, base, size, size, 5, 4096) + code


_I386, _AARCH64 = 3, 183


@both_modes
@pytest.mark.parametrize("path", ["nosuch", "./nosuch", "/nosuch/program"])
def test_a_program_that_is_not_there_is_127(path: str, mode: str) -> None:
    refused(harness("run", "--mode", mode, "--", path), 127, path)


@pytest.mark.parametrize(
    ("content", "file_mode", "status", "said"),
    [
        (b"#!/bin/sh\n", 0o644, 126, "chmod +x ./program"),
        (b"text\n", 0o755, 126, "no #! line"),
        (b"", 0o755, 126, "no #! line"),
        (b"#!/nosuch/interpreter\n", 0o755, 127, "interpreter"),
        (_elf(32, _I386), 0o755, 125, "use a 64-bit build"),
        (_elf(64, _AARCH64), 0o755, 125, "not an x86-64 program"),
    ],
    ids=["not executable", "text", "empty", "no interpreter", "32 bits", "another machine"],
)
@both_modes
def test_a_file_that_cannot_be_run(
    mode: str, content: bytes, file_mode: int, status: int, said: str, tmp_path: Path
) -> None:
    program = _file(tmp_path, "program", content, file_mode)
    refused(harness("run", "--mode", mode, "--", program, cwd=tmp_path), status, said, "program")


def test_a_directory_is_no_program() -> None:
    refused(harness("run", "--", "/usr"), 126, "is a directory")


def test_a_program_that_the_trials_own_directory_hides(tmp_path: Path) -> None:
    program = tmp_path / "program"
    _file(tmp_path, "program", b"#!/bin/sh\necho seen\n")
    if not str(tmp_path).startswith("/tmp/"):
        pytest.skip(
            "temporary files are not in /tmp here, so nothing hides them; fix: unset TMPDIR"
        )
    refused(harness("run", "--", str(program), cwd="/"), 127, f"--bind {program}")
    done = harness("run", "-q", "--bind", str(program), "--", str(program), cwd="/")
    assert (done.returncode, done.stdout) == (0, "seen\n")


@both_modes
def test_a_32_bit_program_later_on(mode: str, tmp_path: Path) -> None:
    program = _file(tmp_path, "program", _runs_32_bits(42))
    script = f"{program}; echo $?"
    done = harness("run", "-q", "--mode", mode, "--", "/bin/sh", "-c", script, cwd=tmp_path)
    if _has_32_bits(tmp_path / "program"):
        refused(done, 125, "main/0 makes 32-bit calls", "64-bit build")
    else:  # a kernel without them says so itself
        assert (done.returncode, done.stdout) == (0, "126\n")


def _has_32_bits(program: Path) -> bool:
    try:
        return subprocess.run([program], check=False).returncode == 42
    except OSError:
        return False


def test_a_64_bit_program_that_makes_a_32_bit_call(c_program: CProgram) -> None:
    source = """
    int main(void) {
        int pid;
        __asm__ volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory");
        return pid < 0 ? 1 : 0;
    }
    """
    program = c_program(source)
    refused(harness("run", "--bind", program, "--", program), 125, "main makes 32-bit calls")


# Programs that would gain privileges


def test_a_set_uid_program_of_ones_own(tmp_path: Path) -> None:
    """Its caller is its owner; only root's trials let it be what it is."""
    shutil.copy("/bin/true", tmp_path / "program")
    for bit, name in (stat.S_ISUID, "set-uid"), (stat.S_ISGID, "set-gid"):
        (tmp_path / "program").chmod(0o755 | bit)
        done = harness("run", "-q", "--", "./program", cwd=tmp_path)
        if _AS_ROOT:
            assert (done.returncode, done.stderr) == (0, "")
        else:
            refused(done, 125, f"./program: {name}", "run harness as root")


@pytest.mark.skipif(_AS_ROOT, reason="root's trials run them; fix: run as an ordinary user")
def test_a_set_uid_program_of_the_systems() -> None:
    known = [path for name in ("su", "mount", "passwd") if (path := shutil.which(name))]
    programs = [path for path in known if os.stat(path).st_mode & stat.S_ISUID]
    if not programs:
        pytest.skip("no set-uid program here; fix: apt-get install mount")
    refused(harness("run", "--", programs[0], "--version"), 125, "set-uid")


def test_a_program_that_carries_capabilities(tmp_path: Path) -> None:
    """Looked at as init looks at it: only root can make such a file, and root may run it."""
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    # struct vfs_cap_data, <linux/capability.h>: revision 2, effective; CAP_NET_RAW permitted
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    try:
        os.setxattr(program, "security.capability", capability)
    except OSError as error:
        pytest.skip(f"no file capabilities here: {error.strerror}; fix: run as root")
    assert _found(program, gains_privileges=True) == str(program)
    with pytest.raises(SubjectError, match="carrying capabilities") as caught:
        _found(program, gains_privileges=False)
    assert caught.value.status == 125


def _found(program: Path, *, gains_privileges: bool) -> str:
    view = ViewPlan(str(program.parent), "/")
    plan = SimpleNamespace(view=view, gains_privileges=gains_privileges)
    return find_program(str(program), "", cast(InitPlan, plan))


# Programs that supervise

_FILTER = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
allow = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7FFF0000))
program = struct.pack("<HxxxxxxQ", 1, ctypes.addressof(allow))
libc.prctl(38, 1, 0, 0, 0)
print(libc.syscall(317, 1, int(sys.argv[1]), program), flush=True)
"""


@both_modes
def test_a_program_with_a_listener_of_its_own(mode: str) -> None:
    command = ("run", "--mode", mode, "--", *python(_FILTER))
    refused(harness(*command, "8"), 125, "main wants a seccomp listener", "without its sandbox")


@both_modes
def test_a_program_with_a_filter_of_its_own(mode: str) -> None:
    done = harness("run", "-q", "--mode", mode, "--", *python(_FILTER), "0")
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_harness_inside_harness() -> None:
    inner = (sys.executable, "-m", "harness", "run", "--", "true")
    bind = ("--bind", sys.prefix) if sys.prefix.startswith("/tmp/") else ()
    source = ("--env", f"PYTHONPATH={PROJECT}", *bind)
    if str(PROJECT).startswith("/tmp/"):
        source = (*source, "--bind", str(PROJECT))
    done = harness("run", *source, "--", *inner, cwd="/")
    refused(done, 125, "wants a seccomp listener of its own")


# Machines that cannot

_USER_NAMESPACES = "user.max_user_namespaces"
_MISSING = {
    "namespaces.enter_by_clone#1=EPERM": ("user namespaces are not available", _USER_NAMESPACES),
    "namespaces.enter_by_clone#1=ENOSPC": ("user namespaces are not available", _USER_NAMESPACES),
    "namespaces.enter_by_clone#1=EINVAL": ("user namespaces are not available", "--security-opt"),
    "process.clone#1=EPERM": ("user namespaces are not available", _USER_NAMESPACES),
    "namespaces.write_maps#1=EPERM": ("cannot be mapped", _USER_NAMESPACES),
    "namespaces.bring_loopback_up#1=EPERM": ("loopback", "doctor"),
    "namespaces.set_host_name#1=EPERM": ("host", "doctor"),
    "namespaces.set_domain_name#1=EPERM": ("domain", "doctor"),
    "process.die_with_parent#1=EINVAL": ("die_with_parent", "doctor"),
    "process.disable_address_randomisation#1=EPERM": ("randomisation", "doctor"),
    "process.pin#1=EINVAL": ("process.pin", "doctor"),
    "process.kill#1=EPERM": ("process.kill", "doctor"),
    "process.kill#2=EPERM": ("process.kill", "doctor"),
    "mount.make_private#1=EPERM": ("view cannot be built", "doctor"),
    "mount.mount#1=EPERM": ("view cannot be built", "doctor"),
    "mount.mount#2=EACCES": ("view cannot be built", "doctor"),
    "mount.bind#1=EPERM": ("view cannot be built", "doctor"),
    "mount.bind#3=EINVAL": ("view cannot be built", "doctor"),
    "mount.overlay#1=EPERM": ("view cannot be built", "doctor"),
    "mount.overlay#1=ENODEV": ("view cannot be built", "doctor"),
    "mount.make_root#1=EPERM": ("view cannot be built", "doctor"),
    "seccomp.install#1=EINVAL": ("no seccomp user notification", "Linux 5.19"),
    "seccomp.install#1=EPERM": ("no seccomp user notification", "seccomp=unconfined"),
    "seccomp.install#1=ENOSYS": ("no seccomp user notification", "Linux 5.19"),
    "seccomp.install#1=EBUSY": ("another supervisor", "harness inside harness"),
}


@pytest.mark.parametrize("failure", _MISSING)
def test_what_a_machine_lacks_is_named_with_its_fix(failure: str, tmp_path: Path) -> None:
    """Old kernels, sysctls and container profiles, as they show themselves: by an errno."""
    done = harness(*("run", "--", "true"), cwd=tmp_path, env={"HARNESS_KERNEL_FAIL": failure})
    refused(done, 125, "fix: ", *_MISSING[failure])
    assert list(tmp_path.iterdir()) == []


@both_modes
def test_real_time_priority_is_not_needed(mode: str) -> None:
    failure = {"HARNESS_KERNEL_FAIL": "process.schedule_in_real_time#1=EPERM"}
    done = harness("run", "-q", "--mode", mode, "--", "sh", "-c", "exit 5", env=failure)
    assert (done.returncode, done.stderr) == (5, "")


@both_modes
def test_waking_at_once_is_not_needed(mode: str) -> None:
    """SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP came with Linux 6.6; it makes a call faster."""
    failure = {"HARNESS_KERNEL_FAIL": "seccomp.wake_synchronously#1=EINVAL"}
    done = harness("run", "-q", "--mode", mode, "--", "sh", "-c", "exit 5", env=failure)
    assert (done.returncode, done.stderr) == (5, "")


def test_a_trial_after_a_machine_error_is_as_any_other(tmp_path: Path) -> None:
    failing = {"HARNESS_KERNEL_FAIL": "seccomp.install#1=EPERM"}
    assert harness("run", "--", "true", env=failing).returncode == 125
    assert harness("run", "--", "true").returncode == 0
