"""What the fixtures of one session did, counted: the line at its end. Imports nothing."""

from __future__ import annotations


class Tally:
    """Fault points *covered* of *points*, *trials*, *findings*, and the *seconds* that they took.

    *kept* are the reports of sweeps that were interrupted, which no test can tell any more."""

    NAMES = ("covered", "points", "trials", "findings", "seconds")

    def __init__(self) -> None:
        self.covered = self.points = self.trials = self.findings = 0
        self.seconds = 0.0
        self.kept: list[str] = []

    def add(self, **more: float) -> None:
        """Count *more*, by its names."""
        for name, value in more.items():
            setattr(self, name, getattr(self, name) + value)

    def to_json(self) -> dict[str, float]:
        """The numbers, as a worker of pytest-xdist hands them over."""
        return {name: getattr(self, name) for name in self.NAMES}

    def describe(self) -> str:
        """On one line."""
        counted = [
            _count(self.trials, "trial"),
            _count(self.findings, "finding"),
            f"{self.seconds:.1f} s",
        ]
        points = [f"points {self.covered}/{self.points}"] if self.points else []
        return ", ".join(points + counted)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"
