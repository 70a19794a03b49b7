"""Prints how many lines the file named first has. Planted bug: it takes one read for the whole."""

import os
import sys

fd = os.open(sys.argv[1], os.O_RDONLY)
text = os.read(fd, os.fstat(fd).st_size)  # the bug: read(2) may give less than was asked for
print(text.count(b"\n"), "lines")
