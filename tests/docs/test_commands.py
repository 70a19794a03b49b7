"""What the documentation shows is what happens: each `console` block is run and compared.

In a block a line `$ COMMAND` is run by sh, with the lines `> MORE` that continue it; the lines up
to the next one are all that it prints, and `...` stands for anything. The blocks of one page are
one session in one directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.tidy import tree

BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = [path for path in tree.files(".md") if BLOCK.search(tree.text(path))]
_PATIENCE_S = 60


class Shown(NamedTuple):
    """A command of a page, and what the page says it prints."""

    command: str
    output: str


def shown(text: str) -> Iterator[Shown]:
    """The commands of a page, in order."""
    for block in BLOCK.findall(text):
        head, *parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert not head.strip(), f"no command before: {head!r}"
        for part in parts:
            command, _, output = part.partition("\n")
            while output.startswith(("> ", ">\n")):
                more, _, output = output.partition("\n")
                command += "\n" + more[2:]
            yield Shown(command, output)


def is_as_shown(expected: str, actual: str) -> bool:
    """Whether *actual* is *expected*, where `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, actual.strip(), re.DOTALL) is not None


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the command line, and pytest, in it. Skips where there can be no trial."""
    folder = tmp_path_factory.mktemp("bin")
    # This checkout's, also where the environment of another one is borrowed.
    path = os.pathsep.join([str(tree.ROOT), os.environ.get("PYTHONPATH", "")])
    for name in "harness", "pytest":
        script = folder / name
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" -P -m {name} "$@"\n'
        )
        script.chmod(0o755)
    if subprocess.run([folder / "harness", "doctor"], capture_output=True, cwd=folder).returncode:
        pytest.skip("this machine cannot run trials; fix: see `harness doctor`")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_the_commands_of_a_page_do_what_it_shows(page: Path, tools: Path, tmp_path: Path) -> None:
    text = tree.text(page)
    for program in re.findall(r"<!-- needs (.*?) -->", text):
        if shutil.which(program, path="/usr/bin:/bin") is None:
            pytest.skip(f"no {program} in /usr/bin; fix: apt-get install {program}")
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
    }
    for step in shown(text):
        done = subprocess.run(
            ["sh", "-c", step.command],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_S,
        )
        assert is_as_shown(step.output, done.stdout), (
            f"{page}: $ {step.command}\nshown:\n{step.output}\nprinted:\n{done.stdout}"
        )


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("hi\n", "hi\n", True),
        ("hi\n", "ho\n", False),
        ("a ... c\n", "a b c\n", True),
        ("first\n...\nlast\n", "first\n1\n2\nlast\n", True),
        ("first\n...\nlast\n", "first\nnext\n", False),
        ("", "", True),
        ("", "something\n", False),
    ],
)
def test_the_comparison_sees_a_difference(expected: str, actual: str, same: bool) -> None:
    assert is_as_shown(expected, actual) is same


def test_a_block_is_read_as_commands_and_their_output() -> None:
    page = "text\n```console\n$ one\n>\n> two\nout\n$ three\n```\n```sh\n$ not this\n```\n"
    assert list(shown(page)) == [Shown("one\n\ntwo", "out\n"), Shown("three", "")]


def test_the_readme_and_the_tutorial_are_among_the_pages() -> None:
    assert Path("README.md") in PAGES
    tutorial = {path for path in tree.files(".md") if path.parts[:2] == ("docs", "tutorial")}
    assert tutorial
    assert tutorial <= set(PAGES)
