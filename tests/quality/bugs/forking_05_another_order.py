"""The client opens the FIFOs in another order than the child: both block."""

from __future__ import annotations

import os

from reference.forking_service.child import ChildLife
from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class OutputFirst(ChildLife):
    def open_streams(self) -> list[int]:
        stdout = os.open(f"{self.path}/stdout", os.O_WRONLY | os.O_CLOEXEC)
        stdin = os.open(f"{self.path}/stdin", os.O_RDONLY | os.O_CLOEXEC)
        return [stdin, stdout, os.open(f"{self.path}/stderr", os.O_WRONLY | os.O_CLOEXEC)]


class InAnotherOrder(ForkingService):
    life_type = OutputFirst


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=InAnotherOrder)
