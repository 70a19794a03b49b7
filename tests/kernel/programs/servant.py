"""Does what a test tells it, one Python expression or block at a time: the other side of a wrapper.

The imports that look unused are the words that a test may use.

It is executed, never forked from the test: what it does to itself (a filter, a signal mask, a
capability given up) ends with it. One packet in is `["eval" or "exec", text]`; one packet out is
`{"value": ...}` or `{"errno": ..., "error": ...}`.
"""

import ctypes  # noqa: F401
import json
import mmap  # noqa: F401
import os
import signal  # noqa: F401
import socket
import subprocess  # noqa: F401
import sys
import threading  # noqa: F401
from typing import Any, NoReturn

from harness._kernel import memory, mount, namespaces, process, seccomp, uapi, view  # noqa: F401
from harness._kernel.bpf import ArgTest, program  # noqa: F401
from harness._supervisor.init import HAND_OVER_FLAGS


def hand_over(fd: int) -> None:
    """Give a descriptor to the test, past any filter that traps sendmsg as a trial's does."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, fd.to_bytes(4, "little"))
    control.sendmsg([b"fd"], [rights], HAND_OVER_FLAGS)


def enter(own_network: bool) -> int:
    """Clone a second servant that is PID 1 of fresh namespaces; its pid. It dies with us."""
    global control, inmate
    inmate, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = namespaces.enter_by_clone(own_network=own_network)
    if pid == 0:
        process.die_with_parent()
        inmate.close()
        control.close()
        control = theirs
        serve()
    theirs.close()
    return pid


def serve() -> NoReturn:
    world: dict[str, Any] = globals()  # what is imported above is there for the test
    while packet := control.recv(65536):
        how, text = json.loads(packet)
        try:
            answer = {"value": eval(text, world) if how == "eval" else exec(text, world)}
        except OSError as error:
            answer = {"errno": error.errno, "error": str(error)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        control.send(json.dumps(answer).encode())
    os._exit(0)


if __name__ == "__main__":
    control = socket.socket(fileno=int(sys.argv[1]))
    serve()
