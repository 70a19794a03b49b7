"""The command line of the launcher. `--help` says what it does and may be told."""

from reference.prefork_interpreter.launcher import run

if __name__ == "__main__":
    run()
