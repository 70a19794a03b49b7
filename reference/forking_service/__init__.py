"""A service that stays loaded and forks a child for each request, and its clients.

protocol.py says what the bytes mean, states.py which way a connection, a child and the service
itself can go; neither does input or output. service.py leads, with loop.py (poll), clients.py,
connection.py and peer.py (who asks), children.py (who was forked), listener.py (the socket file)
and directory.py (a child's FIFOs); server.py, start.py and daemon.py make a process a service.
child.py is a child's life, commands.py what it can run. The other side is client.py (it waits),
aio.py (asyncio) and tx.py (Twisted), with fifo.py; connect.py is a program over it, session.py says
who may run what, plain.py runs it without a service, and launcher.py starts one beside an
application.
`python -m reference.forking_service --help` says how to run it.
"""
