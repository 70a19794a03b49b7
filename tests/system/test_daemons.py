"""A script that starts a server, which puts itself into the background, and then talks to it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.system.support import PYTHON, Completed, harness, one_line

SERVER = """\
import os, socket
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
server.listen()
connection, _ = server.accept()
connection.sendall(b"hello\\n")
os._exit(0)
"""
#: It looks around first, as programs do when they start, for longer than a task may poll.
CLIENT = """\
import os, socket, sys
for number in range(300):
    os.access(f"/nowhere/{number}", os.R_OK)
connection = socket.socket(socket.AF_UNIX)
try:
    connection.connect("socket")
except OSError as error:
    sys.exit(7)
print(connection.recv(100).decode(), end="")
"""
RACY = "{python} server.py; {python} client.py || echo nobody is there"
FAILS = "{python} server.py; exec {python} client.py"
RIGHT = "{python} server.py; until {python} client.py; do sleep 1; done"


def explored(folder: Path, script: str, *words: str) -> Completed:
    (folder / "server.py").write_text(SERVER)
    (folder / "client.py").write_text(CLIENT)
    (folder / "script").write_text(script.format(python=f"{PYTHON} -I -S -B"))
    return harness("explore", "-q", *words, "--", "sh", "script", cwd=folder)


def test_whether_the_result_depends_on_who_is_first_is_found(tmp_path: Path) -> None:
    done = explored(tmp_path, RACY, "--strategy", "bounded", "--bound", "0")
    assert done.returncode == 1, done
    assert "FAIL main: exits 0 with another output" in done.stdout
    assert re.search(r"main/\S+ goes before main/\S+: ", done.stdout), done
    assert "shrunk: 0 faults and 1 switch" in done.stdout


def test_a_script_that_fails_in_the_ordinary_order_is_judged_by_one_that_does_not(
    tmp_path: Path,
) -> None:
    done = explored(tmp_path, FAILS, "--trials", "1")
    assert done.returncode == 1, done
    first, cause, golden, *_ = done.stdout.splitlines()
    assert first == "FAIL main: exits 7"
    assert cause == "  nothing goes wrong, and everybody goes in the ordinary order"
    assert golden == "  the golden run exits 0"
    again = harness("replay", "latest", cwd=tmp_path)
    assert again.stdout.splitlines()[-1] == "REPRODUCED: main: exits 7"


def test_a_script_that_fails_in_every_order_cannot_be_explored(tmp_path: Path) -> None:
    done = explored(tmp_path, "{python} server.py & exit 7")
    assert done.returncode == 2, done
    assert one_line(done.stderr).startswith("without any fault it fails already"), done


def test_who_waits_for_the_server_passes_with_the_count_of_orders(
    tmp_path: Path, effort: str
) -> None:
    bound = "1" if effort == "full" else "0"
    done = explored(tmp_path, RIGHT, "--strategy", "bounded", "--bound", bound, "--trials", "3000")
    assert done.returncode == 0, done
    claim = re.search(r"complete: all (\d+) interleavings", done.stdout)
    assert claim, done
    assert int(claim[1]) > 1
