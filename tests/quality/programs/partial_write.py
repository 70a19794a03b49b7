"""What one write takes is taken for all of it."""

import os

MENDED = False

data = b"".join(b"line %d\n" % number for number in range(20))
done = os.write(1, data)
while MENDED and done < len(data):
    done += os.write(1, data[done:])
