"""Uses every wrapper of harness/_kernel twice and prints how each use ended.

The failures are planned by HARNESS_KERNEL_FAIL, so that no use reaches the kernel; that variable is
read when the modules are imported, hence a process of its own. Arguments: MODULE.FUNCTION or
MODULE.CLASS.METHOD, each.
"""

import errno
import functools
import importlib
import json
import sys

found = {}
for name in sys.argv[1:]:
    module, _, path = name.partition(".")
    wrapper = functools.reduce(
        getattr, path.split("."), importlib.import_module(f"harness._kernel.{module}")
    )
    if not hasattr(wrapper, "__wrapped__"):
        found[name] = ["no seam"]
        continue
    ends = []
    for _ in range(2):
        try:
            wrapper()
        except OSError as error:
            ends.append(f"{errno.errorcode[error.errno or 0]} {error.filename}")
    found[name] = ends
print(json.dumps(found))
