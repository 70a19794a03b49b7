"""`exited` is sent before the directory is removed, which the child leaves to the service."""

from __future__ import annotations

from reference.forking_service.child import ChildLife
from reference.forking_service.children import Child
from reference.forking_service.options import Options
from reference.forking_service.server import serve_with
from reference.forking_service.service import ForkingService


class LeavesItToTheService(ChildLife):
    def remove_directory(self) -> None:
        pass


class TellsFirst(ForkingService):
    life_type = LeavesItToTheService

    def report_end(self, child: Child, status: int, now: float) -> None:
        self.log(f"{child.name}: ended with status {status}")
        self.tell_end(child, status, now)
        self.remove_directory(child.directory)


def serve(path: str, directory: str) -> int:
    return serve_with(Options(path=path, directory=directory), service_type=TellsFirst)
