"""Peak seasons: yearly stretches, such as Singles' Day, in which the market grants more business days.

A season is a recurrence rule and a length. Rooms take Peak from ``calendars``. Imports errors and period.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from dateutil.rrule import rrule, rrulestr

from returnclock.errors import BadPeak
from returnclock.period import Period, Unit

# A rule needs some first day to recur from. None of the parts that are allowed depends on which day this is.
_RECURS_FROM = datetime.combine(date(1970, 1, 1), time.min)
_FREQUENCIES = frozenset({"YEARLY", "MONTHLY"})
_NAMES_DAYS = frozenset({"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYEASTER"})
_ALLOWED = _NAMES_DAYS | {"FREQ", "BYMONTH", "BYSETPOS", "WKST", "UNTIL"}


@dataclass(frozen=True)
class Peak:
    """A peak season. Raises BadPeak when it cannot be understood or never occurs.

    name: what people call it. rule: an RFC 5545 RRULE, yearly or monthly, that names the first day of each season.
    days: the length of a season in calendar days. adds: what each season adds to a period, in business days.
    """

    name: str
    rule: str
    days: int
    adds: Period
    _recurrence: rrule = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise BadPeak(name=self.name, reason="it has no name")
        if isinstance(self.days, bool) or not isinstance(self.days, int) or not 1 <= self.days <= 366:
            raise BadPeak(name=self.name, reason=f"days is {self.days!r}, and a season lasts 1 to 366 days")
        if self.adds.unit is not Unit.BUSINESS_DAY or self.adds.count == 0:
            raise BadPeak(name=self.name, reason=f'it adds "{self.adds}"; write such as "3 business days"')
        object.__setattr__(self, "_recurrence", self._compiled())

    def _compiled(self) -> rrule:
        self._check_parts()
        try:
            recurrence = rrulestr(self.rule, dtstart=_RECURS_FROM)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            # dateutil raises whatever its parser stumbles over.
            reason = f'the rule "{self.rule}" is not an RFC 5545 RRULE ({error})'
            raise BadPeak(name=self.name, reason=reason) from error
        if not isinstance(recurrence, rrule):
            raise BadPeak(name=self.name, reason=f'the rule "{self.rule}" must be a single RRULE on one line')
        if recurrence.after(_RECURS_FROM, inc=True) is None:
            raise BadPeak(name=self.name, reason=f'the rule "{self.rule}" names a day that never occurs')
        return recurrence

    def _check_parts(self) -> None:
        """Refuse what dateutil would accept but fill in from a first day that a peak does not have."""
        written = self.rule.strip().upper().removeprefix("RRULE:")
        parts = dict(part.partition("=")[::2] for part in written.split(";"))
        if parts.get("FREQ") not in _FREQUENCIES:
            raise BadPeak(name=self.name, reason=f'the rule "{self.rule}" must say FREQ=YEARLY or FREQ=MONTHLY')
        if other := sorted(parts.keys() - _ALLOWED):
            raise BadPeak(name=self.name, reason=f"a rule for peak seasons cannot use {', '.join(other)}")
        if not parts.keys() & _NAMES_DAYS:
            raise BadPeak(name=self.name, reason=f'the rule "{self.rule}" names no day; add BYMONTHDAY or BYDAY')

    def seasons(self, first: date, last: date) -> list[tuple[date, date]]:
        """The seasons, as first and last day, that share a day with the days from ``first`` to ``last``."""
        length = timedelta(days=self.days - 1)
        years = range(max(first.year - 1, 1), last.year + 1)
        begins = (begin for year in years for begin in _begins(self, year))
        return [(begin, begin + length) for begin in begins if begin <= last and begin + length >= first]


@lru_cache(maxsize=4096)
def _begins(peak: Peak, year: int) -> tuple[date, ...]:
    # Cached because dateutil walks from 1970 each time.
    first, last = datetime.combine(date(year, 1, 1), time.min), datetime.combine(date(year, 12, 31), time.max)
    return tuple(moment.date() for moment in peak._recurrence.between(first, last, inc=True))
