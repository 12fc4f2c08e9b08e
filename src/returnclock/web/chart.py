"""The forecast as a chart: stacked bars, one a day, drawn as SVG by the server. Pure; imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from math import ceil, log10

WIDTH, HEIGHT = 700, 190
_LEFT, _TOP, _BOTTOM = 44, 14, 34
_GAP = 0.28


@dataclass(frozen=True)
class Bar:
    """One day: how many deadlines of each kind fall due. ``closed``: why it is no business day, or None."""

    day: date
    counts: dict[str, int]
    closed: str | None

    @property
    def total(self) -> int:
        """All kinds together."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class Block:
    """One rectangle of the drawing, in its units; ``shade`` is the number of its kind's colour."""

    x: float
    y: float
    width: float
    height: float
    shade: int
    says: str


@dataclass(frozen=True)
class Chart:
    """The days that are shown, and where everything stands in the drawing."""

    bars: list[Bar]

    @property
    def kinds(self) -> list[str]:
        """The kinds of which anything falls due, in their own order: the number of a kind's colour is its place in it."""
        return [kind for kind in (self.bars[0].counts if self.bars else ()) if any(bar.counts[kind] for bar in self.bars)]

    @property
    def top(self) -> int:
        """The number at the top of the scale: a round one."""
        highest = max((bar.total for bar in self.bars), default=0)
        if highest <= 4:
            return 4
        unit = 10 ** int(log10(highest))
        return next(int(step * unit) for step in (1, 2, 4, 5, 8, 10) if step * unit >= highest)

    def lines(self) -> Iterator[tuple[float, int]]:
        """The horizontal lines: height and number."""
        for quarter in (0, 0.5, 1):
            yield round(self._y(self.top * quarter), 1), ceil(self.top * quarter)

    def blocks(self) -> Iterator[Block]:
        """The rectangles of all days, from the bottom up."""
        for number, bar in enumerate(self.bars):
            below = 0
            for shade, kind in enumerate(self.kinds):
                count = bar.counts[kind]
                if count:
                    y, under = self._y(below + count), self._y(below)
                    says = f"{bar.day:%a %d %b}: {count} {kind.replace('_', ' ')}"
                    yield Block(self._x(number), y, self._step * (1 - _GAP), under - y, shade, says)
                below += count

    def days(self) -> Iterator[tuple[float, Bar]]:
        """The middle of each day, and the day."""
        for number, bar in enumerate(self.bars):
            yield round(self._x(number) + self._step * (1 - _GAP) / 2, 1), bar

    def y_of(self, bar: Bar) -> float:
        """The upper end of a day's bar."""
        return round(self._y(bar.total), 1)

    @property
    def _step(self) -> float:
        return (WIDTH - _LEFT) / max(1, len(self.bars))

    def _x(self, number: int) -> float:
        return _LEFT + self._step * (number + _GAP / 2)

    def _y(self, count: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * count / self.top
