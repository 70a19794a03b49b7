"""Uses one harmless wrapper five times and prints what came of each."""

import errno
import json
import os

from harness._kernel import process

found: list[object] = []
for _ in range(5):
    try:
        found.append(process.kill(os.getpid(), 0))
    except OSError as error:
        found.append(errno.errorcode[error.errno or 0])
print(json.dumps(found))
