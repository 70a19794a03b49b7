"""What this machine can do: each ability really tried, and the command that gives what is missing.

What needs a process of its own is tried in a helper (probe.py) that is executed afresh and ends at
once, so that nothing is left, and the process that asks is neither changed nor forked.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from errno import EBUSY, EINVAL, ENOSPC, EPERM
from json import dumps, loads
from typing import Any

from . import __version__

EVERY_TRIAL = "every trial"
_PATIENCE_S = 30
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HELPER = "import sys; sys.path.insert(0, sys.argv[1]); from harness import probe; probe.main()"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ability:
    """One thing that this machine can or cannot do.

    *needed_for* is every trial, when *required*, or what is lost or slower without it; *fix* is the
    command, or the change, that gives it, and empty when it *works*.
    """

    name: str
    works: bool
    detail: str
    fix: str
    needed_for: str
    required: bool

    def describe(self) -> str:
        """In words, on one line."""
        what = f"{self.name}: {'yes' if self.works else 'no'}"
        detail = f" ({self.detail})" if self.detail else ""
        return what + detail + (f"; fix: {self.fix}" if self.fix else "")


def main(json: bool) -> int:
    """Print the abilities as a table or as JSON; 0 when all that every trial needs works, else
    2."""
    abilities = check()
    works = all(ability.works for ability in abilities if ability.required)
    if json:
        machine = {"kernel": os.uname().release, "python": platform.python_version()}
        found = {
            "format": 1,
            "faultharness": __version__,
            **machine,
            "works": works,
            "abilities": [asdict(ability) for ability in abilities],
        }
        print(dumps(found, indent=2))
    else:
        print("\n".join(table(abilities)))
    return 0 if works else 2


def table(abilities: tuple[Ability, ...]) -> list[str]:
    """The abilities for a reader: a line each, and beneath a missing one what it costs and what
    helps."""
    width = max(len(ability.name) for ability in abilities)
    lines = []
    for required, title in (True, f"needed for {EVERY_TRIAL}"), (False, "optional"):
        lines.append(title)
        for ability in abilities:
            if ability.required is required:
                answer = "yes" if ability.works else "NO " if required else "no "
                lines.append(f"  {ability.name:{width}}  {answer}  {ability.detail}".rstrip())
                if not ability.works:
                    if not required:
                        lines.append(f"  {'':{width}}       costs: {ability.needed_for}")
                    lines.append(f"  {'':{width}}       fix: {ability.fix}")
        lines.append("")
    missing = [a.name for a in abilities if a.required and not a.works]
    lines.append(
        f"this machine cannot run trials yet: {', '.join(missing)}"
        if missing
        else "this machine can run trials"
    )
    return lines


def check() -> tuple[Ability, ...]:
    """Try everything: a tenth of a second. Changes nothing and leaves nothing."""
    machine = platform.machine()
    right = machine == "x86_64" and sys.maxsize > 1 << 32
    tried = _try_in_helper() if right else {}
    broken = tried.get("")

    def tried_ability(
        name: str, fix: Callable[[int], str], needed_for: str = EVERY_TRIAL
    ) -> Ability:
        found = tried.get(name)
        if found:
            works, detail = found["works"], found["detail"]
            help_ = "" if works else fix(found["errno"])
        elif broken:
            works, detail, help_ = (
                False,
                broken,
                "try again; if it stays so, it is a bug: report it",
            )
        else:
            works, detail, help_ = False, "not tried", "first what is missing above"
        return Ability(
            name=name,
            works=works,
            detail=detail,
            fix=help_,
            needed_for=needed_for,
            required=needed_for == EVERY_TRIAL,
        )

    return (
        Ability(
            name="architecture",
            works=right,
            detail=machine if sys.maxsize > 1 << 32 else f"{machine}, a 32-bit interpreter",
            fix="" if right else "a 64-bit Python on an x86-64 machine, or a virtual one",
            needed_for=EVERY_TRIAL,
            required=True,
        ),
        tried_ability("user notification", _fix_notification),
        tried_ability("user namespaces", _fix_namespaces),
        tried_ability("six namespaces", _fix_namespaces),
        tried_ability("overlay", lambda _: "Linux 5.11 or later, with CONFIG_OVERLAY_FS"),
        tried_ability("fresh /proc", _fix_proc),
        tried_ability("view of this directory", _fix_view),
        tried_ability("memory of a task", _fix_memory),
        tried_ability("children of a task", lambda _: "a kernel with CONFIG_PROC_CHILDREN"),
        tried_ability(
            "descriptors of a task",
            lambda _: "Linux 5.6 or later; in a container: --cap-add SYS_PTRACE",
            "no short faults, no --ready",
        ),
        tried_ability(
            "synchronous wake-up", lambda _: "Linux 6.6 or later", "a call costs 6x more"
        ),
        tried_ability(
            "replaced directories",
            lambda _: "Linux 6.6 or later, with CONFIG_TMPFS_XATTR",
            "in a trial, mkdir where a directory of the host's was removed fails with EIO",
        ),
        tried_ability("real-time priority", _fix_priority, "slower beside busy neighbours"),
        _fuse(),
        *_programs(),
    )


# ---- fixes ---------------------------------------------------------------------------------------


def _sudo(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo {command}"


def _fix_notification(number: int) -> str:
    if number == EBUSY:
        return "do not run harness inside harness, nor under another seccomp supervisor"
    if number == EINVAL:
        return "Linux 5.19 or later"
    return (
        "Linux 5.19 or later with CONFIG_SECCOMP_FILTER; "
        "in a container: --security-opt seccomp=unconfined"
    )


def _fix_namespaces(number: int) -> str:
    wanted = (
        ("user.max_user_namespaces", "0", "15000"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    )
    commands = [
        _sudo(f"sysctl -w {name}={right}")
        for name, wrong, right in wanted
        if _setting(name) == wrong
    ]
    if number == ENOSPC and not commands:
        commands = [_sudo("sysctl -w user.max_user_namespaces=15000")]
    if commands:
        return " && ".join(commands)
    return (
        "in a container: --security-opt seccomp=unconfined --security-opt apparmor=unconfined, "
        "as root also --cap-add SETFCAP; else a kernel with CONFIG_USER_NS"
    )


def _setting(name: str) -> str:
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}") as file:
            return file.read().strip()
    except OSError:
        return ""


def _fix_proc(number: int) -> str:
    if number == EPERM:  # mount_too_revealing: something is mounted over parts of our own /proc
        return "in a container: --security-opt systempaths=unconfined"
    return _fix_namespaces(number)


def _fix_view(_: int) -> str:
    return "cd to a directory of an ordinary file system; Linux 5.12 or later"


def _fix_memory(_: int) -> str:
    if _setting("kernel.yama.ptrace_scope") == "3":
        return "kernel.yama.ptrace_scope=2 or less in /etc/sysctl.d, then start the machine anew"
    return "in a container: --cap-add SYS_PTRACE"


def _fix_priority(_: int) -> str:
    if os.geteuid() == 0:
        return "in a container: --cap-add SYS_NICE"
    limits = "/etc/security/limits.d/harness.conf"
    return f'echo "$USER - rtprio 2" | sudo tee {limits}, and log in again'


# ---- what needs no process of its own ------------------------------------------------------------


def _fuse() -> Ability:
    fix = ""
    detail = "/dev/fuse"
    try:
        os.close(os.open(detail, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        detail, fix = "there is no /dev/fuse", _sudo("modprobe fuse")
    except OSError as error:
        detail, fix = f"/dev/fuse: {error.strerror}", _sudo("chmod 666 /dev/fuse")
    return Ability(
        name="fuse",
        works=not fix,
        detail=detail,
        fix=fix,
        needed_for="no scenarios with file servers",
        required=False,
    )


def _programs() -> tuple[Ability, ...]:
    return (
        _program("strace", "no benchmark beside strace"),
        _program("socat", "no scenario with it"),
        _program("perl", "no scenario with it"),
        _prefork_interp(),
        _program("busybox", "no scenario with static programs", package="busybox-static"),
    )


def _program(name: str, needed_for: str, package: str = "") -> Ability:
    path = shutil.which(name)
    return Ability(
        name=name,
        works=path is not None,
        detail=path or "not found in PATH",
        fix="" if path else _install(package or name, name),
        needed_for=needed_for,
        required=False,
    )


def _prefork_interp() -> Ability:
    path, perl = shutil.which("prefork-interp"), shutil.which("perl")
    works = False
    detail = "not found in PATH" if path is None else "perl is missing"
    if path and perl:
        modules = ["-MIO::FDPass", "-MProc::Prefork::Interp", "-e", "1"]
        done = subprocess.run([perl, *modules], stdin=subprocess.DEVNULL, capture_output=True)
        works = done.returncode == 0
        detail = path if works else "perl lacks IO::FDPass or Proc::Prefork::Interp"
    return Ability(
        name="prefork-interp",
        works=works,
        detail=detail,
        fix="" if works else _install("chiark-utils-bin chiark-scripts libio-fdpass-perl", ""),
        needed_for="no scenario with it",
        required=False,
    )


def _install(debian: str, elsewhere: str) -> str:
    if shutil.which("apt-get"):
        return _sudo(f"apt-get install {debian}")
    if not elsewhere:
        return f"only Debian and Ubuntu have it: {debian}"
    if shutil.which("dnf"):
        return _sudo(f"dnf install {elsewhere}")
    return f"install the package {elsewhere}"


# ---- what the helper tries -----------------------------------------------------------------------


def _try_in_helper() -> dict[str, Any]:
    """What the helper found, by ability; under `""` why it found no more, if it ended early."""
    home = os.path.expanduser("~")
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        cwd = "/"
    done = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _HELPER, _ROOT, cwd, home],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        text=True,
    )
    try:
        out, err = done.communicate(timeout=_PATIENCE_S)
    except BaseException as error:
        done.kill()
        out, err = done.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        err += f"not done after {_PATIENCE_S} s"
    found: dict[str, Any] = {one["name"]: one for one in map(loads, out.splitlines())}
    if done.returncode != 0 or err:
        last = err.strip().rpartition("\n")[2]
        found[""] = f"the helper ended with {done.returncode}: {last}"
    return found
