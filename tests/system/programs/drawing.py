"""A module that draws while it is imported, by itself and in a process of its own."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys

TOKEN = secrets.token_hex(8)
RNG = random.Random()
DRAWN = random.random()
_CAUGHT: list[int] = []
_before = signal.signal(signal.SIGUSR1, lambda number, frame: _CAUGHT.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.signal(signal.SIGUSR1, _before)
ELSEWHERE = subprocess.run(
    [sys.executable, "-I", "-S", "-c", "print(1)"], capture_output=True, text=True, check=True
).stdout


def tells() -> None:
    print(TOKEN, DRAWN, RNG.random(), _CAUGHT, ELSEWHERE)
