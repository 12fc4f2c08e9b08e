"""Counting the starts of a day together answers as counting each by itself does, to the letter."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from returnclock.calendars import Calendar, zone
from returnclock.courses import ground
from returnclock.errors import BadPolicy
from returnclock.period import Period
from returnclock.policy import Policy, Reckoning, due_at
from tests.unit.made_up_policies import BOOK, ZONES, calendar, policies, utc

MOMENTS = st.times()
# Days around which clocks change somewhere of the zones that are tried, and any others.
DAYS_OF_CHANGE = [date(2026, 3, 8), date(2026, 3, 29), date(2026, 10, 25), date(2026, 11, 1), date(2011, 12, 30)]
STARTED = st.sampled_from(DAYS_OF_CHANGE).flatmap(
    lambda day: st.integers(-12, 3).map(lambda shift: day + timedelta(days=shift))
) | st.dates(date(1995, 1, 1), date(2037, 12, 31))


def reckon(starts: datetime, policy: Policy, kept: Calendar, there: ZoneInfo) -> Reckoning:
    return ground(policy, kept, there).reckon(starts)


@given(STARTED, st.lists(MOMENTS, min_size=2, max_size=6), policies(), st.sampled_from(ZONES), st.sampled_from(["DE-BY", "AE"]))
@settings(deadline=None, max_examples=400)
def test_what_starts_on_one_day_is_reckoned_as_each_by_itself(
    day: date, moments: list[time], policy: Policy, zone_name: str, name: str
) -> None:
    there, kept = zone(zone_name), calendar(name)
    for moment in moments:
        starts = datetime.combine(day, moment, there).astimezone(UTC)
        assert reckon(starts, policy, kept, there) == due_at(starts, policy, kept, there)


@pytest.mark.parametrize("minutes", [-1, 0, 1])
@pytest.mark.parametrize("ends", ["same_time", "end_of_day"])
def test_a_reminder_before_the_start_is_none_of_its_reminders(ends: str, minutes: int) -> None:
    # The reminder falls on the day of the start itself, at 09:00 or at the time of the start.
    policy = Policy(Period.parse("2 days"), ends, remind=(Period.parse("2 days"), Period.parse("40 hours")))  # type: ignore[arg-type]
    starts = utc("2026-06-10 09:00") + timedelta(minutes=minutes)
    reckon(starts.replace(hour=0), policy, BOOK.default, zone("UTC"))  # the day is known by another start
    assert reckon(starts, policy, BOOK.default, zone("UTC")) == due_at(starts, policy, BOOK.default, zone("UTC"))


@pytest.mark.parametrize("starts", ["9999-12-30 10:00", "2090-06-01 10:00"])
def test_a_start_that_cannot_be_counted_is_refused_in_the_same_words(starts: str) -> None:
    policy = Policy(Period.parse("20 business days"), "end_of_day")
    said = []
    for reckoning in (due_at, reckon):
        try:
            said.append(str(reckoning(utc(starts), policy, BOOK.default, zone("UTC"))))
        except BadPolicy as fault:
            said.append(str(fault))
    assert said[0] == said[1]


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        reckon(datetime(2026, 1, 1), Policy(Period.parse("1 day")), BOOK.default, zone("UTC"))


CHANGES = {"Europe/Lisbon": date(2026, 3, 29), "America/New_York": date(2026, 11, 1), "Africa/Cairo": date(2026, 4, 24)}


@pytest.mark.parametrize("zone_name", CHANGES)
@pytest.mark.parametrize("shift", range(-6, 2))
def test_a_clock_change_at_the_start_at_the_end_or_at_a_reminder_is_heeded_row_by_row(zone_name: str, shift: int) -> None:
    there, day = zone(zone_name), CHANGES[zone_name] + timedelta(days=shift)
    policy = Policy(Period.parse("5 days"), remind=(Period.parse("2 days"), Period.parse("30 hours")))
    for moment in (time(0), time(0, 30), time(1, 30), time(2, 30), time(12)):
        starts = datetime.combine(day, moment, there).astimezone(UTC)
        assert reckon(starts, policy, BOOK.default, there) == due_at(starts, policy, BOOK.default, there)
