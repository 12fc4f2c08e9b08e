"""How an intervention moves the dates of a deadline: what was left is kept in the units of its policy. Pure.

A deadline in days or business days keeps whole days and its time of day: as many counted days follow the day on which it
runs again as followed the day on which it was held, and one more where it runs again at a later time of day than it was
held, because a part of a day cannot be given back otherwise without a new time of day. Nobody gets less than was left, and
nobody gets a whole counted day more. Elapsed time is kept to the microsecond. Imports policy, daycount and calendars.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from returnclock.calendars import Calendar, Peak
from returnclock.daycount import count_days, counts, rolled
from returnclock.errors import BadPolicy
from returnclock.localtime import end_of_local_day, later_instant, say_day, say_day_of_year, say_local, say_utc
from returnclock.period import Period, Unit
from returnclock.policy import Policy, Reckoning, due_at, reckon_from_promise

_ONE_DAY = timedelta(days=1)
_OVER = time.max  # a day that is not counted is over before it begins: it gives and takes nothing


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of a deadline as they stand, and what they are counted by.

    starts: from when they were counted. calendar: by which they were counted. spared: whether amnesty has moved ``due_at``
    beyond the policy's grace. away: days of a seller's vacation that what is counted from now on leaves out as well.
    """

    starts: datetime
    promised_at: datetime
    due_at: datetime
    last_day: date
    policy: Policy
    calendar: Calendar
    zone: ZoneInfo
    spared: bool = False
    away: frozenset[date] = frozenset()

    @property
    def ahead(self) -> Calendar:
        """The calendar for what is counted from now on. What has been counted was not counted by it."""
        return self.calendar.layered(self.away)

    @property
    def heedless(self) -> Dates:
        """The same dates for what no vacation stops: hours, also where they end with a day and are then counted in days."""
        return replace(self, calendar=self.calendar.below, away=frozenset())

    def leaving_out(self, away: Collection[date], after: date) -> Dates:
        """The same dates; of a vacation, the days after a day are left out of what is counted from that day on."""
        return replace(self, away=frozenset(day for day in away if day > after))

    @property
    def unit(self) -> Unit:
        """The days that this deadline is counted in once it runs; elapsed units only where it ends at their end."""
        period = self.policy.period.unit
        if period is Unit.BUSINESS_DAY or (period.is_elapsed and self.policy.ends == "same_time"):
            return period
        return Unit.DAY

    @property
    def ends_with_day(self) -> bool:
        """Whether the communicated moment is the end of the last day, and not one that was set by hand."""
        return self.policy.ends == "end_of_day" and self.promised_at == end_of_local_day(self.last_day, self.zone)

    def moved(self, reckoned: Reckoning) -> Dates:
        """The dates once they are moved; what was left out on the way there stays left out."""
        to = {"promised_at": reckoned.promised_at, "due_at": reckoned.due_at, "last_day": reckoned.last_day}
        return replace(self, **to, calendar=self.ahead, away=frozenset())  # type: ignore[arg-type]

    def day_of(self, moment: datetime) -> date:
        """The local day of a moment."""
        return moment.astimezone(self.zone).date()

    def day_before(self, moment: datetime) -> date:
        """The last local day that was over at a moment."""
        return self.day_of(moment) - _ONE_DAY

    def day_before_end(self, moment: datetime) -> date:
        """The local day of a moment; of a midnight, which is the end of a day, the day that it ends."""
        return self.day_of(moment - timedelta(microseconds=1))


def after_hold(dates: Dates, held: datetime, until: datetime) -> Reckoning:
    """The dates of a deadline that stood still from ``held`` to ``until``, with the steps that led there.

    Never before what was communicated. A hold that began when the time had run out gives nothing back.
    """
    span = f"Held from {_local(held, dates)} to {_local(until, dates)}."
    if held >= dates.due_at:
        return _kept(dates, (span, "Nothing was left when it was held: it takes effect as soon as it runs again."))
    if held >= dates.promised_at:
        due, steps = _grace_after_hold(dates, held, until)
        due = max(due, dates.due_at)
        effect = f"Takes effect {_local(due, dates)}, {say_utc(due)}."
        told = (span, "The communicated date had passed; what was left of the grace is kept.", *steps, effect)
        return replace(_kept(dates, told), due_at=due)
    if dates.unit.is_elapsed:
        left = dates.promised_at - held
        return _to(dates, until + left, (span, f"{left} of elapsed time were left, and still are."))
    counted = dates.heedless if dates.policy.period.unit.is_elapsed else dates
    day, steps = _day_after(counted, dates.last_day, dates.unit, held, until)
    return _on_day(dates, day, (span, *steps))


