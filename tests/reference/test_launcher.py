"""The service beside an application: there while it is, and with a log."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from reference.forking_service.client import ForkingServiceClient
from reference.forking_service.launcher import Configuration, Launcher
from reference.forking_service.listener import StartError
from tests.reference.support import PATIENCE_S, environment, is_gone


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    with tempfile.TemporaryDirectory(prefix="fs-") as made:
        yield made


def configured(place: str, **more: str) -> Configuration:
    section = {"launch": "yes", "path": f"{place}/s", "log_file": f"{place}/log"} | more
    return Configuration.from_section(section)


def test_it_is_there_while_the_application_is(place: str) -> None:
    with Launcher(configured(place, preload="json")) as launcher:
        assert launcher.process is not None
        pid = launcher.process.pid
        assert ForkingServiceClient(f"{place}/s").hello() == "yep, still alive"
        launcher.start()
        assert launcher.process.pid == pid
    assert is_gone(pid)
    assert os.listdir(place) == ["log"]
    with open(f"{place}/log") as log:
        said = log.read()
    assert "Preloading 1 modules" in said
    assert "0 running, 0 spawned" in said


@pytest.mark.parametrize("section", ["[x]\n", "[x]\nlaunch = no\npath = /s\n"])
def test_where_it_is_not_wanted_nothing_is_started(section: str) -> None:
    parser = configparser.ConfigParser()
    parser.read_string(section)
    with Launcher(Configuration.from_section(parser["x"])) as launcher:
        assert launcher.process is None


def test_one_that_does_not_start_says_why_and_is_gone(place: str) -> None:
    with pytest.raises(StartError, match="does not start: forking-service: cannot load commands"):
        Launcher(configured(place, commands="no.such")).start()
    assert os.listdir(place) == ["log"]


def test_a_service_of_someone_else_is_not_taken_for_its_own(place: str) -> None:
    with Launcher(configured(place)):
        with pytest.raises(StartError, match="another service is listening there"):
            Launcher(configured(place)).start()
        assert ForkingServiceClient(f"{place}/s").hello() == "yep, still alive"


def test_a_log_file_that_cannot_be_is_told(place: str) -> None:
    with pytest.raises(StartError, match=r"^cannot write the log file /no/such/log: "):
        Launcher(configured(place, log_file="/no/such/log")).start()


def test_one_that_takes_too_long_is_ended(place: str) -> None:
    with pytest.raises(StartError, match=r"does not start: it says nothing$"):
        Launcher(configured(place, start_timeout="0")).start()
    assert os.listdir(place) == ["log"]


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"launch": "perhaps"}, "launch is yes or no, not 'perhaps'"),
        ({"launch": "yes"}, "path and log_file must be set"),
        ({"lunch": "yes"}, "no such key: 'lunch'"),
        ({"children_timeout": "long"}, "children_timeout is in seconds, not 'long'"),
    ],
)
def test_a_configuration_that_cannot_be_says_so(section: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Configuration.from_section(section)


APPLICATION = """
import sys
from reference.forking_service.launcher import Configuration, Launcher
place = sys.argv[1]
launcher = Launcher(Configuration(launch=True, path=place + "/s", log_file=place + "/log"))
launcher.start()
print(launcher.process.pid)
raise RuntimeError("the application fails")
"""


def test_it_ends_with_an_application_that_does_not_stop_it(place: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", APPLICATION, place],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 1
    assert is_gone(int(done.stdout))
    assert os.listdir(place) == ["log"]
