"""A command in an ordinary process: what there is where no service is wanted, or none is there.

`spawn` has the signature of ForkingServiceClient's *fallback*.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from reference.forking_service import commands
from reference.forking_service.log import write_all

PROGRAM = "python -m reference.forking_service.plain"


def spawn(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """*argv* in a process of its own, with *env* added to this one's variables. OSError if none.

    Its streams are pipes, as those of a forked child.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "reference.forking_service.plain", "--", *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=os.environ | dict(env),
    )


def run(argv: Sequence[str], env: Mapping[str, str], modules: Sequence[str] = ()) -> int:
    """Run *argv* in this process, with *env* added to its variables; the exit status.

    *modules* have more commands. ImportError when one has none; what the command raises comes
    through.
    """
    found = dict(commands.SHIPPED)
    found |= commands.installed(say)
    for module in modules:
        found |= commands.load(module)
    os.environ.update(env)
    return commands.run(found, argv, sys.stdin, sys.stdout, sys.stderr)


def say(line: str) -> None:
    """One line for a person."""
    write_all(2, f"{PROGRAM}: {line}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Run COMMAND of the forking service in this process.",
        allow_abbrev=False,
    )
    made.add_argument("--commands", action="append", default=[], metavar="MOD", help="repeatable")
    made.add_argument("command", metavar="COMMAND")
    made.add_argument("words", metavar="WORD", nargs=argparse.REMAINDER)
    given = made.parse_args(argv)
    return run([given.command, *given.words], {}, given.commands)


if __name__ == "__main__":
    sys.exit(main())
