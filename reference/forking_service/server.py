"""The service as the whole of a process: its options, what comes before it, and its exit status."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reference.forking_service.daemon import in_background
from reference.forking_service.listener import StartError
from reference.forking_service.log import write_all
from reference.forking_service.options import Options, parse_perms
from reference.forking_service.peer import AllowList
from reference.forking_service.service import ForkingService
from reference.forking_service.start import install_handlers, prepare, say_listening


def serve(
    path: str,
    perms: int | str = 0o660,
    directory: str | None = None,
    preload: Sequence[str] = (),
    children_timeout: float = 300.0,
    request_timeout: float = 1.0,
    connect_timeout: float = 120.0,
    prepare_timeout: float = 10.0,
    max_children: int = 0,
    allow_uids: Sequence[int] = (),
    allow_gids: Sequence[int] = (),
    commands: Sequence[str] = (),
    log_file: str | None = None,
    pid_file: str | None = None,
    entry_points: bool = False,
) -> int:
    """Be the service until SIGTERM, SIGINT or `quit`: the main function of a whole process.

    As such, and unlike `ForkingService`, it installs the handlers of those signals. All arguments
    can come from JSON: times in seconds, *perms* in octal as text or as the number itself, module
    names in *preload* and *commands*. With a *pid_file* it goes to the background. Prints
    `Listening on socket: PATH` on standard error when it is ready. Returns the exit status: 0 after
    an orderly stop; 1 when it could not start and 2 when the arguments cannot be, each with one
    line on standard error and nothing left behind.
    """
    more = {} if directory is None else {"directory": directory}
    try:
        options = Options(
            path=path,
            perms=parse_perms(perms) if isinstance(perms, str) else perms,
            children_timeout_s=children_timeout,
            request_timeout_s=request_timeout,
            connect_timeout_s=connect_timeout,
            prepare_timeout_s=prepare_timeout,
            children_max=max_children,
            allowed=AllowList(uids=frozenset(allow_uids), gids=frozenset(allow_gids)),
            **more,
        )
    except (ValueError, OSError) as error:
        write_all(2, f"forking-service: {error}\n")
        return 2
    return serve_with(options, preload, commands, log_file, entry_points, pid_file)


def serve_with(
    options: Options,
    preload: Sequence[str] = (),
    modules: Sequence[str] = (),
    log_file: str | None = None,
    entry_points: bool = False,
    pid_file: str | None = None,
    service_type: type[ForkingService] = ForkingService,
) -> int:
    """As `serve`, with its options made; *service_type* is what runs."""

    def served(announce: Callable[[str], None]) -> int:
        return be_service(service_type, options, preload, modules, log_file, entry_points, announce)

    return served(say_listening) if pid_file is None else in_background(pid_file, served)


def be_service(
    service_type: type[ForkingService],
    options: Options,
    preload: Sequence[str],
    modules: Sequence[str],
    log_file: str | None,
    entry_points: bool,
    announce: Callable[[str], None],
) -> int:
    """All of the process's life as a service; the exit status."""
    try:
        log, found = prepare(preload, modules, log_file, entry_points)
        service = service_type(options, commands=found, log=log, announce=announce)
        install_handlers(service.stop)
        return service.run()
    except (StartError, OSError) as error:
        write_all(2, f"forking-service: {error}\n")
        return 1
