"""The reference services that the harness is proved on, each a package of its own.

They are ordinary programs: nothing here imports ``harness``, ``scenarios`` or ``tests``, so that
what is found in them could be found in anyone's.
"""
