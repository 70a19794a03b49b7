"""Whole programs that several test files run as trials: a pipeline, a server with clients, a daemon
of Debian's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.subject import TrialPlan
from tests.system.support import PYTHON, needs, plan, shell

PROGRAMS = Path(__file__).with_name("programs")

#: It says its word, and once more if that fails.
STUBBORN = """\
import os
for _ in range(2):
    try:
        os.write(1, b'said')
        break
    except OSError:
        pass
os._exit(0)
"""

#: Five programs in a row; `head` ends before those that write to it.
PIPELINE = shell("seq 400 | tr 1 x | sort -r | head -n 20 | wc -c")

#: The first call starts a daemon with a socket, the second is served by it.
_PREFORK = """
mkdir -m 700 -p /run/user/0
prefork-interp -U -g greeting perl {script} one; echo $?
prefork-interp -U -g greeting perl {script} two; echo $?
"""


def pipeline(**more: Any) -> TrialPlan:
    """A shell pipeline of five."""
    return plan(*PIPELINE, **more)


def server_on_a_path(**more: Any) -> TrialPlan:
    """A Python server on a Unix socket with two clients: one of Python, and socat."""
    return _server("/trial/socket", "UNIX-CONNECT:/trial/socket", **more)


def server_on_a_port(**more: Any) -> TrialPlan:
    """The same on a TCP port."""
    return _server(":7000", "TCP:127.0.0.1:7000", **more)


def _server(where: str, socat_address: str, **more: Any) -> TrialPlan:
    needs("socat")
    python = (PYTHON, "-I", "-S")
    return plan(
        *(*python, _shown("line_server.py"), where),
        clients={
            "python": (*python, _shown("line_client.py"), where, "a", "b", "c"),
            "socat": shell(f"printf 'one\\ntwo\\n' | socat -t5 - {socat_address}"),
        },
        ready=where,
        **more,
    )


def prefork_interpreter(**more: Any) -> TrialPlan:
    """Debian's prefork-interp with a Perl script: it leaves a daemon.

    `-g`, because the daemon's name would else hold the st_dev of the current directory, which is
    another in each trial; PERL_HASH_SEED, because perl draws the order of its hashes; /run/user/0,
    because the home of uid 0 in the password file is not the user's.
    """
    needs("prefork-interp", "perl")
    if not any(Path(top).glob("**/IO/FDPass.pm") for top in ("/usr/lib", "/usr/share/perl5")):
        pytest.skip("no IO::FDPass for perl; fix: apt-get install libio-fdpass-perl")
    env = {"PERL_HASH_SEED": "0", **more.pop("env", {})}
    return plan(*shell(_PREFORK.format(script=_shown("greet.pl"))), env=env, **more)


def _shown(name: str) -> str:
    return str(PROGRAMS / name)
