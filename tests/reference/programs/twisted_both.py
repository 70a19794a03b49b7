"""`twisted_both.py SOCKET LIES`: do the same with processes that are spawned and with children that
are forked, and print what their protocols were told, as JSON: by name, a list of pairs. LIES, JSON
too, has services that give no child, by name: socket, and how long it is waited for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

from reference.forking_service.tx import spawn_forked_process

PLAIN = [sys.executable, "-m", "reference.forking_service.plain", "--"]


class Told(ProcessProtocol):
    """Writes down what it is told: *did* in order, *said* by descriptor."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.said = {1: b"", 2: b""}
        self.connected: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.line: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.did.append("connectionMade")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.said[childFD] += data
        if not self.line.called:
            self.line.callback(None)

    def childConnectionLost(self, childFD: int) -> None:
        self.did.append(f"childConnectionLost {childFD}")

    def processExited(self, reason: Any) -> None:
        self.did.append(f"processExited {describe(reason.value)}")

    def processEnded(self, reason: Any) -> None:
        self.did.append(f"processEnded {describe(reason.value)}")
        self.ended.callback(None)

    def result(self) -> list[Any]:
        """What may be compared: the order of pipes and of the exit is the kernel's, not ours."""
        first, *middle, last = self.did
        return [first, sorted(middle), last, self.said[1].decode(), self.said[2].decode()]


def describe(error: Any) -> str:
    return f"{type(error).__name__} {error.exitCode} {error.signal} {error.status}"


def feed(transport: Any) -> None:
    transport.write(b"1 one\n2 two\n")
    transport.writeSequence([b"1 th", b"ree\n"])
    transport.closeStdin()


def feed_much(transport: Any) -> None:
    transport.writeToChild(0, b"1 %s\n" % (b"x" * 99) * 3000)
    transport.closeChildFD(0)


def lose(transport: Any) -> None:
    transport.loseConnection()


def signal_by_name(transport: Any) -> None:
    transport.signalProcess("TERM")


def signal_by_number(transport: Any) -> None:
    transport.signalProcess(9)


def pause(transport: Any) -> None:
    transport.pauseProducing()
    transport.resumeProducing()
    transport.closeStdin()


def stop_listening(transport: Any) -> None:
    transport.closeStdout()
    transport.closeStderr()
    transport.closeStdin()


class Produces:
    """A producer of two lines, one each time that it is asked."""

    def __init__(self, transport: Any) -> None:
        self.left = [b"1 one\n", b"2 two\n"]
        self.transport = transport
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        if self.left:
            self.transport.write(self.left.pop(0))
        else:
            self.transport.unregisterProducer()
            self.transport.closeStdin()

    def stopProducing(self) -> None:
        self.left = []


def host_and_peer(transport: Any) -> None:
    """Neither has any."""
    for ask in (transport.getHost, transport.getPeer):
        try:
            ask()
        except NotImplementedError:
            transport.write(b"2 none\n")
    transport.closeStdin()


CASES = {
    "rocks": (["rocks"], None),
    "exit": (["exit", "7"], None),
    "crash": (["crash", "KILL"], None),
    "replay": (["replay"], feed),
    "much": (["replay"], feed_much),
    "lost": (["replay"], lose),
    "by name": (["replay"], signal_by_name),
    "by number": (["replay"], signal_by_number),
    "paused": (["replay"], pause),
    "deaf": (["replay"], stop_listening),
    "produced": (["replay"], Produces),
    "host": (["replay"], host_and_peer),
    "unknown": (["no-such-command"], None),
}


@inlineCallbacks
def run(path: str, words: list[str], act: Any, is_forked: bool) -> Generator[Any, Any, list[Any]]:
    told = Told()
    if is_forked:
        transport = yield spawn_forked_process(reactor, told, words, path=path)
    else:
        transport = reactor.spawnProcess(
            told, sys.executable, [*PLAIN, *words], env=os.environ, path=None
        )
    if words == ["replay"] and act in (signal_by_name, signal_by_number):
        # Before that a spawned one would die while it starts.
        transport.write(b"1 ready\n")
        yield told.line
    if act is not None:
        act(transport)
    yield told.ended
    try:
        transport.signalProcess("KILL")
    except ProcessExitedAlready:
        told.did.insert(1, "ProcessExitedAlready")
    assert transport.pid is None
    return told.result()


@inlineCallbacks
def main(path: str, lies: dict[str, tuple[str, float]]) -> Generator[Any, Any, None]:
    results = {}
    for name, (words, act) in CASES.items():
        both = []
        for is_forked in (False, True):
            both.append((yield run(path, words, act, is_forked)))
        results[name] = both
    for name, (there, timeout_s) in {"nobody": ("/no/such", 30.0), **lies}.items():
        told = Told()
        try:
            yield spawn_forked_process(reactor, told, ["x"], path=there, timeout=timeout_s)
        except Exception as error:
            results[name] = [type(error).__name__, str(error), told.did]
    print(json.dumps(results))


if __name__ == "__main__":
    done = []
    reactor.callWhenRunning(
        lambda: (
            main(sys.argv[1], json.loads(sys.argv[2]))
            .addErrback(done.append)
            .addBoth(lambda _: reactor.stop())
        )
    )
    reactor.run()
    if done:
        done[0].printTraceback()
        sys.exit(1)
