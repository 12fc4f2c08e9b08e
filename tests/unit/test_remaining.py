"""What a hold leaves: compared with a walk over days that shares nothing with the code, and pinned where it is delicate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest

from returnclock.calendars import CalendarBook, Peak
from returnclock.period import Period
from returnclock.policy import Policy, due_at
from returnclock.remaining import Dates, after_hold, extended, extended_until, layered

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
LISBON = "Europe/Lisbon"


def dates(policy: Policy, starts: datetime, zone: str, country: str = "DE", part: str | None = "BY", **more: object) -> Dates:
    calendar = CalendarBook(country, part, **more).default  # type: ignore[arg-type]
    reckoned = due_at(starts, policy, calendar, ZoneInfo(zone))
    return Dates(starts, reckoned.promised_at, reckoned.due_at, reckoned.last_day, policy, calendar, ZoneInfo(zone))


def local(text: str, zone: str = LISBON) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


# The walk: wall-clock time on the days that count, added up a day at a time.


def wall(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


def time_between(first: datetime, last: datetime, counts: Callable[[date], bool]) -> timedelta:
    """The wall-clock time between two wall times that falls on days that count."""
    total, day = timedelta(), first.date()
    while day <= last.date():
        begin, end = datetime.combine(day, time()), datetime.combine(day + DAY, time())
        if counts(day):
            total += max(timedelta(), min(end, last) - max(begin, first))
        day += DAY
    return total


def walked(one: Dates, held: datetime, until: datetime, counts: Callable[[date], bool]) -> datetime:
    """The first day that counts whose end, or whose communicated time of day, leaves at least what was left (wall time)."""
    promised, ends_with_day = wall(one.promised_at, one.zone), one.policy.ends == "end_of_day"
    left = time_between(wall(held, one.zone), promised, counts)
    day = wall(until, one.zone).date() - DAY
    while True:
        day += DAY
        if not counts(day):
            continue
        end = datetime.combine(day + DAY, time()) if ends_with_day else datetime.combine(day, promised.time())
        begun = wall(until, one.zone)
        if end > begun and time_between(begun, end, counts) >= left:
            return end


ZONES = ["Europe/Lisbon", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Europe/Berlin"]
POLICIES = [
    Policy(Period.parse("5 days")),
    Policy(Period.parse("15 days"), ends="end_of_day"),
    Policy(Period.parse("10 business days")),
    Policy(Period.parse("10 business days"), ends="end_of_day"),
    Policy(Period.parse("2 weeks"), ends="end_of_day"),
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: f"{policy.period} {policy.ends}")
def test_a_hold_leaves_what_an_independent_walk_over_days_leaves(policy: Policy) -> None:
    """Around weekends, holidays and clock changes; and never less, in wall time on the days that count, than was left."""
    random = Random(str(policy.period) + policy.ends)
    bavarian = holidays.country_holidays("DE", subdiv="BY", years=range(2025, 2029))
    business = policy.period.unit.value == "business day"

    def counts(day: date) -> bool:
        return not business or (day.weekday() < 5 and day not in bavarian)

    for _ in range(150):
        zone = random.choice(ZONES)
        starts = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(600 * 1440))
        one = dates(policy, starts, zone)
        held = starts + random.random() * (one.promised_at - starts)
        until = held + timedelta(minutes=random.choice([random.randrange(1, 3000), random.randrange(1, 60 * 1440)]))
        moved = after_hold(one, held, until).promised_at

        expected = walked(one, held, until, counts)
        shown = wall(moved, one.zone)
        # A wall time that the clock skips is told as the later one; nothing else may differ.
        assert shown == expected or timedelta() < shown - expected <= timedelta(hours=1), (zone, starts, held, until)
        assert moved >= one.promised_at


def test_elapsed_time_is_kept_to_the_microsecond_over_a_clock_change() -> None:
    one = dates(Policy(Period.parse("48 hours")), local("2026-03-27T10:00"), LISBON)
    held, until = local("2026-03-28T10:00"), local("2026-03-30T11:30") + timedelta(microseconds=7)

    assert after_hold(one, held, until).promised_at - until == one.promised_at - held


def test_business_days_stay_business_days_over_a_weekend_and_a_holiday() -> None:
    # Christmas 2026 is a Friday; in Bavaria the 26th is one too, and the 1st and the 6th of January.
    one = dates(Policy(Period.parse("3 business days")), local("2026-12-16T16:00"), LISBON)
    assert one.last_day == date(2026, 12, 21)
    moved = after_hold(one, local("2026-12-17T12:00"), local("2026-12-23T12:00"))

    assert moved.last_day == date(2026, 12, 28)  # two were left: the 24th, and the 28th
    assert moved.promised_at == local("2026-12-28T16:00")
    assert any("Christmas Day" in step for step in moved.steps)


@pytest.mark.parametrize(("seconds", "last_day"), [(-1, 7), (0, 7), (1, 8)])
def test_a_part_of_a_day_counts_as_one_only_when_it_is_later_in_the_day(seconds: int, last_day: int) -> None:
    one = dates(Policy(Period.parse("5 days")), local("2026-03-02T10:00"), LISBON)
    held = local("2026-03-04T12:00")
    moved = after_hold(one, held, held + seconds * SECOND)  # no more than the seconds

    assert moved.promised_at == local(f"2026-03-0{last_day}T10:00")


def test_days_on_which_nothing_counts_give_and_take_nothing() -> None:
    one = dates(Policy(Period.parse("1 business day")), local("2026-03-06T10:00"), LISBON)  # a Friday
    saturday, sunday = local("2026-03-07T08:00"), local("2026-03-08T20:00")

    assert after_hold(one, saturday, sunday).promised_at == one.promised_at == local("2026-03-09T10:00")


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_a_hold_at_the_very_end_leaves_what_was_left(seconds: int) -> None:
    one = dates(Policy(Period.parse("48 hours")), local("2026-03-02T10:00"), LISBON)
    held = one.due_at + seconds * SECOND
    moved = after_hold(one, held, held + 3 * DAY)

    assert moved.due_at == (one.due_at + 3 * DAY if seconds < 0 else one.due_at)


def test_what_is_left_of_the_grace_is_kept_and_the_communicated_date_stays() -> None:
    policy = Policy(Period.parse("5 days"), grace=Period.parse("2 business days"))
    one = dates(policy, local("2026-03-02T10:00"), LISBON)
    assert one.due_at == local("2026-03-10T10:00")  # from Saturday the 7th
    moved = after_hold(one, local("2026-03-09T09:00"), local("2026-03-13T09:00"))

    assert moved.promised_at == one.promised_at
    assert moved.due_at == local("2026-03-16T10:00")


def test_both_dates_move_when_it_is_held_before_the_communicated_one() -> None:
    policy = Policy(Period.parse("5 days"), ends="end_of_day", grace=Period.parse("1 business day"))
    one = dates(policy, local("2026-03-02T10:00"), LISBON)
    moved = after_hold(one, local("2026-03-03T09:00"), local("2026-03-05T09:00"))

    assert (moved.last_day, moved.promised_at) == (date(2026, 3, 9), local("2026-03-10T00:00"))
    assert moved.due_at == local("2026-03-11T00:00")


def test_a_last_day_is_rolled_again() -> None:
    policy = Policy(Period.parse("5 days"), ends="end_of_day", roll="next_business_day")
    one = dates(policy, local("2026-03-04T10:00"), LISBON)  # the fifth day is Monday the 9th
    moved = after_hold(one, local("2026-03-05T10:00"), local("2026-03-10T09:00"))  # the fourth is Saturday the 14th

    assert moved.last_day == date(2026, 3, 16)


def test_a_season_that_is_reached_only_because_of_the_hold_is_granted_once() -> None:
    peak = Peak("Singles' Day", "FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=11", 7, Period.parse("3 business days"))
    one = dates(Policy(Period.parse("3 business days")), local("2026-11-02T10:00"), LISBON, "US", None, peaks=[peak])
    assert one.last_day == date(2026, 11, 5)
    moved = after_hold(one, local("2026-11-03T10:00"), local("2026-11-09T10:00"))  # two left: the 10th, and the 12th
    assert moved.last_day == date(2026, 11, 17)  # the 11th is Veterans Day
    again = replace(one, promised_at=moved.promised_at, due_at=moved.due_at, last_day=moved.last_day)

    # One business day more for the one that it was held, and no second three.
    assert after_hold(again, local("2026-11-10T10:00"), local("2026-11-12T10:00")).last_day == date(2026, 11, 18)


def test_the_reminders_move_along() -> None:
    one = dates(replace(POLICIES[0], remind=(Period.parse("2 days"), Period.parse("1 day"))), local("2026-03-02T10:00"), LISBON)
    moved = after_hold(one, local("2026-03-03T10:00"), local("2026-03-13T10:00"))

    assert moved.reminders == (local("2026-03-15T10:00"), local("2026-03-16T10:00"))


def test_an_extension_counts_from_the_communicated_date_in_its_own_units() -> None:
    one = dates(Policy(Period.parse("3 business days")), local("2026-03-02T10:00"), LISBON)  # Thursday the 5th
    assert extended(one, Period.parse("2 business days")).promised_at == local("2026-03-09T10:00")
    assert extended(one, Period.parse("6 hours")).promised_at == local("2026-03-05T16:00")
    assert extended_until(one, local("2026-03-05T09:00")).promised_at == one.promised_at  # never earlier


def test_a_vacation_that_is_announced_while_it_runs_moves_only_the_days_to_come() -> None:
    one = dates(Policy(Period.parse("5 days")), local("2026-03-02T10:00"), LISBON)
    away = frozenset(date(2026, 3, day) for day in range(3, 6))

    def announced(now: str) -> datetime | None:
        later = layered(one.leaving_out(away, after=date.fromisoformat(now[:10])), local(now))
        return later and later.promised_at

    assert announced("2026-03-02T12:00") == local("2026-03-10T10:00")
    assert announced("2026-03-04T12:00") == local("2026-03-08T10:00")
    assert announced("2026-03-05T12:00") is None  # it keeps its date


def test_a_peak_season_that_is_reached_only_through_a_vacation_adds_its_days_all_the_same() -> None:
    peak = Peak("Spring", "FREQ=YEARLY;BYMONTH=3;BYMONTHDAY=10", 5, Period.parse("2 business days"))
    one = dates(Policy(Period.parse("3 business days")), local("2026-03-02T10:00"), LISBON, peaks=[peak])
    away = frozenset(date(2026, 3, day) for day in range(3, 10))
    stamped = due_at(one.starts, one.policy, one.calendar.layered(away), one.zone)

    later = layered(one.leaving_out(away, after=date(2026, 3, 2)), one.starts)
    assert later is not None and later.promised_at == stamped.promised_at


@pytest.mark.parametrize("roll", ["none", "next_business_day"])
def test_hours_that_end_with_a_day_end_as_if_they_were_counted_under_the_vacation(roll: Any) -> None:
    one = dates(Policy(Period.parse("48 hours"), ends="end_of_day", roll=roll), local("2026-03-02T10:00"), LISBON)
    away = frozenset(date(2026, 3, day) for day in range(3, 6))
    stamped = due_at(one.starts, one.policy, one.calendar.layered(away), one.zone)
    later = layered(one.leaving_out(away, after=date(2026, 3, 2)), one.starts)

    assert (later or one).promised_at == stamped.promised_at
    assert (later is None) == (roll == "none")


def test_hours_that_end_with_a_day_lose_no_day_of_a_vacation_to_a_hold() -> None:
    one = dates(Policy(Period.parse("48 hours"), ends="end_of_day"), local("2026-03-02T10:00"), LISBON)  # Wednesday the 4th
    under = replace(one, calendar=one.calendar.layered(frozenset({date(2026, 3, 3), date(2026, 3, 4)})))
    held, until = local("2026-03-02T12:00"), local("2026-03-05T12:00")

    assert after_hold(under, held, until).promised_at == after_hold(one, held, until).promised_at == local("2026-03-08T00:00")


def test_days_of_a_vacation_are_skipped_and_told() -> None:
    calendar = CalendarBook("DE", "BY").default.layered(frozenset({date(2026, 3, 4), date(2026, 3, 5)}))
    days = due_at(local("2026-03-02T10:00"), Policy(Period.parse("5 days")), calendar, ZoneInfo(LISBON))
    business = due_at(local("2026-03-02T10:00"), Policy(Period.parse("3 business days")), calendar, ZoneInfo(LISBON))

    assert (days.last_day, business.last_day) == (date(2026, 3, 9), date(2026, 3, 9))
    assert "Wed 4 Mar to Thu 5 Mar 2026 skipped: vacation of the seller." in days.steps
    assert "Wed 4 Mar to Thu 5 Mar 2026 skipped: vacation of the seller." in business.steps
