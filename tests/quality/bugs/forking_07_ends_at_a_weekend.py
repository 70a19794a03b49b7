"""A value that ends in `end` ends the environment block early."""

from __future__ import annotations

from reference.forking_service.options import Options
from reference.forking_service.protocol import RequestReader
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class LooksAtTheEnd(RequestReader):
    def is_end_of_block(self, line: bytes) -> bool:
        return line.endswith(b"end")


class EndsEarly(ForkingService):
    reader_type = LooksAtTheEnd


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=EndsEarly)
