"""Periods: a count and its unit, as a person writes them ("10 business days").

Units are never converted into one another: 48 hours are not 2 days when a clock change lies between, and one business
day is not 24 business hours. Pure; imports only errors, and anyone may come in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from returnclock.errors import BadPeriod


class Unit(StrEnum):
    """What a period counts. Seconds, minutes and hours are elapsed time; the others are days of a local calendar."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    BUSINESS_DAY = "business day"
    WEEK = "week"
    MONTH = "month"

    @property
    def is_elapsed(self) -> bool:
        """True for units of elapsed time, which no calendar and no clock change alters."""
        return self in _ELAPSED


_ELAPSED = {Unit.SECOND: timedelta(seconds=1), Unit.MINUTE: timedelta(minutes=1), Unit.HOUR: timedelta(hours=1)}

# Days are 86,400 s here and months 31 days: enough to sort reminders and to refuse a century, never to reckon a date.
_ROUGH_SECONDS = {
    Unit.SECOND: 1,
    Unit.MINUTE: 60,
    Unit.HOUR: 3_600,
    Unit.DAY: 86_400,
    Unit.BUSINESS_DAY: 86_400 * 7 // 5,
    Unit.WEEK: 604_800,
    Unit.MONTH: 2_678_400,
}
_LONGEST = 100 * 366 * 86_400

# Ten digits: Python refuses to read integers of thousands of digits, and no period needs them.
_WRITTEN = re.compile(r"([0-9]{1,10}) (second|minute|hour|day|business day|week|month)s?")


@dataclass(frozen=True, slots=True)
class Period:
    """A length of time in one unit: a whole number from zero up to about 100 years.

    Raises BadPeriod when the count is negative, not a whole number, or longer than that.
    """

    count: int
    unit: Unit

    def __post_init__(self) -> None:
        whole = isinstance(self.count, int) and not isinstance(self.count, bool)
        if not whole or not isinstance(self.unit, Unit) or self.count < 0 or self.rough_seconds > _LONGEST:
            raise BadPeriod(text=f"{self.count} {self.unit}")

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read "48 hours", "1 day" or "10 business days"; spaces and capitals do not matter. Raises BadPeriod."""
        found = _WRITTEN.fullmatch(" ".join(text.lower().split())) if isinstance(text, str) else None
        if found is None:
            raise BadPeriod(text=text)
        try:
            return cls(int(found[1]), Unit(found[2]))
        except BadPeriod:
            # The operator must recognise what they wrote, not our reading of it.
            raise BadPeriod(text=text) from None

    def elapsed(self) -> timedelta:
        """The elapsed time of a period in seconds, minutes or hours. KeyError for others, whose length varies."""
        return self.count * _ELAPSED[self.unit]

    @property
    def rough_seconds(self) -> int:
        """About how many seconds, for putting periods in order. Never for reckoning a date."""
        return self.count * _ROUGH_SECONDS[self.unit]

    def __str__(self) -> str:
        return f"{self.count} {self.unit.value}" if self.count == 1 else f"{self.count} {self.unit.value}s"
