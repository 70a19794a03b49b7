"""`line_server.py WHERE`: answers each line with its number and its capitals, whoever sends it.

WHERE is a path for a Unix socket, or `:PORT`. One process, any number of clients; ends on SIGTERM.
"""

import selectors
import signal
import socket
import sys


def listening(where):
    if where.startswith(":"):
        return socket.create_server(("127.0.0.1", int(where[1:])))
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
    server.listen()
    return server


def serve(server):
    ready = selectors.DefaultSelector()
    ready.register(server, selectors.EVENT_READ)
    served = 0
    while True:
        for key, _ in ready.select():
            if key.fileobj is server:
                ready.register(server.accept()[0], selectors.EVENT_READ)
                continue
            line = key.fileobj.recv(4096)
            if line:
                served += 1
                key.fileobj.sendall(b"%d %s" % (served, line.upper()))
            else:
                ready.unregister(key.fileobj)
                key.fileobj.close()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
serve(listening(sys.argv[1]))
