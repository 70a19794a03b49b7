"""The reference of the command line has every option of every command, and no other."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from harness.arguments import parser
from tests.tidy import tree

PAGE = tree.text(Path("docs/reference/command-line.md"))
COMMANDS = ("run", "sweep", "explore", "shrink", "replay", "show", "doctor")


def options(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The long options that `harness COMMAND --help` lists."""

    def act(options: argparse.Namespace) -> int:
        raise AssertionError("--help does nothing else")

    with pytest.raises(SystemExit):
        parser(dict.fromkeys(COMMANDS, act)).parse_args([command, "--help"])
    listed = re.findall(r"^  (?:-\w(?: N)?, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    return set(listed) - {"--help"}


def section(command: str) -> str:
    """What the page says of one command: up to the next heading of the same level."""
    found = re.search(rf"^## harness {command}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no heading '## harness {command}'"
    return found[1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_reference_and_no_other(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    described = set(re.findall(r"^\| `(?:-\w`, `)?(--[a-z-]+)", section(command), re.MULTILINE))
    assert described == options(command, capsys)


def test_every_command_is_in_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser(dict.fromkeys(COMMANDS, lambda options: 0)).parse_args(["--help"])
    listed = re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, re.MULTILINE)
    assert set(listed) == set(COMMANDS)
