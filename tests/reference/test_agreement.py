"""A client that is written from the protocol alone, one byte at a time and with CRLF, and the
shipped ones agree on everything: what a child says, how it ends, and what is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from reference.forking_service.aio import create_forked_process
from reference.forking_service.client import ForkingServiceError
from tests.reference.support import PATIENCE_S, Raw, Service, environment

#: argv, variables, and the input of a child.
CASES = [
    (["rocks"], {}, b""),
    (["whoami"], {"BZR_EMAIL": "a@weekend", "X": "end"}, b""),
    (["whoami"], {}, b""),
    (["replay"], {}, b"1 one\n2 two\n1 three"),
    (["replay"], {}, b"3 three\n"),
    (["lp-serve", "--inet", "7"], {}, b"hello\nhello\n"),
    (["exit", "255"], {}, b""),
    (["crash", "KILL"], {}, b""),
    (["no such", "it's"], {"A": " a: b "}, b""),
]

#: Everything of one child: stdout, stderr, returncode.
Result = tuple[bytes, bytes, int]


def by_hand(service: Service, argv: list[str], env: dict[str, str], input: bytes) -> Result:
    words = " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)
    lines = [f"fork-env {words}", *(f"{key}: {value}" for key, value in env.items()), "end", ""]
    with Raw(service) as raw:
        for byte in "\r\n".join(lines).encode():
            raw.send(bytes([byte]))
        _, directory = raw.started()
        with (
            open(os.path.join(directory, "stdin"), "wb") as stdin,
            open(os.path.join(directory, "stdout"), "rb") as stdout,
            open(os.path.join(directory, "stderr"), "rb") as stderr,
        ):
            if input:
                stdin.write(input)
            stdin.close()
            out, err = stdout.read(), stderr.read()
        assert raw.line() == b"exited\n"
        status = int(raw.line())
        assert raw.rest() == b""
    return out, err, os.waitstatus_to_exitcode(status)


def by_the_client(service: Service, argv: list[str], env: dict[str, str], input: bytes) -> Result:
    with service.spawn(*argv, **env) as child:
        out, err = child.communicate(input)
    assert child.returncode is not None
    return out, err, child.returncode


def by_asyncio(service: Service, argv: list[str], env: dict[str, str], input: bytes) -> Result:
    async def run() -> Result:
        child = await create_forked_process(*argv, path=service.path, env=env)
        out, err = await child.communicate(input)
        return out, err, await child.wait()

    return asyncio.run(run())


def by_connect(service: Service, argv: list[str], env: dict[str, str], input: bytes) -> Result:
    variables = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "reference.forking_service.connect", "--path", service.path),
            *variables,
            *argv,
        ],
        input=input,
        capture_output=True,
        env=environment(),
        timeout=PATIENCE_S,
    )
    code = done.returncode
    return done.stdout, done.stderr, code if code <= 128 or code == 255 else 128 - code


@pytest.mark.parametrize("client", [by_the_client, by_asyncio, by_connect])
@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case[0]))
def test_each_client_sees_what_the_protocol_says(
    shared: Service,
    client: Callable[[Service, list[str], dict[str, str], bytes], Result],
    case: tuple[list[str], dict[str, str], bytes],
) -> None:
    assert client(shared, *case) == by_hand(shared, *case)


def test_each_client_is_refused_in_the_same_words() -> None:
    with Service("--max-children", "1") as service, service.spawn("replay"):
        with Raw(service) as raw:
            raw.send(b"fork rocks\r\n")
            assert raw.line() == b"FAILURE\n"
            words = raw.line().decode().strip()
        with pytest.raises(ForkingServiceError) as waits:
            service.spawn("rocks")
        with pytest.raises(ForkingServiceError) as loops:
            asyncio.run(create_forked_process("rocks", path=service.path))
        assert str(waits.value) == str(loops.value) == words
        assert words == "too many children: 1 are running"
