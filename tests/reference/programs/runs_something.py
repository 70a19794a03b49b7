"""A script that has a thread, or an event loop, when it says that it is set up."""

import asyncio
import sys
import threading

from reference.prefork_interpreter.library import initialisation_complete


async def late() -> None:
    initialisation_complete()


match sys.argv[1]:
    case "thread":
        threading.Thread(target=threading.Event().wait, name="waiter", daemon=True).start()
        initialisation_complete()
    case "loop":
        asyncio.run(late())
    case "options":
        initialisation_complete(**eval(sys.argv[2]))
