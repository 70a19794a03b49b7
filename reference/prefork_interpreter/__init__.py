"""Scripts that start once and then serve each call from a fork of themselves.

protocol.py says what the bytes of a call mean, states.py which way a launcher, a server and a
monitor can go; neither does input or output. library.py is what a script calls, and setup.py what
that does first; server.py accepts, monitor.py looks after one call, executor.py is what the script
goes on in; reload.py, log.py and options.py are theirs. launcher.py is the other side, with
arguments.py (its command line), identity.py and run_directory.py (where the server is) and
watcher.py. names.py, the socket and its lock, is everyone's. example.py is a script;
`python -m reference.prefork_interpreter --help` says how to launch one.

TYPE_CHECKING is set in each of them, as the module typing has it: to import that takes longer than
all of them, and each page of memory that it fills would be in the way of every call.
"""
