"""A parent that makes a child and waits to be killed: does the child die with it?

Prints the child's pid. The child has `die_with_parent`, and holds the descriptor that the argument
names until it ends.
"""

import os
import signal
import sys

from harness._kernel import process

ready, tell = os.pipe()
child = process.clone(0)
if child == 0:
    process.die_with_parent()
    os.write(tell, b"!")
    signal.pause()
os.close(int(sys.argv[1]))
os.read(ready, 1)
print(child, flush=True)
signal.pause()
