"""A program that has changed is started again for the next call, under each launcher; one that has
not is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reference.prefork import Place, wait_for_end


def who(place: Place, script: str) -> bytes:
    """Which server a call is served by."""
    done = place.call(script, "who")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def script_that(place: Place, imports: str = "", options: str = "") -> str:
    """A script with more before it is set up, and with *options*."""
    replaced = {"import os\n": f"import os\nimport sys\nsys.path.append({str(place.path)!r})\n"}
    replaced["import os\n"] += imports
    replaced["max_servers="] = f"{options}max_servers="
    return place.script("tells.py", **replaced)


def is_seen(place: Place, script: str, path: Path) -> None:
    """One server, until *path* changes; then another, and the first has gone."""
    first = who(place, script)
    assert who(place, script) == first
    old = place.server(script)
    with path.open("a") as file:
        file.write("# more\n")
    assert who(place, script) != first
    wait_for_end(old)
    place.server(script)


def test_a_changed_module_and_one_that_it_imports(place: Place) -> None:
    inner, outer = place.path / "inner.py", place.path / "outer.py"
    inner.write_text("HERE = 1\n")
    outer.write_text("import inner\n")
    script = script_that(place, "import outer\n")
    is_seen(place, script, outer)
    is_seen(place, script, inner)


@pytest.mark.full
def test_a_changed_module_of_a_package(place: Place) -> None:
    package = place.path / "package"
    package.mkdir()
    for name in ("__init__.py", "part.py"):
        (package / name).write_text("HERE = 1\n")
    script = script_that(place, "from package import part\n")
    is_seen(place, script, package / "part.py")
    is_seen(place, script, package / "__init__.py")


@pytest.mark.full
def test_a_module_is_not_looked_at_where_that_is_not_asked_for(place: Place) -> None:
    module = place.path / "outer.py"
    module.write_text("HERE = 1\n")
    script = script_that(place, "import outer\n", "autoreload_modules=False, ")
    first = who(place, script)
    module.write_text("HERE = 2\n")
    assert who(place, script) == first
    is_seen(place, script, Path(script))


def test_paths_that_were_named_may_come_later(place: Place) -> None:
    table, other = place.path / "table", place.path / "other"
    named = (
        "from reference.prefork_interpreter.library import autoreload_also_check\n"
        f"autoreload_also_check({str(other)!r})\n"
    )
    script = script_that(place, named, f"autoreload_extra=[{str(table)!r}], ")
    is_seen(place, script, table)
    is_seen(place, script, other)
    first = who(place, script)
    os.unlink(table)
    assert who(place, script) == first
