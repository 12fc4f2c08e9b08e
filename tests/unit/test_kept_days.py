"""The days that a date was counted over, and a calendar that has them as they were."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from returnclock.calendars import Calendar, CalendarBook
from returnclock.kept_days import counted_days, with_counted_days
from returnclock.period import Period
from returnclock.policy import Policy, Reckoning

BUSINESS = Policy(Period.parse("5 business days"))
NEW_YEAR = date(2026, 12, 31), date(2027, 1, 8)


def counted(policy: Policy, calendar: Calendar, after: date, to: date) -> dict[str, Any]:
    """What is kept of a deadline that was counted from noon of one day to noon of another."""
    start, end = (datetime.combine(day, time(12), UTC) for day in (after, to))
    return counted_days(policy, calendar, ZoneInfo("UTC"), start, Reckoning(end, end, to, (), ()))


def test_the_odd_days_alone_are_kept() -> None:
    german = CalendarBook("DE", "BY").default
    kept = counted(BUSINESS, german, *NEW_YEAR)["counted_days"]
    assert kept == {"after": "2026-12-31", "to": "2027-01-08", "odd": ["2027-01-01", "2027-01-06"]}


def test_a_saturday_that_is_worked_is_odd() -> None:
    chinese = CalendarBook("CN").default
    days = counted(BUSINESS, chinese, date(2025, 1, 24), date(2025, 1, 31))["counted_days"]
    assert "2025-01-26" in days["odd"]  # a Sunday


@pytest.mark.parametrize(
    "business", [{"period": "2 business days"}, {"grace": "1 business day"}, {"roll": "next_business_day"}]
)
def test_they_are_kept_where_a_policy_asks_for_business_days(business: dict[str, str]) -> None:
    plain = {"period": "5 days"}
    calendar = CalendarBook("DE").default
    assert counted(Policy.from_definition(plain), calendar, *NEW_YEAR) == {}
    assert counted(Policy.from_definition(plain | business), calendar, *NEW_YEAR)


def test_a_calendar_has_the_kept_days_as_they_were_and_all_others_as_they_are() -> None:
    then = CalendarBook("DE", "BY", closures=[date(2027, 1, 4)]).default
    now = CalendarBook("DE", closures=[date(2027, 1, 5), date(2027, 1, 12)]).default
    kept = with_counted_days(now, counted(BUSINESS, then, *NEW_YEAR))

    for number in range(30):
        day = date(2026, 12, 20) + timedelta(days=number)
        by = then if NEW_YEAR[0] < day <= NEW_YEAR[1] else now
        assert kept.is_business_day(day) == by.is_business_day(day), day
    assert kept.why_not(date(2027, 1, 6)) == "no business day when its date was given"


def test_a_calendar_that_has_not_changed_is_the_same_one_so_that_counts_over_it_are_remembered() -> None:
    calendar = CalendarBook("DE", "BY").default
    assert with_counted_days(calendar, counted(BUSINESS, calendar, *NEW_YEAR)) is calendar


def test_a_vacation_is_no_part_of_them() -> None:
    calendar = CalendarBook("DE", "BY").default
    layered = calendar.layered(frozenset({date(2027, 1, 4), date(2027, 1, 6)}))
    assert counted(BUSINESS, layered, *NEW_YEAR) == counted(BUSINESS, calendar, *NEW_YEAR)
    again = with_counted_days(calendar, counted(BUSINESS, layered, *NEW_YEAR)).layered(layered.away)
    assert again is layered


def test_a_calendar_is_called_by_its_name_whatever_the_default_is() -> None:
    book = CalendarBook("DE", "BY")
    assert [book.called(name).name for name in ("DE", "DE-BY", "US-CA")] == ["DE", "DE-BY", "US-CA"]
    assert book.get("DE", None).name == "DE-BY"
