"""Property tests for the plugin's tests to run: copied to test_properties.py."""

from typing import ClassVar

import greeter
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from test_cases import FORGETS, PATH, WELL, ask, service

from harness import Subject, listening
from harness.stateful import TrialMachine, run
from harness.strategies import faults, for_trials, schedules, switches

settings.register_profile("equal", derandomize=True, database=None)
settings.load_profile("equal")


@for_trials(6)
@given(data=st.data())
def test_well_under_drawn_schedules(trial, data):
    golden = trial(WELL, ask, bob=ask).trace
    schedule = data.draw(schedules(golden, ["errno", "short"], max_faults=2))
    trial(WELL, ask, bob=ask, schedule=schedule, check=False)


@for_trials(25)
@given(data=st.data())
def test_forgets_under_drawn_schedules(trial, data):
    golden = trial(FORGETS, ask, bob=ask).trace
    schedule = data.draw(
        schedules(golden, ["short", "space"], roles="service", phases=["work"], max_faults=2)
    )
    trial(FORGETS, ask, bob=ask, schedule=schedule, must_fire=False)


def test_what_cannot_be_drawn(trial):
    golden = trial(Subject.process(greeter.makes)).trace
    faults(golden, ["mkdir"])


def test_no_other_order(trial):
    switches(trial(Subject.process(greeter.makes)).trace)


def plays(client, steps):
    total = 0
    for _, arguments in steps:
        total += arguments["number"]
        with client.invoke("add"), client.connect(PATH) as connection:
            connection.sendall(b"%d" % arguments["number"])
            got = b"".join(iter(lambda: connection.recv(100), b""))
            client.expect(got, b"%d" % total)


class Adds(TrialMachine):
    subject = service(greeter.adds)
    plays = plays
    options: ClassVar = {"recovers": False}

    @rule(number=st.integers(0, 9))
    def add(self, number):
        self.step(0, "add", number=number)


class AddsToTwelve(Adds):
    subject = Subject.process(
        greeter.adds, kwargs={"path": PATH, "most": 12}, ready=listening(PATH)
    )


class IsCut(Adds):
    subject = service(greeter.adds)

    @rule(at=st.sampled_from(["service:recvfrom#2=crash", "service:sendto#1=short(1)"]))
    def goes_wrong(self, at):
        self.fault(at)


def test_a_machine(trial):
    run(Adds, trial, max_examples=3, stateful_step_count=5)


def test_a_machine_with_faults(trial):
    run(IsCut, trial, max_examples=5, stateful_step_count=5)


def test_a_machine_with_a_bug(trial):
    run(AddsToTwelve, trial, max_examples=20, stateful_step_count=8)
