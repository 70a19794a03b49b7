"""What may differ: it is learned of some runs, and nothing else is let pass."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.history import Operation
from harness.learning import learned
from harness.oracle import judge
from harness.usual import as_usual
from harness.variation import Line, Lines, Variation
from harness.verdict import FileChange, Outcome, Output

WORDS = string.ascii_letters + string.digits
words = st.text(WORDS, min_size=1, max_size=6)
texts = st.text(st.sampled_from(f"{WORDS} .:/-_=\t\n"), max_size=40).map(str.encode)
some_bytes = st.binary(max_size=24)


def run(
    stdout: bytes = b"",
    stderr: bytes = b"",
    files: dict[str, bytes] | None = None,
    names: tuple[str, ...] = (),
) -> Outcome:
    """A run that wrote that, and whose one client did *names*."""
    given = files or {}
    return Outcome(
        end="exited",
        status=0,
        stdout=Output.of(stdout),
        stderr=Output.of(stderr),
        files=tuple(
            FileChange(
                path=path, kind="file", mode=0o644, size=len(data), sha256=Output.of(data).sha256
            )
            for path, data in sorted(given.items())
        ),
        history=tuple(Operation(role="client/0", name=name, result="ok") for name in names),
        contents=(("stdout", stdout), ("stderr", stderr), *sorted(given.items())),
    )


def golden(*runs: Outcome, declared: tuple[str, ...] = ()) -> Outcome:
    return replace(runs[0], may_differ=learned(runs, declared))


def passes(outcome: Outcome, norm: Outcome) -> bool:
    return judge("main", outcome, norm).status == "PASS"


# ---- What was seen passes, and nothing that is elsewhere -----------------------------------------


@given(st.lists(st.one_of(texts, some_bytes), min_size=1, max_size=4))
def test_what_a_golden_run_has_written_is_never_a_finding(outputs: list[bytes]) -> None:
    runs = [run(stdout=data, stderr=data[::-1], files={"/trial/f": data}) for data in outputs]
    norm = golden(*runs)
    assert all(passes(one, norm) for one in runs)


paths = st.lists(words, min_size=1, max_size=2).map(lambda parts: "/trial/" + "/".join(parts))


@given(st.lists(st.dictionaries(paths, texts, max_size=4), min_size=1, max_size=3))
def test_nor_are_the_files_that_one_has_left(files: list[dict[str, bytes]]) -> None:
    runs = [run(files=one) for one in files]
    norm = golden(*runs)
    assert all(passes(one, norm) for one in runs)


@given(st.lists(st.lists(words, min_size=2, max_size=2), min_size=1, max_size=4))
@example([["0", "0"], ["0", "00"]])
def test_nor_is_what_its_clients_have_done(names: list[list[str]]) -> None:
    runs = [run(names=tuple(f"ask {name}" for name in one)) for one in names]
    norm = golden(*runs)
    assert all(
        [op.name for op in as_usual(one, norm).history] == [op.name for op in norm.history]
        for one in runs
    )


same_lines = st.lists(words, min_size=1, max_size=4, unique=True)


@given(same_lines, st.lists(words, min_size=2, max_size=3), st.data())
def test_what_stands_elsewhere_is_a_finding(
    lines: list[str], drawn: list[str], data: st.DataObject
) -> None:
    assume(len({*drawn}) > 1)
    at = data.draw(st.integers(0, len(lines)))

    def written(value: str, lines: list[str]) -> bytes:
        return "".join(
            f"{line}\n" for line in (*lines[:at], f"name: {value}.", *lines[at:])
        ).encode()

    norm = golden(*(run(stdout=written(value, lines)) for value in drawn))
    another = data.draw(st.integers(0, len(lines) - 1))
    changed = [f"{line}!" if n == another else line for n, line in enumerate(lines)]
    assert passes(run(stdout=written(drawn[-1], lines)), norm)
    assert not passes(run(stdout=written(drawn[0], changed)), norm)
    assert not passes(run(stdout=written(f"{drawn[0]} more", lines)), norm)
    assert not passes(run(stdout=written(drawn[0], [*lines, "one more"])), norm)
    assert not passes(run(stdout=written(drawn[0], lines[:-1])), norm)


@given(st.binary(min_size=30, max_size=60), st.data())
def test_of_what_is_no_text_only_the_bytes_that_varied_may_be_others(
    data: bytes, more: st.DataObject
) -> None:
    first, second = (b"\0" + data[:8] + bytes([n]) + data[9:] for n in (data[8], data[8] ^ 1))
    norm = golden(run(stdout=first), run(stdout=second))
    at = more.draw(st.integers(0, len(first) - 1))
    changed = bytearray(first)
    changed[at] ^= 0xFF
    assert passes(run(stdout=second), norm)
    assert passes(run(stdout=bytes(changed)), norm) == (at == 9)


def test_no_difference_is_nothing_learned() -> None:
    same = run(stdout=b"a\n", stderr=b"\0", files={"/trial/f": b"x"}, names=("ask",))
    assert not learned([same, same, same])
    assert not Variation()


# ---- What is taken for one and the same ----------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "like", "unlike"),
    [
        (["pid 17", "pid 1026"], "pid 3", "pid three"),
        (["pid 17", "pid 1026"], "pid 3", "tid 3"),
        (["at 0x3f2a", "at 0x11bc"], "at 0xffff", "at 0xfggf"),
        (["tmp.xK1 made", "tmp.a92 made"], "tmp.___ made", "tmp.a92 lost"),
        (["5b3ded93-cefb-4226", "00000001-1234-4a26"], "5b3ded93-0000-4fff", "5b3ded93-0000"),
        (["5b3ded93-cefb", "00a00001-1234"], "5b3ded93-00ff", "5b3ded93/00ff"),
        (["took 0.12 s", "took 3 s"], "took 1.5e-3 s", "took long s"),
        (["took 0.12 s", "took 0.34 s"], "took 7.1 s", "took 7 s"),
        (["at 127.0.0.1:80", "at 127.0.0.1:99"], "at 127.0.0.1:1", "at 127.0.0.2:80"),
        (["    7|", "12345|"], "  123|", "  123"),
        (["a  1", "a 12"], "a   3", "a3"),
        (["k=Yq8+LmZw/4Tt==", "k=0AbcDefGhIjkLm=="], "k=a+b/c==", "k=a b=="),
        (["AbcdEfghIjklMn0123", "0123AbcdEfghIjklMn"], "Ab-cdEfghIjkl_MnOp", "Ab cd"),
        (["one two", "three"], "whatever it is", None),
    ],
)  # fmt: skip
def test_of_a_line_only_the_piece_that_varied_may_be_another(
    seen: list[str], like: str, unlike: str | None
) -> None:
    norm = golden(*(run(stdout=f"begin\n{line}\nend\n".encode()) for line in seen))
    assert passes(run(stdout=f"begin\n{like}\nend\n".encode()), norm)
    assert not passes(run(stdout=f"begin\n{like}\nEND\n".encode()), norm)
    if unlike is not None:
        assert not passes(run(stdout=f"begin\n{unlike}\nend\n".encode()), norm)


def test_a_line_that_is_only_in_some_runs_need_not_be_there() -> None:
    norm = golden(run(stdout=b"a\nretried\nb\n"), run(stdout=b"a\nb\n"))
    assert passes(run(stdout=b"a\nb\n"), norm)
    assert not passes(run(stdout=b"a\nretried\nretried\nb\n"), norm)
    assert not passes(run(stdout=b"a\nfailed\nb\n"), norm)
    assert norm.may_differ.describe() == "1 place: stdout line 2"


def test_an_output_that_ends_early_is_a_finding() -> None:
    norm = golden(run(stdout=b"1\nb\nc"), run(stdout=b"2\nb\nc"))
    assert passes(run(stdout=b"3\nb\nc"), norm)
    assert not passes(run(stdout=b"3\nb"), norm)


def test_a_drawn_name_is_one_name_and_its_contents_are_compared() -> None:
    norm = golden(
        run(files={"/tmp/tmp.aB3": b"same\n", "/trial/log": b"1\n"}),
        run(files={"/tmp/tmp.Zz9": b"same\n", "/trial/log": b"2\n"}),
    )
    assert passes(run(files={"/tmp/tmp.q7q": b"same\n", "/trial/log": b"3\n"}), norm)
    for wrong in (
        {"/tmp/tmp.q7q": b"other\n", "/trial/log": b"3\n"},
        {"/tmp/tmp.q7q": b"same\n", "/trial/log": b"x\n"},
        {"/tmp/tmp.q7q": b"same\n", "/tmp/tmp.more": b"same\n", "/trial/log": b"3\n"},
        {"/tmp/else": b"same\n", "/trial/log": b"3\n"},
        {"/trial/log": b"3\n"},
    ):
        assert not passes(run(files=wrong), norm), wrong
    assert norm.may_differ.describe() == "2 places: /trial/log line 1, the name /tmp/tmp.*"


def test_what_is_too_long_to_look_at_is_not_compared_where_it_varies() -> None:
    first, second = (replace(run(stdout=data), contents=()) for data in (b"1", b"2"))
    norm = golden(first, second)
    assert passes(replace(run(stdout=b"x"), contents=()), norm)
    assert norm.may_differ.describe() == "1 place: all of stdout"


def test_a_failure_is_not_seen_in_what_varies_on_standard_error() -> None:
    norm = golden(run(stdout=b"x", stderr=b"took 1 s\n"), run(stdout=b"x", stderr=b"took 2 s\n"))
    silent = replace(run(stderr=b"took 3 s\n"), fired=(1,), seen=(1,))
    said = replace(run(stderr=b"took 3 s\nno space\n"), fired=(1,), seen=(1,))
    assert not passes(silent, norm)
    assert passes(said, norm)


# ---- What is declared ----------------------------------------------------------------------------


def test_what_is_declared_is_not_compared_and_all_else_is() -> None:
    norm = golden(run(stdout=b"id 17.\nDEBUG x\nend\n"), declared=("id [0-9]+", "^DEBUG.*"))
    assert passes(run(stdout=b"id 4.\nend\n"), norm)
    assert passes(run(stdout=b"DEBUG 1\nDEBUG 2\nid 4.\nend\n"), norm)
    assert not passes(run(stdout=b"id x.\nend\n"), norm)
    assert not passes(run(stdout=b"DEBUG 1\nend\n"), norm)
    assert "'id [0-9]+'" in norm.may_differ.describe()


def test_names_that_are_declared_need_not_be_the_same_nor_there() -> None:
    norm = golden(
        run(files={"/trial/core.17": b"", "/trial/log-1": b"x"}),
        declared=(r"/trial/core\..*", "log-[0-9]"),
    )
    assert passes(run(files={"/trial/log-2": b"x"}), norm)
    assert passes(run(files={"/trial/core.3": b"y", "/trial/log-2": b"x"}), norm)
    assert not passes(run(files={"/trial/log-2": b"y"}), norm)
    assert not passes(run(files={"/trial/other": b""}), norm)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("(", "may-differ '(' is no regular expression: missing )"),
        ("[0-9]*", "may-differ '[0-9]*' matches nothing at all, and so everywhere"),
        ("absent", "may-differ 'absent' matches nothing that comes out of the run"),
    ],
)
def test_a_pattern_that_says_nothing_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        golden(run(stdout=b"a\n"), declared=(pattern,))
    assert str(refused.value).startswith(told)


# ---- As values -----------------------------------------------------------------------------------


@given(st.lists(st.dictionaries(paths, st.one_of(texts, some_bytes), max_size=3), min_size=2))
def test_what_was_learned_is_read_as_it_was_written(files: list[dict[str, bytes]]) -> None:
    norm = learned([run(files=one) for one in files], ())
    assert Variation.from_json(norm.to_json()) == norm
    assert bool(norm.describe()) == bool(norm)


@pytest.mark.parametrize(
    ("obj", "told"),
    [
        ({"lines": [["a", "b"]]}, "lines[0]: a line must begin and end with text"),
        ({"lines": [["a", "digit", ""]]}, "did you mean 'digits'"),
        ({"size": 3, "ranges": [[2, 1]], "sha256": "0" * 64}, "ranges must be a whole number"),
        ({"size": 3, "ranges": [[1]], "sha256": "0" * 64}, "ranges[0]: expected two numbers"),
        ({"anything": False}, "anything: can only be true"),
        ({}, "missing key 'anything'"),
    ],
)
def test_what_is_no_variation_is_one_line(obj: object, told: str) -> None:
    whole = {"declared": [], "contents": {"stdout": obj}, "renamed": [], "extra": [], "missing": []}
    with pytest.raises(UsageError) as refused:
        Variation.from_json(whole, "file.json: may_differ")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_lines_know_whether_they_vary() -> None:
    lines = Lines(lines=(Line(parts=("a",)), Line(parts=("", "word", "")), Line(parts=("b",))))
    assert lines.places("stdout") == ["stdout line 2"]
