"""A script for prefork-interp: each call does what its arguments say, and tells what it sees."""

import os
import signal
import sys

from reference.prefork_interpreter.library import initialisation_complete, leave

STARTED_IN = os.getpid()
initialisation_complete(max_servers=int(os.environ.get("MAX_SERVERS", "4")))

match sys.argv[1:]:
    case ["exit", status]:
        sys.exit(int(status))
    case ["leave", status]:
        import atexit
        import threading

        main = threading.main_thread()
        atexit.register(print, "at the end")
        threading.Thread(target=lambda: (main.join(), print("in a thread"))).start()
        print("said")
        leave(int(status))
    case ["die", number]:
        signal.signal(int(number), signal.SIG_DFL) if int(number) not in (9, 19) else None
        os.kill(os.getpid(), int(number))
    case ["raise"]:
        raise RuntimeError("so it is")
    case ["arguments", *_]:
        sys.stdout.buffer.write(b"\0".join(os.fsencode(word) for word in sys.argv[2:]))
    case ["variable", name]:
        sys.stdout.buffer.write(os.environb[os.fsencode(name)])
    case ["streams"]:
        for number in range(3):
            kind = "tty" if os.isatty(number) else os.readlink(f"/proc/self/fd/{number}")
            print(number, kind, flush=True)
    case ["descriptors"]:
        names = [name for name in os.listdir("/proc/self/fd") if int(name) > 2]
        # The one of the list itself is closed by now.
        for name in names:
            if os.path.islink(f"/proc/self/fd/{name}"):
                print(name, os.readlink(f"/proc/self/fd/{name}"))
    case ["copy"]:
        data = sys.stdin.read()
        sys.stdout.write(data)
        sys.stderr.write(data.upper())
    case ["write", count]:
        sys.stdout.write("x" * int(count))
    case ["wait"]:
        # Until the caller says more, or is gone: the pipe to it is our standard output.
        print("waits", flush=True)
        print(sys.stdin.readline(), end="")
    case ["linger"]:
        # A process of its own that lives on; it has the caller's output, and so tells its end.
        if os.fork() == 0:
            signal.pause()
        print("lingers", flush=True)
        sys.stdin.readline()
    case ["who"]:
        print(STARTED_IN, os.getpid() == STARTED_IN)
    case ["random"]:
        import random
        import ssl

        print(random.random(), ssl.RAND_bytes(8).hex())
    case ["signals"]:
        print(signal.getsignal(signal.SIGINT).name, signal.getsignal(signal.SIGCHLD).name)
    case words:
        print("hello", *words)
