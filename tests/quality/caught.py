"""What comes of searching anything to its first finding."""

from __future__ import annotations

from dataclasses import dataclass

from harness._engine.explore import ExploreProgress
from harness.recording import Recording
from harness.verdict import Finding


@dataclass(frozen=True, kw_only=True, slots=True)
class Caught:
    """What came of a search, to its first finding: after so many *trials*, and *seconds*."""

    trials: int
    seconds: float
    finding: Finding
    by: str
    recording: Recording

    @property
    def faults(self) -> int:
        """Faults and switches of the recording."""
        return len(self.recording.schedule.faults) + len(self.recording.schedule.switches)


def stop_at_the_first(progress: ExploreProgress) -> None:
    """To be called by an exploration: it ends with its first finding."""
    if progress.findings:
        raise KeyboardInterrupt  # as a user would; what was found is kept
