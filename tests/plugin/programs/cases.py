"""Tests for the plugin's tests to run: copied to test_cases.py, each one asked for by its name."""

import greeter
import pytest

from harness import FaultAt, ShortFault, Subject, Trigger, listening

PATH = "{dir}/s"


def service(function):
    return Subject.process(function, kwargs={"path": PATH}, ready=listening(PATH))


WELL, FORGETS = service(greeter.well), service(greeter.forgets)
MAKES = Subject.process(greeter.makes)


def ask(client):
    with client.invoke("ask"), client.connect(PATH) as connection:
        connection.sendall(b"Ann")
        answer = b"".join(iter(lambda: connection.recv(100), b""))
        if answer == b"sorry":
            client.fail("it is sorry")
        client.expect(answer, b"hello Ann")


def asserts(client):
    with client.connect(PATH) as connection:
        connection.sendall(b"Ann")
        got = connection.recv(100)
        assert got == b"hello Bob"


def asserts_whole(client):
    with client.connect(PATH) as connection:
        connection.sendall(b"Ann")
        got = b"".join(iter(lambda: connection.recv(100), b""))
        assert got == b"hello Ann"


def is_ill(outcome, golden):
    raise KeyError("no such key")


def is_ill_later(outcome, golden):
    if any(outcome.fired):
        raise KeyError("no such key")
    return []


def dislikes_faults(outcome, golden):
    return ["a fault was met"] if any(outcome.fired) else []


# What passes


def test_trial_gives_what_it_was(trial):
    tried = trial(WELL, ask, bob=ask)
    assert [(one.role, one.result) for one in tried.history] == [
        ("client/0", "ok"),
        ("client/bob", "ok"),
        ("client/fresh", "ok"),
    ]
    assert (tried.verdict.status, tried.outcome.end) == ("PASS", "exited")
    assert tried.trace.events
    assert tried.golden == tried.outcome


def test_trial_takes_faults_as_words_and_as_values(trial):
    value = FaultAt(at=Trigger(role="client/0", call="sendto"), fault=ShortFault(count=1))
    tried = trial(WELL, ask, faults=("client/0:connect=ECONNREFUSED", value), check=False)
    assert tried.outcome.fired == (1, 0)


def test_trial_draws_from_a_seed(trial):
    first, again, other = (trial(WELL, ask, bob=ask, seed=seed) for seed in (1, 1, 2))
    assert first.trace.digest == again.trace.digest != other.trace.digest
    assert first.schedule.switches == again.schedule.switches


def test_trial_draws_what_is_random_from_a_seed(trial):
    first, again, other = (trial(Subject.process(greeter.draws), seed=seed) for seed in (1, 1, 2))
    assert first.outcome.stdout == again.outcome.stdout != other.outcome.stdout


def test_what_varies_by_itself_is_not_compared(trial):
    later = Subject.command(["sh", "-c", "mktemp; date +%s"])
    tried = trial(later, faults="vfork=delay(90s)")
    assert tried.outcome.stdout != tried.golden.stdout
    assert tried.golden.may_differ.describe().startswith("3 places: stdout line 1, stdout line 2, ")


def test_what_is_declared_is_not_compared(trial):
    counts = Subject.command(["sh", "-c", "n=1; (echo a >f) 2>&- || n=2; echo a >f; echo $n tries"])
    first_open = "main/0:openat=ENOSPC"
    assert trial(counts, faults=first_open, check=False).verdict.status == "FAIL"
    trial(counts, faults=first_open, may_differ=["^[0-9] tries$"])


def test_sweep_gives_what_it_did(sweep):
    result = sweep(WELL, ask, faults="short", calls="sendto")
    assert (result.points, result.covered, result.trials, result.findings) == (1, 1, 1, ())


def test_sweep_lets_faults_last_and_come_in_pairs(sweep):
    falls_back = Subject.command(["sh", "-c", "echo a >first || echo b >second"])
    result = sweep(
        falls_back, faults="ENOSPC", calls="openat", lasting=True, pairs=True, prune=True
    )
    assert (result.points, result.covered, result.pruned) == (1, 1, 0)
    assert (result.new_points, result.new_covered) == (1, 1)
    assert (result.trials, result.complete) == (3, True)


