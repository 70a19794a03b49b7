"""Services for the plugin's tests to run under: one that is well, one with a bug, and those that do
not even start."""

import os
import signal
import socket
import sys
import time


def well(path):
    _serve(path, lambda name: b"hello " + name)


def cuts(path):
    """It takes it for granted that all of an answer goes at once."""
    _serve(path, lambda name: b"hello " + name, send=socket.socket.send)


def forgets(path):
    """It ends when it cannot write down who was there."""

    def answer(name):
        try:
            with open("/trial/visits", "ab", buffering=0) as file:
                file.write(name)
        except FileExistsError:
            return b"sorry"
        return b"hello " + name

    _serve(path, answer)


def _serve(path, answer, send=socket.socket.sendall):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        try:
            while True:
                connection, _ = listener.accept()
                with connection:
                    send(connection, answer(connection.recv(100)))
        finally:
            os.unlink(path)


def adds(path, most=None):
    """It adds up what it is told; from *most* on it starts anew, as a counter that is too small."""
    total = 0

    def answer(number):
        nonlocal total
        total += int(number)
        if most is not None and total >= most:
            total = 0
        return b"%d" % total

    _serve(path, answer)


def forks_first(path):
    """Its child serves, it waits: as good as any."""
    pid = os.fork()
    if pid:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        os.waitpid(pid, 0)
    else:
        well(path)


def never_listens(path):
    while True:
        pass


def dies(path):
    raise ValueError("no such setting")


def dies_silently(path):
    os._exit(3)


def goes_into_the_background(path):
    if os.fork():
        os._exit(0)
    well(path)


def spins():
    while True:
        os.getppid()


def tosses_a_coin():
    """The processor time of a process with a number is real (of pid 0, which is itself): its last
    digits are never the same 64 times over."""
    for _ in range(64):
        os.sync() if time.clock_gettime_ns(-6) // 8 % 2 else os.getcwd()
    os.mkdir("/trial/made")


def draws():
    print(os.urandom(8).hex())


def makes():
    os.mkdir("/trial/made")


def nothing():
    pass
