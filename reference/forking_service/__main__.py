"""The command line of the forking service. `--help` says what it does and may be told."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from reference.forking_service.log import write_all
from reference.forking_service.options import Options, parse_perms
from reference.forking_service.peer import AllowList, gid_of, uid_of
from reference.forking_service.server import serve_with

PROGRAM = "python -m reference.forking_service"

DESCRIPTION = """\
Stay loaded, and fork a child for each request: it runs one command with its standard streams on
FIFOs of its own, in milliseconds, where starting Python and importing an application takes seconds.
"""

EPILOG = """\
clients
  speak lines over the socket, one request a connection:
      hello                        is it alive? (what it is doing goes to the log)
      fork COMMAND                 `ok`, the child's pid and the directory of its FIFOs stdin,
                                   stdout and stderr, to be opened in that order; then, when the
                                   child has ended, `exited` and its wait status
      fork-env COMMAND             the same, with lines `KEY: value` up to a line `end`
      child_connect_timeout N      children forked later wait N seconds for their client
      quit                         stop in good order
  From Python: reference.forking_service.client. From a shell, on a terminal:
      printf 'hello\\n' | socat - UNIX-CONNECT:/run/my.socket

commands
  crash SIGNAL, exit N, lp-serve --inet ID, replay, rocks, sleep SECONDS, whoami; what installed
  packages offer as entry points `reference.forking_service.commands`; and what --commands names.

stopping
  SIGTERM, SIGINT or `quit` removes the socket file at once, so that a successor can start, lets
  children finish for the children timeout, then sends them SIGINT and a second later SIGKILL.
  A second SIGTERM or SIGINT does not wait.

exit status
  0 after stopping, 1 when it could not start, 2 for a command line that cannot be.

examples
  python -m reference.forking_service --path /run/my.socket --perms 0600 --preload json,email
  python -m reference.forking_service --path /run/my.socket --pid-file /run/my.pid --log-file my.log
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, for a log as well as for a person."""
        write_all(2, f"{self.prog}: {message} (--help says more)\n")
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The command line, as argparse sees it."""
    made = _Parser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--path", required=True, metavar="P", help="the socket; a dead service's is replaced")
    add("--perms", default="0660", metavar="OCTAL", help="permissions of the socket (default 0660)")
    add("--directory", metavar="D", help="where children's directories are made (default: TMPDIR)")
    modules = made.add_mutually_exclusive_group()
    modules.add_argument(
        "--preload",
        default="",
        metavar="MOD,...",
        help="import these before the first child is forked; one that fails is logged",
    )
    modules.add_argument(
        "--no-preload", dest="preload", action="store_const", const="", help="none (the default)"
    )
    add(
        "--children-timeout",
        default=300.0,
        metavar="S",
        type=float,
        help="of children when stopping (300 s)",
    )
    add(
        "--request-timeout",
        default=1.0,
        metavar="S",
        type=float,
        help="for a whole request to come (1 s)",
    )
    add(
        "--connect-timeout",
        default=120.0,
        help="for a client to open the FIFOs (120 s)",
        metavar="S",
        type=float,
    )
    add(
        "--max-children", type=int, default=0, metavar="N", help="at once; 0, the default: no limit"
    )
    add(
        "--commands",
        action="append",
        default=[],
        metavar="MOD",
        help="a module whose COMMANDS maps names to callables; repeatable",
    )
    add("--log-file", metavar="F", help="append the log to F (default: standard error)")
    add(
        "--pid-file",
        metavar="F",
        help="go to the background, with the pid in F until the end; returns when it is ready",
    )
    add(
        "--allow-user",
        action="append",
        default=[],
        metavar="U",
        help="who may ask, by name or number; repeatable (default: all who can open the socket)",
    )
    add(
        "--allow-group",
        action="append",
        default=[],
        metavar="G",
        help="the same, by the client's group; repeatable",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Be the service that *argv* (default: the process's) asks for; the exit status."""
    made = parser()
    given = made.parse_args(argv)
    more = {} if given.directory is None else {"directory": given.directory}
    try:
        options = Options(
            path=given.path,
            perms=parse_perms(given.perms),
            children_timeout_s=given.children_timeout,
            request_timeout_s=given.request_timeout,
            connect_timeout_s=given.connect_timeout,
            children_max=given.max_children,
            allowed=AllowList(
                uids=frozenset(map(uid_of, given.allow_user)),
                gids=frozenset(map(gid_of, given.allow_group)),
            ),
            **more,
        )
    except (ValueError, OSError) as error:
        made.error(str(error))
    return serve_with(
        options,
        preload=[name for name in given.preload.split(",") if name],
        modules=given.commands,
        log_file=given.log_file,
        entry_points=True,
        pid_file=given.pid_file,
    )


if __name__ == "__main__":
    sys.exit(main())
