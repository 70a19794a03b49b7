"""The kernel, under its own names: constants, structures, one thin wrapper a call.

The only package with ctypes. A wrapper does one thing, raises `OSError` when the kernel says no,
and decides nothing.
"""
