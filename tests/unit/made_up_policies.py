"""Policies, starts and places that Hypothesis makes up, and short ways to write calendars and instants."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from returnclock.calendars import Calendar, CalendarBook
from returnclock.period import Period, Unit
from returnclock.policy import Policy

BOOK = CalendarBook("DE", "BY")
ZONES = ["UTC", "Europe/Lisbon", "America/New_York", "Africa/Cairo", "America/Havana", "Pacific/Apia", "Asia/Kathmandu"]
STARTS = st.datetimes(datetime(2009, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
SHORT = st.builds(Period, st.integers(1, 40), st.sampled_from(Unit))
DAYS = st.builds(Period, st.integers(0, 40), st.sampled_from([Unit.DAY, Unit.BUSINESS_DAY, Unit.WEEK, Unit.MONTH]))
OFFSETS = st.lists(st.builds(Period, st.integers(1, 20), st.sampled_from(Unit)), max_size=4)


def calendar(name: str, book: CalendarBook = BOOK) -> Calendar:
    country, _, subdivision = name.partition("-")
    return book.get(country, subdivision)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@st.composite
def policies(draw: st.DrawFn, period: st.SearchStrategy[Period] = SHORT) -> Policy:
    length, ends = draw(period), draw(st.sampled_from(["same_time", "end_of_day"]))
    may_roll = ends == "end_of_day" or not length.unit.is_elapsed
    roll = draw(st.sampled_from(["none", "next_business_day"])) if may_roll else "none"
    grace = draw(st.builds(Period, st.integers(0, 10), st.sampled_from(Unit)))
    return Policy(length, ends, roll, grace, remind=tuple(draw(OFFSETS)))
