"""Rules about the files themselves: lengths, links, forbidden words, and the commands in README."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy import tree

LINES_MAX = 550

README = tree.text(Path("README.md"))
CI_RUN = tree.text(Path(".ci/run"))


def test_no_source_file_is_long() -> None:
    lengths = {path: len(tree.text(path).splitlines()) for path in tree.files(".py")}
    long = [f"{path}: {count} lines" for path, count in lengths.items() if count > LINES_MAX]
    assert not long, "two subjects in one file?\n" + "\n".join(long)


def test_nothing_refers_to_the_planning_folder() -> None:
    # In two pieces, or this file would be the first to break the rule.
    planning = "../" + "shared"
    wrong = [
        str(path) for path in tree.files() if planning.encode() in (tree.ROOT / path).read_bytes()
    ]
    assert not wrong, f"the project stands without {planning}: " + ", ".join(wrong)


def test_no_test_sleeps() -> None:
    """A test waits for what it needs. ``programs/`` folders hold subjects, which may sleep."""
    wrong = [
        f"{path}:{line}"
        for path in tree.sources("tests", "scenarios", "conftest.py")
        if "programs" not in path.parts
        for line in sleeps(tree.parsed(path))
    ]
    assert not wrong, "wait for the event instead: " + ", ".join(wrong)


def sleeps(module: ast.Module) -> Iterator[int]:
    for node in ast.walk(module):
        match node:
            case ast.ImportFrom(module="time" | "asyncio", names=names):
                if any(alias.name == "sleep" for alias in names):
                    yield node.lineno
            case ast.Attribute(value=ast.Name(id="time" | "asyncio"), attr="sleep"):
                yield node.lineno


@pytest.mark.parametrize(
    "text", ["import time\ntime.sleep(1)", "from time import sleep", "await asyncio.sleep(0)"]
)
def test_the_rule_about_sleeping_sees_a_sleep(text: str) -> None:
    module = ast.parse(text) if "await" not in text else ast.parse(f"async def f(): {text}")
    assert list(sleeps(module))


def readme_commands() -> list[str]:
    """The commands of the README's first block, without their comments."""
    block = re.search(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert block is not None, "README.md has no ```sh block"
    lines = (re.sub(r"\s+#.*$", "", line).strip() for line in block[1].splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def ci_commands() -> list[str]:
    """What .ci/run lists between ``readme_commands=(`` and ``)``, as the shell would read it."""
    listed = re.search(r"^readme_commands=\(\n(.*?)^\)", CI_RUN, re.MULTILINE | re.DOTALL)
    assert listed is not None, ".ci/run has no readme_commands=( ... )"
    return shlex.split(listed[1])


def test_ci_runs_exactly_the_first_two_commands_of_the_readme() -> None:
    assert len(ci_commands()) == 2
    assert readme_commands()[:2] == ci_commands()


def test_the_ci_script_is_a_bash_script_that_parses() -> None:
    done = subprocess.run(["bash", "-n", tree.ROOT / ".ci/run"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def headings(text: str) -> set[str]:
    """The anchors that a Markdown text offers, made as GitHub makes them."""
    fences_only = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+\s+(.+?)\s*$", fences_only, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


def broken_links(page: Path, text: str) -> Iterator[str]:
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue  # another machine's page: nothing here may ask the network
        name, _, anchor = link.partition("#")
        target = (tree.ROOT / page).parent / name if name else tree.ROOT / page
        if not target.exists():
            yield f"{page}: {link}: no such file"
        elif anchor and anchor not in headings(target.read_text(encoding="utf-8")):
            yield f"{page}: {link}: no such heading"


def test_every_link_in_the_documentation_leads_somewhere() -> None:
    pages = tree.files(".md")
    assert Path("README.md") in pages
    broken = [complaint for path in pages for complaint in broken_links(path, tree.text(path))]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("link", ["nowhere.md", "docs/nowhere.md#a", "README.md#no-such-heading"])
def test_the_rule_about_links_sees_a_broken_one(link: str) -> None:
    assert list(broken_links(Path("README.md"), f"see [this]({link})"))


def test_the_rule_about_links_follows_a_good_one_to_its_heading() -> None:
    text = "see [this](docs/reference/command-line.md#exit-status) and `[not](this)`"
    assert not list(broken_links(Path("README.md"), text))


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = Path("docs/README.md")
    listed = {link.partition("#")[0] for link in links(tree.text(index))}
    pages = {
        str(path.relative_to("docs"))
        for path in tree.files(".md")
        if path.parts[0] == "docs" and path != index
    }
    assert pages <= listed, f"{index} does not link to: {', '.join(sorted(pages - listed))}"
