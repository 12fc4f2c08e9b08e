"""Counting local days, forwards to a last day and backwards to a reminder, and telling each step in words.

The day of the event is never counted (EU 1182/71 art. 3(1); FRCP 6(a)(1)). Answers are cached by start day, because the
rows of one day share them. Pure; imports errors, period, calendars and localtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import groupby
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from returnclock.calendars import VACATION, WEEKDAYS, Calendar, Peak
from returnclock.errors import BadPolicy
from returnclock.localtime import days_left_out, existing_day, say_day, say_day_of_year, say_days
from returnclock.period import Period, Unit

# One row's words are some 1 kB: a year of start days for some forty pairs of policy and zone stay within 16 MB.
_REMEMBERED = 16_384
_ONE_DAY = timedelta(days=1)
_MOST_SEASONS = 100
_MOST_SENTENCES = 60


@dataclass(frozen=True, slots=True)
class DayCount:
    """Where a count of local days ends, and the sentences that say how it got there."""

    last_day: date
    steps: tuple[str, ...]


@lru_cache(maxsize=_REMEMBERED)
def count_days(start: date, period: Period, calendar: Calendar, zone: ZoneInfo, peaks: bool = True) -> DayCount:
    """The last day of a period in days, business days, weeks or months that starts on a local day.

    ``peaks``: whether peak seasons lengthen a period in business days. Raises OverflowError past the year 9999, and
    BadPolicy where the calendar does not know the holidays.
    """
    if period.unit is Unit.BUSINESS_DAY:
        return _business_days(start, period, calendar, zone, peaks)
    if period.unit is Unit.MONTH:
        return _past_vacation(start, _months(start, period, zone), calendar, zone)
    days = timedelta(days=period.count * (7 if period.unit is Unit.WEEK else 1))
    last_day, left_out = _past_days_left_out(start, start + days, zone)
    counted = DayCount(last_day, (*left_out, f"{period} after {say_day(start)} is {say_day(last_day)}."))
    return _past_vacation(start, counted, calendar, zone)


def counts(day: date, unit: Unit, calendar: Calendar, zone: ZoneInfo) -> bool:
    """Whether a local day is one of those that a period in business days, or in days, counts."""
    there = existing_day(day, zone) and day not in calendar.away
    return there and (unit is not Unit.BUSINESS_DAY or calendar.is_business_day(day))


@lru_cache(maxsize=_REMEMBERED)
def count_back(start: date, period: Period, calendar: Calendar, zone: ZoneInfo) -> date:
    """The local day that lies a period in days, business days, weeks or months before a day.

    Raises OverflowError before the year 1, and BadPolicy where the calendar does not know the holidays.
    """
    if period.unit is Unit.MONTH:
        return _shifted(start, -period.count)
    left = period.count * (7 if period.unit is Unit.WEEK else 1)
    day = start
    while left:
        day -= _ONE_DAY
        left -= existing_day(day, zone) and (period.unit is not Unit.BUSINESS_DAY or calendar.is_business_day(day))
    return day


@lru_cache(maxsize=_REMEMBERED)
def rolled(day: date, calendar: Calendar, zone: ZoneInfo) -> DayCount:
    """The day itself if it is a business day, else the next one (EU 1182/71 art. 3(4))."""
    moved = day
    while not existing_day(moved, zone) or not calendar.is_business_day(moved):
        moved += _ONE_DAY
    if moved == day:
        return DayCount(day, ())
    why = f"{say_day(day)} is no business day ({calendar.why_not(day)})"
    return DayCount(moved, (f"{why}: moved to the next one, {say_day(moved)} (EU 1182/71 art. 3(4)).",))


def _past_days_left_out(start: date, last_day: date, zone: ZoneInfo) -> tuple[date, list[str]]:
    """Move a last day on by one for each day of the count that never existed."""
    steps = []
    # A day more, because moving on may reach the next such day; no zone ever left out two in a row.
    for day in days_left_out(start, min(last_day, date.max - _ONE_DAY) + _ONE_DAY, zone):
        if day <= last_day:
            last_day += _ONE_DAY
            steps.append(_skipped(day, day, _never_existed(zone)))
    return last_day, steps


def _past_vacation(start: date, counted: DayCount, calendar: Calendar, zone: ZoneInfo) -> DayCount:
    """Move a last day on by one for each day of the count on which the seller was away."""
    if not calendar.away:
        return counted
    last_day, away, day = counted.last_day, [], start
    while day < last_day:
        day += _ONE_DAY
        if day in calendar.away or (day > counted.last_day and not existing_day(day, zone)):
            last_day += _ONE_DAY
            away.append(day)
    if not away:
        return counted
    runs = groupby(away, key=lambda skipped: skipped.toordinal() - away.index(skipped))
    told = [_skipped(days[0], days[-1], VACATION) for days in (list(run) for _, run in runs)]
    return DayCount(last_day, (*counted.steps, *told, f"That makes {say_day(last_day)} the last day."))


def _months(start: date, period: Period, zone: ZoneInfo) -> DayCount:
    last_day = _shifted(start, period.count)
    sentence = f"{period} after {say_day(start)} is {say_day(last_day)}."
    if last_day.day != start.day:
        sentence = f"{sentence[:-1]}, the last day of that month (EU 1182/71 art. 3(2)(c))."
    if existing_day(last_day, zone):
        return DayCount(last_day, (sentence,))
    return DayCount(last_day + _ONE_DAY, (sentence, _skipped(last_day, last_day, _never_existed(zone))))


def _shifted(day: date, months: int) -> date:
    try:
        return day + relativedelta(months=months)
    except ValueError as error:
        # relativedelta reports a year out of range as a ValueError, timedelta as the OverflowError that it is.
        raise OverflowError(str(error)) from error


def _business_days(start: date, period: Period, calendar: Calendar, zone: ZoneInfo, peaks: bool) -> DayCount:
    wanted, walked = period.count, _Walk(start, calendar, zone)
    walked.until(wanted)
    added: list[tuple[Peak, date, date]] = []
    # A season that is reached lengthens the count, which may reach another season.
    while peaks and (new := _new_seasons(start, walked.day, calendar, added)):
        added += new
        if len(added) > _MOST_SEASONS:
            raise BadPolicy(
                where=f'The peak season "{new[0][0].name}"', reason="each season adds days up to the next, without end"
            )
        wanted += sum(peak.adds.count for peak, _, _ in new)
        walked.until(wanted)
    seasons = [
        f"{peak.name} ({say_day_of_year(first)} to {say_day_of_year(last)}) adds {peak.adds}." for peak, first, last in added
    ]
    return DayCount(walked.day, (*seasons, *_shortened(list(_told(walked.days, wanted)), walked, wanted)))


def _new_seasons(
    start: date, last: date, calendar: Calendar, known: list[tuple[Peak, date, date]]
) -> list[tuple[Peak, date, date]]:
    if last == start:
        return []
    return [season for season in calendar.seasons(start + _ONE_DAY, last) if season not in known]


class _Walk:
    """A walk over local days that counts the business days and notes why each other day is none."""

    def __init__(self, start: date, calendar: Calendar, zone: ZoneInfo) -> None:
        self.day, self._calendar, self._zone = start, calendar, zone
        self.days: list[tuple[date, str | None]] = []
        self._counted = 0

    def until(self, wanted: int) -> None:
        while self._counted < wanted:
            self.day += _ONE_DAY
            exists = existing_day(self.day, self._zone)
            reason = self._calendar.why_not(self.day) if exists else _never_existed(self._zone)
            self.days.append((self.day, reason))
            self._counted += reason is None


def _told(days: Iterable[tuple[date, str | None]], wanted: int) -> Iterator[str]:
    """A sentence for each run of days that are counted, or skipped for one reason; a weekend is one run."""
    counted = 0
    for reason, run in groupby(days, key=lambda entry: "weekend" if entry[1] in WEEKDAYS else entry[1]):
        entries = list(run)
        (first, its_reason), (last, _) = entries[0], entries[-1]
        if its_reason is not None:
            yield _skipped(first, last, its_reason if first == last else str(reason))
        elif first == last:
            yield f"{say_day(first)} is business day {counted + 1} of {wanted}."
        else:
            yield f"{say_days(first, last)} are business days {counted + 1} to {counted + len(entries)} of {wanted}."
        counted += len(entries) if reason is None else 0


def _shortened(sentences: list[str], walked: _Walk, wanted: int) -> list[str]:
    """Years of weekends help nobody: a long count keeps its beginning, its sums and its end."""
    if len(sentences) <= _MOST_SENTENCES:
        return sentences
    skipped = len(walked.days) - wanted
    sums = f"In all, {wanted} business days are counted and {skipped} days skipped; not each is told here."
    return [*sentences[: _MOST_SENTENCES // 2], sums, *sentences[-_MOST_SENTENCES // 2 :]]


def _skipped(first: date, last: date, reason: str) -> str:
    return f"{say_day(first) if first == last else say_days(first, last)} skipped: {reason}."


def _never_existed(zone: ZoneInfo) -> str:
    return f"this date never existed in {zone}"
