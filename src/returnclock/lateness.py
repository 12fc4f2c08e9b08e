"""How late deadlines fired: fire minus due, in seconds, kept small however many there are. Imports nothing of ours.

Two forms of the same thing. A run tells its percentiles, from a sketch whose error is at most one percent and whose size
does not grow with the rows. The database keeps counts below fixed bounds, which can be added up over runs, workers and
months, as monitoring wants them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

# Seconds. A sweep comes every two seconds, so most are below that; the rest tells an hour's outage from a week's.
BOUNDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0, math.inf)

_STEP = math.log(1.02)  # neighbouring cells of the sketch lie two percent apart: what is told is one percent off at most
_SMALLEST = 0.001  # what is earlier than a millisecond after its due moment counts as that


@dataclass
class Lateness:
    """The lateness of many deadlines: how many, their sum, the greatest, and how they are spread."""

    count: int = 0
    sum_s: float = 0.0
    max_s: float = 0.0
    cells: Counter[int] = field(default_factory=Counter)
    below: Counter[float] = field(default_factory=Counter)

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Lateness:
        """Of these, in seconds."""
        late = sorted(seconds)
        cells = [math.floor(math.log(one if one > _SMALLEST else _SMALLEST) / _STEP) for one in late]
        up_to = [0, *(bisect_right(late, bound) for bound in BOUNDS)]
        below = {bound: there - here for bound, here, there in zip(BOUNDS, up_to, up_to[1:], strict=False) if there > here}
        return cls(len(late), math.fsum(late), max(late[-1:], default=0.0), Counter(cells), Counter(below))

    def add(self, other: Lateness) -> None:
        """Add what another batch found."""
        self.count += other.count
        self.sum_s += other.sum_s
        self.max_s = max(self.max_s, other.max_s)
        self.cells.update(other.cells)
        self.below.update(other.below)

    def quantile(self, share: float) -> float:
        """The lateness in seconds that so large a share (0 to 1) did not exceed; 0 when there are none."""
        wanted, seen = share * self.count, 0
        for cell, number in sorted(self.cells.items()):
            seen += number
            if seen >= wanted:
                return min(math.exp((cell + 0.5) * _STEP), self.max_s)
        return 0.0

    def as_json(self) -> dict[str, float]:
        """What a run's result tells: p50, p99 and max, in seconds."""
        return {
            "p50": round(self.quantile(0.5), 3),
            "p99": round(self.quantile(0.99), 3),
            "max": round(self.max_s, 6),
        }


@dataclass(frozen=True)
class Histogram:
    """What Prometheus calls a histogram.

    bounds: the upper bounds in seconds, growing; the last is infinity.
    cumulative: how many were late by no more than the bound beside it; the last is `count`.
    sum_s: all latenesses added up, in seconds.
    """

    bounds: tuple[float, ...]
    cumulative: tuple[int, ...]
    sum_s: float

    @property
    def count(self) -> int:
        """How many there are in all."""
        return self.cumulative[-1]
