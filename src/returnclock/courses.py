"""Counts the deadlines of many rows: what starts on one local day is counted once, and moved to each row's time of day.

Most rows of a batch share their policy, calendar, zone and day, and counting is most of what a stamp costs in Python. The
answers are those of ``policy.due_at``, to the letter: a day on which sharing could change one is counted row by row.
Pure; imports errors, policy, calendars and localtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import chain
from zoneinfo import ZoneInfo

from returnclock.calendars import Calendar
from returnclock.errors import BadPolicy
from returnclock.localtime import has_one_offset, say_at, say_local, say_time
from returnclock.policy import Policy, Reckoning, due_at, end_step, start_step

# Some 2 kB each: ten thousand are a year of start days for thirty pairs of policy and zone, and stay within 20 MB.
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, eq=False)  # by identity, which is quick to look up: it is asked about every row
class Ground:
    """What many rows are counted by: a policy, a calendar and a zone. Had from `ground`, one for the same three."""

    policy: Policy
    calendar: Calendar
    zone: ZoneInfo

    def reckon(self, starts: datetime) -> Reckoning:
        """The same as ``policy.due_at``, and as it raises; quicker where other starts of that day were reckoned before."""
        local = None if self.policy.period.unit.is_elapsed or starts.utcoffset() is None else starts.astimezone(self.zone)
        course = None if local is None else _course(local.date(), self)
        if local is None or course is None:
            return due_at(starts, self.policy, self.calendar, self.zone)
        return course.from_start(starts, local)


@lru_cache(maxsize=4096)
def ground(policy: Policy, calendar: Calendar, zone: ZoneInfo) -> Ground:
    """The ground of a policy, a calendar and a zone."""
    return Ground(policy, calendar, zone)


@dataclass(frozen=True, slots=True)
class _WithTheDay:
    """All starts of the day end at one instant: with the last day."""

    first: Reckoning
    shared: tuple[str, ...]

    def from_start(self, starts: datetime, local: datetime) -> Reckoning:
        first = self.first
        reminders = tuple([moment for moment in first.reminders if moment > starts])
        begins = start_step(say_local(local))
        return Reckoning(first.promised_at, first.due_at, first.last_day, reminders, (begins, *self.shared))


@dataclass(frozen=True, slots=True)
class _AtTheTime:
    """Each start of the day ends at its own time of day, the same elapsed time later; so do its reminders."""

    first: Reckoning
    shared: tuple[str, ...]
    lasts: timedelta
    reminded_after: tuple[timedelta, ...]

    def from_start(self, starts: datetime, local: datetime) -> Reckoning:
        starts = starts.astimezone(UTC)
        moment = starts + self.lasts
        last_day = self.first.last_day
        reminders = tuple([starts + after for after in self.reminded_after])
        clock, zone = say_time(local), local.tzinfo
        begins = start_step(say_at(local.date(), clock, zone))
        ends = end_step(say_at(last_day, clock, zone), moment)
        return Reckoning(moment, moment, last_day, reminders, (begins, *self.shared, ends))


@lru_cache(maxsize=_REMEMBERED)
def _course(day: date, of: Ground) -> _WithTheDay | _AtTheTime | None:
    """What all starts of a local day share, worked out from its first instant; None where they do not share enough."""
    policy, zone = of.policy, of.zone
    try:
        if not has_one_offset(day, zone):
            return None
        starts = datetime.combine(day, time(), zone).astimezone(UTC)
        first = due_at(starts, policy, of.calendar, zone)
        if policy.ends == "end_of_day":
            return _WithTheDay(first, first.steps[1:])
        moments = chain((first.promised_at,), first.reminders)
        if policy.grace.count or not all(has_one_offset(moment.astimezone(zone).date(), zone) for moment in moments):
            return None
    except (OverflowError, BadPolicy):  # due_at says it of the start itself
        return None
    reminded_after = tuple(moment - starts for moment in first.reminders)
    return _AtTheTime(first, first.steps[1:-1], first.promised_at - starts, reminded_after)
