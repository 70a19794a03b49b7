"""A server whose log is the file LOG from the beginning, for a test that reads it."""

import json
import os
import sys

from reference.prefork_interpreter import setup
from reference.prefork_interpreter.library import leave
from reference.prefork_interpreter.log import Log
from reference.prefork_interpreter.options import Options

FILE = open(os.environ["LOG"], "a", encoding="utf-8", buffering=1)  # noqa: SIM115  # for its life


class File(Log):
    def line(self, level: int, text: str) -> None:
        FILE.write(text + "\n")

    def information(self, text: str) -> None:
        self.line(0, text)


given = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
setup.become_server(os.environb[b"PREFORK_INTERP"], Options(**given), log_type=File)
print("hello", *sys.argv)
# Thousands of calls are made of it.
leave()
