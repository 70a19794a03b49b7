"""Prints how many lines the file named first has. The bug is mended: it reads until the end."""

import os
import sys

fd = os.open(sys.argv[1], os.O_RDONLY)
text = b""
while piece := os.read(fd, 4096):
    text += piece
print(text.count(b"\n"), "lines")
