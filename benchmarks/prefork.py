"""The prefork interpreter: what a call of a script costs, against the library for Perl under the
same launcher, against a plain run, and against the other launcher; and what an idle server holds.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from . import Figure

C = "/usr/bin/prefork-interp"
_OURS = (sys.executable, "-m", "reference.prefork_interpreter")
_PROJECT = str(Path(__file__).resolve().parents[1])
#: As a small application has them.
_IMPORTS = "import argparse, asyncio, decimal, email.message, http.client, json, sqlite3, ssl"
_PYTHON = f"""\
{_IMPORTS}
from reference.prefork_interpreter.library import initialisation_complete
initialisation_complete()
print("hello")
"""
#: The same, and then nothing of Python's own end.
_LEAVES = f"{_PYTHON}from reference.prefork_interpreter.library import leave\nleave()\n"
_BARE = """\
from reference.prefork_interpreter.library import initialisation_complete
initialisation_complete()
print("hello")
"""
_PERL = """\
use Proc::Prefork::Interp;
prefork_initialisation_complete();
print "hello\\n";
"""
_CONCURRENCIES = (1, 4, 16)
#: Calls in a round, for each lap that is asked for.
_A_LAP = 0.1


def measure(*, rounds: int, laps: int) -> list[Figure]:
    """Milliseconds a call, and KiB a server."""
    if not os.path.exists(C):
        missing = "no prefork-interp: apt install chiark-utils-bin libuv1 libnettle8"
        return [Figure(what="a call", unit="ms", missing=missing)]
    count = max(4, int(laps * _A_LAP))
    with _scripts() as words:
        python, perl = partial(_call, words["python"]), partial(_call, words["perl"])
        leaves = partial(_call, words["leaves"])
        bare, ours = partial(_call, words["bare"]), partial(_call, words["ours"])
        plain = partial(_call, words["plain"])
        figures = [
            _compare("a call under the C launcher", bare, "Perl", perl, rounds, count, 1.3),
            _compare("a call, with imports", python, "plain run", plain, rounds, count, 0.1),
            _compare("a call that leaves", leaves, "plain run", plain, rounds, count, 0.1),
            _compare("a call under our launcher", ours, "C", bare, rounds, count, None),
        ]
        for number in _CONCURRENCIES[1:]:
            at_once = [partial(_at_once, number, one) for one in (bare, perl)]
            what = f"a call, {number} at once"
            figures.append(_compare(what, at_once[0], "Perl", at_once[1], rounds, count, None))
        return [*figures, _memory(words)]


@contextmanager
def _scripts() -> Iterator[dict[str, list[str]]]:
    """Command lines by name; their servers run, and end with this."""
    directory = tempfile.mkdtemp(prefix="benchmarks-")
    texts = {"python.py": _PYTHON, "leaves.py": _LEAVES, "bare.py": _BARE, "perl.pl": _PERL}
    for name, text in texts.items():
        Path(directory, name).write_text(text, encoding="utf-8")
    python, leaves, bare, perl = (f"{directory}/{name}" for name in texts)
    words = {
        "python": [C, "-U", sys.executable, python],
        "leaves": [C, "-U", sys.executable, leaves],
        "bare": [C, "-U", sys.executable, bare],
        "perl": [C, "-U", "perl", perl],
        "ours": [*_OURS, "-U", sys.executable, bare],
        "plain": [sys.executable, python],
    }
    try:
        for one in words.values():
            _call(one, 1)
        yield words
    finally:
        for name in ("python", "leaves", "bare", "perl"):
            launcher, *rest = words[name]
            subprocess.run([launcher, "--kill", *rest], env=_environment(), check=False)
        shutil.rmtree(directory)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": _PROJECT}


def _call(words: list[str], count: int) -> None:
    for _ in range(count):
        subprocess.run(
            words, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )


def _at_once(number: int, call: Callable[[int], None], count: int) -> None:
    with ThreadPoolExecutor(number) as pool:
        list(pool.map(call, [1] * count))


def _compare(
    what: str,
    ours: Callable[[int], None],
    against: str,
    theirs: Callable[[int], None],
    rounds: int,
    count: int,
    goal: float | None,
) -> Figure:
    ours(2)
    theirs(2)
    pairs = [(_ms(ours, count), _ms(theirs, count)) for _ in range(rounds)]
    return Figure(
        what=what,
        unit="ms",
        ours=statistics.median(one for one, _ in pairs),
        against=against,
        peer=statistics.median(other for _, other in pairs),
        ratio=statistics.median(one / other for one, other in pairs),
        goal=goal,
    )


def _ms(act: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    act(count)
    return (time.perf_counter() - began) / count * 1e3


def _memory(words: dict[str, list[str]]) -> Figure:
    """What an idle server holds for itself alone (its proportional set size)."""
    ours, theirs = (_kib_of_server(words[name][-1]) for name in ("bare", "perl"))
    return Figure(
        what="an idle server",
        unit="KiB",
        ours=ours,
        against="Perl",
        peer=theirs,
        ratio=ours / theirs,
    )


def _kib_of_server(script: str) -> float:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            if os.fsencode(script) in words[:2] or any(
                word.startswith(os.fsencode(script)) for word in words[:2]
            ):
                rollup = Path("/proc", name, "smaps_rollup").read_text()
                return float(rollup.split("Pss:")[1].split()[0])
        except OSError:
            continue
    return float("nan")
