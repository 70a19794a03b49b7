#!/usr/bin/prefork-interp -U,python3
"""An example: a script whose imports and tables take long, and whose calls take milliseconds.

`./example.py word ...` says how long each word is. Run with `python3 example.py word ...` it does
the same, in its own time.
"""

import decimal
import email.message
import http.client
import json
import sys

from reference.prefork_interpreter.library import initialisation_complete

# Once: what is the same for every call.
TABLE = {number: decimal.Decimal(number) ** 3 for number in range(10_000)}
PEER = http.client.HTTPSConnection("localhost")  # not connected yet: that would be shared
ANSWER = email.message.EmailMessage()

initialisation_complete()

# For each call: the caller's arguments, variables, streams and status.
if len(sys.argv) < 2:
    sys.exit("usage: example.py WORD ...")
words = {word: len(word) for word in sys.argv[1:]}
print(json.dumps(words, ensure_ascii=False), TABLE[len(words)])
