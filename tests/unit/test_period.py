"""Periods as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from returnclock.errors import BadPeriod
from returnclock.period import Period, Unit


@pytest.mark.parametrize(
    ("written", "count", "unit", "canonical"),
    [
        ("48 hours", 48, Unit.HOUR, "48 hours"),
        ("1 day", 1, Unit.DAY, "1 day"),
        ("1 days", 1, Unit.DAY, "1 day"),
        ("0 days", 0, Unit.DAY, "0 days"),
        ("10 business days", 10, Unit.BUSINESS_DAY, "10 business days"),
        (" 10  Business  DAY ", 10, Unit.BUSINESS_DAY, "10 business days"),
        ("2 weeks", 2, Unit.WEEK, "2 weeks"),
        ("90 seconds", 90, Unit.SECOND, "90 seconds"),
        ("05 minutes", 5, Unit.MINUTE, "5 minutes"),
        ("1 month", 1, Unit.MONTH, "1 month"),
        ("36600 days", 36_600, Unit.DAY, "36600 days"),
    ],
)
def test_period_is_read_and_written_back(written: str, count: int, unit: Unit, canonical: str) -> None:
    period = Period.parse(written)
    assert (period.count, period.unit, str(period)) == (count, unit, canonical)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "5",
        "days",
        "-1 days",
        "1.5 days",
        "1,5 days",
        "5 dayz",
        "5days",
        "five days",
        "5 days 3 hours",
        "\u0665 days",
        "10 working days",
        "1 year",
        "36601 days",
        "1200 months",
        "9999999999 weeks",
        "9" * 5000 + " days",
        5,
        None,
        5.0,
    ],
)
def test_what_is_no_period_is_refused_as_it_was_written(written: object) -> None:
    with pytest.raises(BadPeriod) as caught:
        Period.parse(written)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{written!r} is not a period. Write a number and a unit")


@pytest.mark.parametrize(("count", "unit"), [(-1, Unit.DAY), (True, Unit.DAY), (1.0, Unit.DAY), (1, "day")])
def test_period_that_makes_no_sense_cannot_be_made(count: int, unit: Unit) -> None:
    with pytest.raises(BadPeriod):
        Period(count, unit)


@given(st.integers(0, 1000), st.sampled_from(Unit))
def test_written_form_reads_back_as_the_same_period(count: int, unit: Unit) -> None:
    assert Period.parse(str(Period(count, unit))) == Period(count, unit)


def test_units_are_not_converted() -> None:
    assert Period.parse("48 hours") != Period.parse("2 days") != Period.parse("2 business days")


def test_only_elapsed_units_have_a_length() -> None:
    assert Period(90, Unit.MINUTE).elapsed() == timedelta(hours=1, minutes=30)
    with pytest.raises(KeyError):
        Period(1, Unit.DAY).elapsed()
