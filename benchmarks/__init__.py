"""Figures side by side with what one would use instead: `python -m benchmarks NAME`.

A benchmark measures its peers in the same run, in turns with ours, so that a figure is a ratio and
means the same on another machine. It never fails by time: it says whether a goal was met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One measured thing, and its goal if it has one.

    *ours* and *peer* are medians in *unit*. *ratio* is the median of the ratios of single rounds:
    the two of a round were measured within a second, so what slows the machine slows both. *goal*
    is the most that *of* may be. *missing* says why nothing was measured.
    """

    what: str
    unit: Literal["ns", "us", "ms", "KiB"]
    ours: float | None = None
    against: str = ""
    peer: float | None = None
    ratio: float | None = None
    goal: float | None = None
    of: Literal["ours", "ratio"] = "ratio"
    missing: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without a goal or a measurement."""
        value = self.ours if self.of == "ours" else self.ratio
        return None if self.goal is None or value is None else value <= self.goal

    def to_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value not in (None, "")} | {
            "met": self.met
        }


def table(figures: list[Figure]) -> str:
    """The figures for reading, one a line."""
    rows = [("", "ours", "peer", "ratio", "goal", "met")]
    for figure in figures:
        if figure.missing:
            rows.append((figure.what, f"not measured: {figure.missing}", "", "", "", ""))
            continue
        goal = "" if figure.goal is None else f"{figure.goal:g}"
        if goal:
            goal = f"<= {goal} {figure.unit}" if figure.of == "ours" else f"<= {goal}x"
        peer = _measured(figure.peer, figure.unit)
        rows.append(
            (
                figure.what,
                _measured(figure.ours, figure.unit),
                f"{figure.against} {peer}" if peer else "",
                "" if figure.ratio is None else f"{figure.ratio:.2f}x",
                goal,
                {True: "yes", False: "NO", None: ""}[figure.met],
            )
        )
    widths = [max(len(row[column]) for row in rows if row[2] or column != 1) for column in range(6)]
    lines = (
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _measured(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.1f} {unit}"
