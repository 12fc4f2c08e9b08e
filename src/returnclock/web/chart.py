"""The forecast as a chart: stacked bars, one a day, drawn as SVG by the server. Pure; imports forecast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log10

from returnclock.forecast import Day, Forecast

WIDTH, HEIGHT = 700, 190
_LEFT, _TOP, _BOTTOM = 44, 14, 34
_GAP = 0.28


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
    """The days of a forecast, and where everything stands in the drawing."""

    forecast: Forecast

    @property
    def kinds(self) -> list[str]:
        """The kinds of which anything falls due, in their own order: the number of a kind's colour is its place in it."""
        return [kind for kind in self.forecast.parties if any(kind in day.by_kind for day in self.forecast.days)]

    @property
    def top(self) -> int:
        """The number at the top of the scale: a round one."""
        highest = max((day.total for day in self.forecast.days), default=0)
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
        for number, day in enumerate(self.forecast.days):
            below = 0
            for shade, kind in enumerate(self.kinds):
                count = day.by_kind.get(kind, 0)
                if count:
                    y, under = self._y(below + count), self._y(below)
                    says = f"{day.day:%a %d %b}: {count} {kind.replace('_', ' ')}"
                    yield Block(self._x(number), y, self._step * (1 - _GAP), under - y, shade, says)
                below += count

    def days(self) -> Iterator[tuple[float, Day]]:
        """The middle of each day, and the day."""
        for number, day in enumerate(self.forecast.days):
            yield round(self._x(number) + self._step * (1 - _GAP) / 2, 1), day

    def y_of(self, day: Day) -> float:
        """The upper end of a day's bar."""
        return round(self._y(day.total), 1)

    @property
    def _step(self) -> float:
        return (WIDTH - _LEFT) / max(1, len(self.forecast.days))

    def _x(self, number: int) -> float:
        return _LEFT + self._step * (number + _GAP / 2)

    def _y(self, count: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * count / self.top
