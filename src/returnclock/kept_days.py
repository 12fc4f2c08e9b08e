"""The days that a kept deadline was counted over, as its calendar had them then, for whoever counts on from it. Pure.

A date is kept, and so are the days that made it: a closure or a holiday that is new or gone since moves it only by `restamp`,
and takes no day of what was left under a hold. Not a digest of all closures and holidays: it would tell that something has
changed, and not which of the days. Days that no date has reached yet are those of the calendar of the day they are counted on.
Imports policy and calendars.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from returnclock.calendars import Calendar
from returnclock.period import Unit
from returnclock.policy import Policy, Reckoning

COUNTED_DAYS = "counted_days"  # in a schedule
MOST = timedelta(days=731)  # of which days are kept; an extension until some later year need not keep all between
_REMEMBERED = 16_384


def counted_days(policy: Policy, calendar: Calendar, zone: ZoneInfo, start: datetime, ends: Reckoning) -> dict[str, Any]:
    """For ``schedule``: which of the days from the start to the end were business days, where the policy asks for any.

    Those that are not as in an ordinary week are named: a holiday from Monday to Friday, a Saturday that was worked.
    """
    if Unit.BUSINESS_DAY not in (policy.period.unit, policy.grace.unit) and policy.roll == "none":
        return {}
    after, effect = (moment.astimezone(zone).date() for moment in (start, ends.due_at))
    to = min(max(effect, ends.last_day), after + MOST, calendar.valid_until)
    odd = [day.isoformat() for day in sorted(_odd_days(calendar.below, after, to))]
    return {COUNTED_DAYS: {"after": after.isoformat(), "to": to.isoformat(), "odd": odd}}


def kept_away(schedule: Mapping[str, Any]) -> frozenset[date]:
    """The days of a seller's vacation that a deadline was counted under."""
    return frozenset(map(date.fromisoformat, schedule.get("away", ())))


def with_counted_days(calendar: Calendar, schedule: Mapping[str, Any]) -> Calendar:
    """The calendar, with the days that ``schedule`` keeps as they were counted. Deadlines of older versions keep none."""
    kept = schedule.get(COUNTED_DAYS)
    if kept is None:
        return calendar
    odd_then = frozenset(map(date.fromisoformat, kept["odd"]))
    odd_today = _odd_days(calendar, date.fromisoformat(kept["after"]), date.fromisoformat(kept["to"]))
    return calendar.turned(odd_then ^ odd_today)


@lru_cache(maxsize=_REMEMBERED)
def _odd_days(calendar: Calendar, after: date, to: date) -> frozenset[date]:
    known_to = min(to, calendar.valid_until)
    days = (after + timedelta(days=number) for number in range(1, (known_to - after).days + 1))
    return frozenset(day for day in days if (day.weekday() < 5) != calendar.is_business_day(day))
