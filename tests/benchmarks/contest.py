"""Contenders measured in turns, A B A B, in one run on one machine; what is compared is medians, and ratios of neighbours."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Contender:
    """One way to do a work. ``run`` prepares, does it, checks what it did, and returns the seconds of the doing alone."""

    name: str
    rows: int
    run: Callable[[], float]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """What a contender reached: the rows of each turn, and the seconds of each."""

    name: str
    rows: int
    seconds: tuple[float, ...]
    settings: Mapping[str, Any]

    @property
    def rates(self) -> list[float]:
        """Rows a second, of each turn."""
        return [self.rows / seconds for seconds in self.seconds]

    @property
    def rate(self) -> float:
        """Rows a second: the median of the turns."""
        return median(self.rates)

    def times(self, other: Standing) -> float:
        """How many times as fast as the other: the median over the turns, each compared with its neighbour's."""
        return median(mine / theirs for mine, theirs in zip(self.rates, other.rates, strict=True))

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "seconds": [round(seconds, 6) for seconds in self.seconds],
            "rows_per_second": round(self.rate, 1),
            "settings": dict(self.settings),
        }


def contest(contenders: Sequence[Contender], rounds: int, say: Callable[[str], None]) -> dict[str, Standing]:
    """Let each take its turn, ``rounds`` times over."""
    gc.freeze()  # as a worker's processes do before their first task: what is loaded need not be looked through again and again
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(1, rounds + 1):
        for contender in contenders:
            seconds = contender.run()
            taken[contender.name].append(seconds)
            say(f"  {number}/{rounds} {contender.name}: {contender.rows:,} rows, {contender.rows / seconds:,.0f} a second")
    return {one.name: Standing(one.name, one.rows, tuple(taken[one.name]), one.settings) for one in contenders}
