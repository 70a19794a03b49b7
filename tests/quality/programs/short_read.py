"""What one read gives is taken for the whole file."""

import os
import sys

MENDED = False

descriptor = os.open(sys.argv[1], os.O_RDONLY)
data = os.read(descriptor, 65536)
while MENDED and (more := os.read(descriptor, 65536)):
    data += more
print(len(data), "bytes", data.count(b"\n"), "lines")