COUNTS = """\
echo 0 >n; add() { read v <n; echo $((v+1)) >n; }; add & WAIT add & wait; read v <n; test $v = 2
"""
RACES, TAKES_TURNS = (
    Subject.command(["sh", "-c", COUNTS.replace("WAIT", word)]) for word in ("", "wait;")
)


def test_explore_gives_what_it_did(explore):
    result = explore(TAKES_TURNS, strategy="bounded", bound=1)
    assert result.findings == ()
    assert result.trials == result.interleavings > 1
    assert result.claim == f"all {result.trials} interleavings with at most 1 preemption"
    again = explore(WELL, ask, bob=ask, trials=12, faults="client/0:connect=EINTR")
    assert again.trials == 12


def test_found_by_explore(explore):
    explore(RACES, trials=30)


def test_explored_with_a_fault_that_does_not_fire(explore):
    explore(TAKES_TURNS, trials=3, faults="main:write#99=EIO")


def test_unchecked(sweep, trial):
    assert sweep(FORGETS, ask, faults="ENOSPC", check=False).findings
    assert trial(FORGETS, ask, faults="openat=ENOSPC", check=False).verdict.status == "FAIL"


def test_golden_run_is_made_once(trial, monkeypatch):
    from harness._pytest.session import Session

    runs, run = [], Session.run
    monkeypatch.setattr(Session, "run", lambda self, plan: runs.append(plan) or run(self, plan))
    for _ in range(3):
        trial(WELL, ask)
    assert len(runs) == 2 + 3


def test_forks_first(trial):
    trial(service(greeter.forks_first), ask)


def test_plain():
    pass


# What is found


def test_found_by_trial(trial):
    trial(FORGETS, ask, faults="openat=ENOSPC")


def test_found_by_sweep(sweep):
    sweep(FORGETS, ask, faults="ENOSPC,short")


def test_found_by_an_oracle(sweep):
    sweep(MAKES, faults="ENOSPC", oracles=[dislikes_faults])


def test_found_by_an_assert(trial):
    trial(service(greeter.cuts), asserts_whole, faults="sendto=short(1)")


# What cannot be


def test_never_ready(trial):
    trial(service(greeter.never_listens), ask, deadline_s=0.5)


def test_dies(sweep):
    sweep(service(greeter.dies), ask)


def test_dies_silently(trial):
    trial(service(greeter.dies_silently), ask)


def test_background(trial):
    trial(service(greeter.goes_into_the_background), ask)


def test_never_ends(sweep):
    sweep(Subject.process(greeter.spins), deadline_s=0.5)


def test_asserts(trial):
    trial(WELL, asserts)


def test_coin(sweep):
    sweep(Subject.process(greeter.tosses_a_coin))


def test_no_point(sweep):
    sweep(MAKES, calls="rmdir")


def test_closure(trial):
    def inner(client):
        pass

    trial(WELL, inner)


def test_lambda(sweep):
    sweep(WELL, lambda client: None)


def test_oracle_raises(trial):
    trial(MAKES, oracles=[is_ill])


def test_oracle_raises_in_a_sweep(sweep):
    sweep(MAKES, faults="ENOSPC", oracles=[is_ill_later])


def test_oracle_is_a_closure(trial):
    trial(MAKES, oracles=[lambda outcome, golden: []])


def test_thread(trial):
    trial(Subject.process("starts_a_thread:serve"))


def test_no_function(trial):
    trial(Subject.process("greeter:serves"))


def test_no_program(trial):
    trial(Subject.command(["no-such-program"]))


def test_no_subject(sweep):
    sweep(ask)


def test_kind(sweep):
    sweep(WELL, ask, faults="erno")


def test_pattern(trial):
    trial(MAKES, may_differ=["absent"])


def test_fault(trial):
    trial(WELL, ask, faults="writ=ENOSPC")


def test_unfired(trial):
    trial(WELL, ask, faults="sendto#7=ECONNRESET")


@pytest.fixture(scope="module")
def once(sweep):
    pass


def test_scope(once):
    pass


@pytest.mark.harness(requires="fues")
def test_ability():
    pass


@pytest.mark.harness(requires="trials")
def test_requires_trials():
    pass


def test_spins_for_a_minute(trial):
    trial(Subject.process(greeter.spins), deadline_s=60, step_limit=10**9)
