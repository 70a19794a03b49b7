"""Prints how many lines the file named first has. The bug is replaced by another: it gives up."""

import os
import sys

fd = os.open(sys.argv[1], os.O_RDONLY)
size = os.fstat(fd).st_size
text = os.read(fd, size)
if len(text) < size:
    os.abort()
print(text.count(b"\n"), "lines")
