"""`line_client.py WHERE WORD...`: sends each word as a line and prints what comes back."""

import socket
import sys

where, *words = sys.argv[1:]
if where.startswith(":"):
    server = socket.create_connection(("127.0.0.1", int(where[1:])))
else:
    server = socket.socket(socket.AF_UNIX)
    server.connect(where)
for word in words:
    server.sendall(word.encode() + b"\n")
    print(server.recv(4096).decode(), end="", flush=True)