def extended(dates: Dates, period: Period) -> Reckoning:
    """The dates of a deadline that was given a further period from its communicated date on."""
    said = f"Extended by {period} from {_local(dates.promised_at, dates)}."
    if period.unit.is_elapsed:
        return _to(dates, dates.promised_at + period.elapsed(), (said,))
    count = count_days(dates.last_day, period, dates.ahead, dates.zone, peaks=False)
    return _on_day(dates, count.last_day, (said, *count.steps))


def extended_until(dates: Dates, moment: datetime) -> Reckoning:
    """The dates of a deadline whose communicated date was set to a later moment by hand."""
    return _to(dates, moment, ("Its date was set by hand.",))


def layered(dates: Dates, announced: datetime) -> Reckoning | None:
    """The later dates of a deadline whose seller has announced a vacation: its days are skipped, also those that are past.

    announced: when, or a later moment from which on the deadline is counted; no day up to then is left out.

    Returns:
        None where it keeps its date: no such day falls into it, or the new date would lie past what calendars know.
    """
    try:
        return _layered(dates, announced)
    except (BadPolicy, OverflowError):
        return None


def _layered(dates: Dates, announced: datetime) -> Reckoning | None:
    if not dates.away or announced >= dates.promised_at:
        return None
    if dates.policy.period.unit.is_elapsed:
        return _rolled_off(dates)
    today = dates.day_of(announced)
    left = sum(counts(day, dates.unit, dates.calendar, dates.zone) for day in _days(today, dates.last_day))
    wanted, seasons = _with_seasons(dates, dates.unit, today, left)
    count = count_days(today, Period(wanted, dates.unit), dates.ahead, dates.zone, peaks=False)
    if count.last_day <= dates.last_day:
        return None
    said = f"The seller has announced a vacation; of the days that count, {left} were still to come after {say_day(today)}."
    reckoned = _on_day(dates, count.last_day, (said, *seasons, *count.steps))
    return reckoned if reckoned.promised_at > dates.promised_at else None


def _rolled_off(dates: Dates) -> Reckoning | None:
    """Hours skip no vacation; only a last day that is rolled does not stay on a day of one."""
    if dates.policy.roll == "none" or dates.ahead.is_business_day(dates.last_day):
        return None
    return _on_day(dates, dates.last_day, ("The seller has announced a vacation.",))


def rearmed(dates: Dates, fair: Period, now: datetime) -> Reckoning:
    """The dates of a deadline that had fired and runs again: a fair time from now on, never before what was communicated."""
    policy = dates.policy
    # A period in hours that ends by the hour is not moved to a business day, though the policy's own days are.
    roll = "none" if fair.unit.is_elapsed and policy.ends == "same_time" else policy.roll
    try:
        reckoned = due_at(now, replace(policy, period=fair, roll=roll), dates.ahead, dates.zone)
    except BadPolicy:  # past what calendars know
        reckoned = due_at(now, Policy(fair, remind=policy.remind), dates.ahead, dates.zone)
    said = "It was undone and is counted anew from then."
    if reckoned.promised_at < dates.promised_at:  # it had been fired by hand, or an amnesty ran
        later = f"That would be before the date that was communicated, {_local(dates.promised_at, dates)}, which stays."
        return _kept(dates, (said, *reckoned.steps, later))
    return replace(reckoned, due_at=max(reckoned.due_at, dates.due_at), steps=(said, *reckoned.steps))


def _day_after(dates: Dates, last_day: date, unit: Unit, held: datetime, until: datetime) -> tuple[date, list[str]]:
    """The last day after a hold, and why."""
    held_day, held_at = _place(dates, held, unit, dates.calendar)
    day, at = _place(dates, until, unit, dates.ahead)
    left = sum(counts(one, unit, dates.calendar, dates.zone) for one in _days(held_day, last_day))
    steps = [f"{_many(left, unit)} followed the day on which it was held, and as many follow the day on which it runs again."]
    if at > held_at:
        left += 1
        steps.append("It runs again later in the day than it was held: one more, so that no part of a day is lost.")
    wanted, seasons = _with_seasons(dates, unit, day, left)
    count = count_days(day, Period(wanted, unit), dates.ahead, dates.zone, peaks=False)
    return count.last_day, [*steps, *seasons, *count.steps]


