"""What doctor says, on this machine and on machines that lack something."""

import json
import os
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness import doctor
from harness._kernel import process
from harness.doctor import Ability
from tests.kernel.servant import Servant

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


class Doctor(NamedTuple):
    """What `harness doctor --json` printed, and its exit status."""

    status: int
    report: dict[str, Any]

    def __getitem__(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(a for a in self.report["abilities"] if a["name"] == name)
        return found

    def missing(self) -> set[str]:
        return {a["name"] for a in self.report["abilities"] if not a["works"]}


def ask(env: Mapping[str, str] | None = None, fail: str = "") -> Doctor:
    """Run it in a process of its own; *fail* is what shall not work: WRAPPER#N=ERRNO."""
    done = subprocess.run(
        [sys.executable, "-c", "from harness import doctor; raise SystemExit(doctor.main(True))"],
        cwd=PROJECT,
        env={**os.environ, "HARNESS_KERNEL_FAIL": fail, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stderr == ""
    return Doctor(done.returncode, json.loads(done.stdout))


@pytest.fixture(scope="module")
def here() -> Doctor:
    return ask()


@pytest.fixture(scope="module")
def able(here: Doctor) -> Doctor:
    """This machine, when it can run trials: else there is nothing left to take from it."""
    if here.status != 0:
        fixes = [f"{a['name']}: {a['fix']}" for a in here.report["abilities"] if a["fix"]]
        pytest.skip(f"this machine cannot run trials; fix: {'; '.join(fixes)}")
    return here


# What it says


def test_an_ability_says_what_helps_exactly_when_it_is_missing(here: Doctor) -> None:
    for ability in here.report["abilities"]:
        assert bool(ability["fix"]) is not ability["works"], ability
        assert ability["needed_for"]
        assert ability["required"] is (ability["needed_for"] == "every trial")


def test_the_exit_status_is_0_when_all_that_is_required_works(here: Doctor) -> None:
    required = [a["works"] for a in here.report["abilities"] if a["required"]]
    assert len(required) == 9
    assert here.status == (0 if all(required) else 2)
    assert here.report["works"] is all(required)


def test_the_report_names_its_format_and_the_machine(here: Doctor) -> None:
    assert here.report["format"] == 1
    assert here.report["kernel"] == os.uname().release
    assert here.report["python"] == platform.python_version()


def test_the_table_says_the_same_to_a_reader(here: Doctor) -> None:
    lines = doctor.table(tuple(Ability(**a) for a in here.report["abilities"]))
    for ability in here.report["abilities"]:
        (line,) = (line for line in lines if line.startswith(f"  {ability['name']}  "[:24]))
        assert ("yes" if ability["works"] else "no") in line.lower()
        if not ability["works"]:
            assert any(ability["fix"] in line for line in lines)
            assert ability["required"] or any(ability["needed_for"] in line for line in lines)


def test_an_ability_describes_itself() -> None:
    ability = Ability(
        name="x", works=False, detail="why", fix="do", needed_for="every trial", required=True
    )
    assert ability.describe() == "x: no (why); fix: do"


def test_the_command_line_reaches_it(here: Doctor) -> None:
    command = [sys.executable, "-m", "harness", "doctor"]
    text = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert text.returncode == here.status
    assert text.stdout.startswith("needed for every trial\n  architecture ")
    assert text.stdout.rstrip().rpartition("\n")[2].startswith("this machine can")
    found = subprocess.run([*command, "--json"], cwd=PROJECT, capture_output=True, text=True)
    assert json.loads(found.stdout)["works"] is (here.status == 0)


# What it does not do


def test_it_leaves_no_process_no_mount_and_no_file() -> None:
    mark = f"HARNESS_TEST_{uuid.uuid4().hex}"
    mounts = Path("/proc/self/mountinfo").read_text()
    for fail in "", "memory.open_memory#1=EACCES", "namespaces.write_maps#1=EPERM":
        ask({mark: "1"}, fail)
        assert marked(mark) == []
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert not {"lower", "upper", "merged", "root", "layers"} & set(os.listdir("/tmp"))


def marked(mark: str) -> list[str]:
    """The processes that were started with *mark* in their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            pass  # not ours to look at, or gone
    return found


def test_it_forks_nothing_from_the_process_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """That one may be pytest, with threads."""

    def never(*_: object) -> None:
        raise AssertionError("forked")

    for module, name in (os, "fork"), (os, "forkpty"), (process, "clone"):
        monkeypatch.setattr(module, name, never)
    assert doctor.check()


def test_it_changes_nothing_in_the_process_that_asks() -> None:
    def state() -> tuple[object, ...]:
        status = Path("/proc/self/status").read_text()
        kept = re.findall(r"^(?:NoNewPrivs|Seccomp|Cap\w+|Uid):.*", status, re.MULTILINE)
        return kept, os.sched_getscheduler(0), os.getcwd(), sorted(os.listdir("/proc/self/fd"))

    before = state()
    doctor.check()
    assert state() == before


# Machines that lack something


LACKS = [
    # what fails, what is missing then, the fix of the first of them
    ("seccomp.install#1=EINVAL", ["user notification", "synchronous wake-up"], "Linux 5.19"),
    ("seccomp.install#1=EBUSY", ["user notification", "synchronous wake-up"], "inside harness"),
    ("seccomp.install#1=EPERM", ["user notification", "synchronous wake-up"], "seccomp=unconfined"),
    (
        "seccomp.check_user_notification#1=ENOTSUP",
        ["user notification", "synchronous wake-up"],
        "CONFIG_SECCOMP_FILTER",
    ),
    ("namespaces.enter_by_clone#2=EPERM", ["view of this directory"], "cd to"),
    (
        "mount.overlay#1=ENODEV",
        ["overlay", "replaced directories", "fresh /proc", "view of this directory"],
        "CONFIG_OVERLAY_FS",
    ),
    ("memory.open_memory#1=EACCES", ["memory of a task"], ""),
    # optional
    ("seccomp.wake_synchronously#1=EINVAL", ["synchronous wake-up"], "Linux 6.6"),
    ("process.get_fd#1=EPERM", ["descriptors of a task"], "SYS_PTRACE"),
    ("process.schedule_in_real_time#1=EPERM", ["real-time priority"], ""),
]


@pytest.mark.parametrize(("fail", "missing", "fix"), LACKS, ids=[lack[0] for lack in LACKS])
def test_what_fails_is_missing_and_nothing_else(
    able: Doctor, fail: str, missing: list[str], fix: str
) -> None:
    found = ask(fail=fail)
    assert found.missing() == able.missing() | set(missing)
    assert fix in found[missing[0]]["fix"]
    required = any(found[name]["required"] for name in missing)
    assert found.status == (2 if required else 0)
    assert fail.partition("=")[2] in found[missing[0]]["detail"]


def test_without_namespaces_what_needs_them_is_not_tried(able: Doctor) -> None:
    found = ask(fail="namespaces.enter_by_clone#1=EPERM")
    assert found.status == 2
    assert found["user namespaces"]["works"] is True
    assert "EPERM" in found["six namespaces"]["detail"]
    for name in "overlay", "fresh /proc", "view of this directory", "memory of a task":
        assert (found[name]["detail"], found[name]["fix"]) == (
            "not tried",
            "first what is missing above",
        )


def test_where_user_namespaces_are_limited_to_none_the_fix_is_the_limit(able: Doctor) -> None:
    """Really so: the limit belongs to a namespace of users, and this one is the test's own."""
    command = [sys.executable, "-m", "harness", "doctor", "--json"]
    with Servant() as servant, servant.inmate() as inmate:
        inmate.do("open('/proc/sys/user/max_user_namespaces', 'w').write('0')")
        status, text = inmate.ask(
            f"[done := subprocess.run({command!r}, cwd={str(PROJECT)!r}, stdout=-1, text=True), "
            "(done.returncode, done.stdout)][1]"
        )
    found = Doctor(status, json.loads(text))
    assert found.status == 2
    for name in "user namespaces", "six namespaces":
        assert found[name]["detail"] == "ENOSPC: No space left on device"
        assert found[name]["fix"] == "sysctl -w user.max_user_namespaces=15000"


def test_programs_that_are_not_there_are_optional(able: Doctor, tmp_path: Path) -> None:
    found = ask({"PATH": str(tmp_path)})
    assert found.status == 0
    for name in "strace", "socat", "perl", "prefork-interp", "busybox":
        assert found[name]["works"] is False
        assert found[name]["fix"]


@pytest.mark.parametrize(
    ("manager", "fix"),
    [
        ("apt-get", "apt-get install busybox-static"),
        ("dnf", "dnf install busybox"),
        (None, "install the package busybox"),
    ],
)
def test_a_missing_program_comes_with_this_machines_own_command(
    monkeypatch: pytest.MonkeyPatch, manager: str | None, fix: str
) -> None:
    def which(name: str) -> str | None:
        return name if name == manager else None

    monkeypatch.setattr("shutil.which", which)
    (busybox,) = (a for a in doctor.check() if a.name == "busybox")
    assert busybox.fix.removeprefix("sudo ") == fix


@pytest.mark.parametrize("machine", ["aarch64", "i686"])
def test_on_another_machine_nothing_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], machine: str
) -> None:
    """The numbers of calls are others there."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("tried")

    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(doctor, "_try_in_helper", never)
    assert doctor.main(json=False) == 2
    text = capsys.readouterr().out
    assert f"architecture            NO   {machine}\n" in text
    assert "not tried" in text


def test_a_helper_that_breaks_is_no_lack_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_HELPER", "raise ValueError('what went wrong')")
    found = {ability.name: ability for ability in doctor.check()}
    assert (
        found["user notification"].detail == "the helper ended with 1: ValueError: what went wrong"
    )
    assert "report it" in found["user notification"].fix
    assert found["architecture"].works


def test_a_helper_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_HELPER", "import signal; signal.pause()")
    monkeypatch.setattr(doctor, "_PATIENCE_S", 0.2)
    found = {ability.name: ability for ability in doctor.check()}
    assert "not done after 0.2 s" in found["overlay"].detail