def _place(dates: Dates, moment: datetime, unit: Unit, calendar: Calendar) -> tuple[date, time]:
    """The local day and its time of day; midnight is the end of the day before, and a day that is not counted is over."""
    local = moment.astimezone(dates.zone)
    if local.time() == time.min:
        return local.date() - _ONE_DAY, _OVER
    return local.date(), local.time() if counts(local.date(), unit, calendar, dates.zone) else _OVER


def _with_seasons(dates: Dates, unit: Unit, start: date, wanted: int) -> tuple[int, list[str]]:
    """Lengthen what is left by the peak seasons that it reaches only because it was moved."""
    steps: list[str] = []
    if unit is not Unit.BUSINESS_DAY:
        return wanted, steps
    known = _seasons(dates, dates.day_of(dates.starts), dates.last_day)
    while True:
        last_day = count_days(start, Period(wanted, unit), dates.ahead, dates.zone, peaks=False).last_day
        new = [season for season in _seasons(dates, start, last_day) if season not in known]
        if not new:
            return wanted, steps
        known += new
        wanted += sum(peak.adds.count for peak, _, _ in new)
        steps += [
            f"{p.name} ({say_day_of_year(a)} to {say_day_of_year(b)}) is now reached and adds {p.adds}." for p, a, b in new
        ]


def _seasons(dates: Dates, start: date, last_day: date) -> list[tuple[Peak, date, date]]:
    return dates.calendar.seasons(start + _ONE_DAY, last_day) if start < last_day else []


def _grace_after_hold(dates: Dates, held: datetime, until: datetime) -> tuple[datetime, list[str]]:
    unit = dates.policy.grace.unit
    if dates.spared or unit.is_elapsed or not dates.policy.grace.count:
        return until + (dates.due_at - held), []
    unit = unit if unit is Unit.BUSINESS_DAY else Unit.DAY
    ends_with_day = dates.policy.ends == "end_of_day"
    wall = (dates.due_at - timedelta(microseconds=ends_with_day)).astimezone(dates.zone)
    day, steps = _day_after(dates, wall.date(), unit, held, until)
    if ends_with_day:
        return end_of_local_day(day, dates.zone), steps
    return later_instant(datetime.combine(day, wall.time()), dates.zone), steps


def _on_day(dates: Dates, day: date, steps: Sequence[str]) -> Reckoning:
    """End on a local day as before: with the day, or at the communicated time of day."""
    steps = list(steps)
    if dates.policy.roll == "next_business_day":
        moved = rolled(day, dates.ahead, dates.zone)
        day = moved.last_day
        steps += moved.steps
    if dates.ends_with_day:
        return _to(dates, end_of_local_day(day, dates.zone), steps, day)
    wall = dates.promised_at.astimezone(dates.zone).time()
    return _to(dates, later_instant(datetime.combine(day, wall), dates.zone), steps, day)


def _to(dates: Dates, promised_at: datetime, steps: Sequence[str], last_day: date | None = None) -> Reckoning:
    promised_at = max(promised_at, dates.promised_at).astimezone(UTC)
    # Of a deadline that ends with a day, the midnight after it is no part of the next one.
    last = promised_at - timedelta(microseconds=dates.policy.ends == "end_of_day")
    last_day = max(last_day or dates.day_of(last), dates.last_day)
    reckoned = reckon_from_promise(dates.starts, promised_at, last_day, dates.policy, dates.ahead, dates.zone)
    said = f"Now due {_local(promised_at, dates)}, {say_utc(promised_at)}."
    return replace(reckoned, due_at=max(reckoned.due_at, dates.due_at), steps=(*steps, said, *reckoned.steps))


def _kept(dates: Dates, steps: tuple[str, ...]) -> Reckoning:
    """The dates as they were."""
    reckoned = reckon_from_promise(dates.starts, dates.promised_at, dates.last_day, dates.policy, dates.ahead, dates.zone)
    return replace(reckoned, due_at=dates.due_at, steps=steps)


def _days(after: date, last: date) -> Sequence[date]:
    return [after + _ONE_DAY * number for number in range(1, (last - after).days + 1)]


def _many(count: int, unit: Unit) -> str:
    return f"{count} {unit.value}{'' if count == 1 else 's'}"


def _local(moment: datetime, dates: Dates) -> str:
    return say_local(moment.astimezone(dates.zone))
